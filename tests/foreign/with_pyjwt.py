"""Verifies the demo's token with PyJWT, as a cloud would: by the key set, the issuer and the audience."""

import json
import pathlib
import sys

import jwt

demo = pathlib.Path(sys.argv[1])
token = (demo / "token.jwt").read_text()
keys = jwt.PyJWKSet.from_dict(json.loads((demo / "jwks.json").read_text()))
metadata = json.loads((demo / "openid-configuration.json").read_text())
header = jwt.get_unverified_header(token)
expected = {"issuer": metadata["issuer"], "audience": "sts.amazonaws.com", "algorithms": ["RS256"]}


def verify(compact, **changed):
    return jwt.decode(compact, keys[header["kid"]].key, **{**expected, **changed})


claims = verify(token)
assert header["alg"] in metadata["id_token_signing_alg_values_supported"], header
assert claims["presence"] == "approval" and claims["acr"] == "phr", claims
assert claims["amr"] and all(isinstance(method, str) for method in claims["amr"]), claims
assert isinstance(claims["aud"], str) and None not in claims.values(), claims
head, body, signature = token.split(".")
forged = ".".join([head, body, ("B" if signature[0] == "A" else "A") + signature[1:]])
for compact, changed in [(forged, {}), (token, {"audience": "another"}), (token, {"issuer": "https://another"})]:
    try:
        verify(compact, **changed)
    except jwt.InvalidTokenError:
        continue
    sys.exit(f"PyJWT takes a wrong token: {changed or 'another signature'}")
print(f"PyJWT {jwt.__version__} verifies token.jwt: {claims['sub']}")
