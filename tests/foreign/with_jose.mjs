// Verifies the demo's token with jose, as a cloud would: by the key set, the issuer and the audience.
import { readFileSync } from "node:fs";
import { createLocalJWKSet, jwtVerify } from "jose";

const read = (name) => readFileSync(`${process.argv[2]}/${name}`, "utf8");
const token = read("token.jwt");
const keys = createLocalJWKSet(JSON.parse(read("jwks.json")));
const { issuer } = JSON.parse(read("openid-configuration.json"));
const expected = { issuer, audience: "sts.amazonaws.com", algorithms: ["RS256"] };

const { payload } = await jwtVerify(token, keys, expected);
if (payload.presence !== "approval" || payload.acr !== "phr" || payload.amr.length === 0) throw new Error("claims");
const [head, body, signature] = token.split(".");
const forged = [head, body, (signature[0] === "A" ? "B" : "A") + signature.slice(1)].join(".");
for (const [compact, changed] of [[forged, {}], [token, { audience: "another" }], [token, { issuer: "https://another" }]]) {
  const taken = await jwtVerify(compact, keys, { ...expected, ...changed }).then(() => true, () => false);
  if (taken) throw new Error(`jose takes a wrong token: ${JSON.stringify(changed)}`);
}
console.log(`jose verifies token.jwt: ${payload.sub}`);
