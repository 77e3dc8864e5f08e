"""A relying party on Authlib and Flask: sends its secret in the body, steps up by `claims`."""

import json
import os
import secrets
from urllib.parse import urlsplit

from authlib.integrations.flask_client import OAuth
from authlib.integrations.requests_client import OAuth2Session
from flask import Flask, jsonify, redirect, request, session
from werkzeug.serving import run_simple

BASE = os.environ["BASE"]
SCOPE = "openid profile email groups offline_access"
BY_BODY = "client_secret_post"

app = Flask(__name__)
app.secret_key = secrets.token_bytes(32)
app.config.update(SESSION_COOKIE_SAMESITE="Lax", SESSION_COOKIE_SECURE=True)
party = OAuth(app).register(
    "countersign",
    client_id=os.environ["CLIENT_ID"],
    client_secret=os.environ["CLIENT_SECRET"],
    server_metadata_url=os.environ["ISSUER"] + "/.well-known/openid-configuration",
    client_kwargs={"scope": SCOPE, "code_challenge_method": "S256", "token_endpoint_auth_method": BY_BODY},
)
# Tokens do not fit into a cookie: by session.
signed_in = {}


def me():
    return signed_in.get(session.get("id"))


def known(token, claims):
    session.setdefault("id", secrets.token_urlsafe())
    userinfo = party.userinfo(token=token)
    if userinfo["sub"] != claims["sub"]:
        raise ValueError("userinfo is about somebody else")
    signed_in[session["id"]] = {"token": token, "claims": claims, "userinfo": userinfo}


@app.get("/login")
def login():
    more = {}
    if acr := request.args.get("acr"):
        more["claims"] = json.dumps({"id_token": {"acr": {"essential": True, "values": [acr]}}})
    session["acr"] = acr
    return party.authorize_redirect(BASE + "/callback", **more)


@app.get("/callback")
def callback():
    token = party.authorize_access_token()
    claims = dict(token["userinfo"])
    if (acr := session.pop("acr")) and claims["acr"] != acr:
        raise ValueError(f"acr is {claims['acr']}")
    known(token, claims)
    return redirect("/me")


@app.get("/me")
def show():
    if not (at := me()):
        return jsonify(error="not signed in"), 401
    shown = {"claims": at["claims"], "userinfo": at["userinfo"], "access_token": at["token"]["access_token"]}
    return jsonify(shown)


@app.get("/refresh")
def refresh():
    at = me()
    metadata = party.load_server_metadata()
    with OAuth2Session(
        party.client_id, party.client_secret, token_endpoint_auth_method=BY_BODY
    ) as provider:
        token = provider.refresh_token(metadata["token_endpoint"], refresh_token=at["token"]["refresh_token"])
    token = {**at["token"], **token}
    claims = dict(party.parse_id_token(token, nonce=None))
    known(token, {**at["claims"], **claims})
    return show()


@app.get("/logout")
def logout():
    if "end_session_endpoint" not in party.load_server_metadata():
        return jsonify(error="no end_session_endpoint"), 501
    token = signed_in.pop(session["id"])["token"]
    return party.logout_redirect(BASE + "/bye", id_token_hint=token["id_token"])


@app.get("/bye")
def bye():
    party.validate_logout_response()
    return jsonify(bye=True)


@app.errorhandler(Exception)
def fault(error):
    return jsonify(error=f"{type(error).__name__}: {error}"), 500


certificate = (os.environ["TLS_CERT"], os.environ["TLS_KEY"])
run_simple("127.0.0.1", urlsplit(BASE).port, app, ssl_context=certificate)
