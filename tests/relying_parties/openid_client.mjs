// A relying party on `openid-client`: proves itself with a key of its own, pushes its request, steps up by `claims`, asks
// whether its tokens count, and gives them back.
import * as client from "openid-client";
import { AFTER_LOGOUT, CLIENT_ID, CLIENT_KEY, ISSUER, NotOffered, REDIRECT_URI, SCOPE, serve } from "./party.mjs";

const jwk = JSON.parse(CLIENT_KEY);
const key = await crypto.subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
const prove = client.PrivateKeyJwt({ key, kid: jwk.kid });
const config = await client.discovery(new URL(ISSUER), CLIENT_ID, undefined, prove);
client.enableNonRepudiationChecks(config);

// What is known of the person after tokens came; the provider is asked, too.
async function known(session, tokens) {
  session.tokens = { ...session.tokens, ...tokens };
  const claims = tokens.claims() ?? session.me.claims;
  const userinfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
  const told = await client.tokenIntrospection(config, tokens.access_token);
  if (!told.active || told.sub !== claims.sub) throw new Error(`introspection says ${JSON.stringify(told)}`);
  return { claims, userinfo, access_token: tokens.access_token, scope: tokens.scope };
}

serve({
  async login(session, acr) {
    const verifier = client.randomPKCECodeVerifier();
    session.pending = { verifier, state: client.randomState(), nonce: client.randomNonce(), acr };
    const parameters = {
      redirect_uri: REDIRECT_URI,
      scope: SCOPE,
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      state: session.pending.state,
      nonce: session.pending.nonce,
    };
    if (acr) parameters.claims = JSON.stringify({ id_token: { acr: { essential: true, values: [acr] } } });
    const pushes = config.serverMetadata().pushed_authorization_request_endpoint;
    return pushes ? await client.buildAuthorizationUrlWithPAR(config, parameters) : client.buildAuthorizationUrl(config, parameters);
  },
  async callback(session, url) {
    const { verifier, state, nonce, acr } = session.pending;
    const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true };
    const tokens = await client.authorizationCodeGrant(config, url, checks);
    if (acr && tokens.claims().acr !== acr) throw new Error(`acr is ${tokens.claims().acr}`);
    return await known(session, tokens);
  },
  async refresh(session) {
    return await known(session, await client.refreshTokenGrant(config, session.tokens.refresh_token));
  },
  async giveBack(session) {
    const { refresh_token, access_token } = session.tokens;
    await client.tokenRevocation(config, refresh_token);
    const told = await client.tokenIntrospection(config, access_token);
    if (told.active) throw new Error("the access token still counts");
  },
  async logout(session) {
    if (!config.serverMetadata().end_session_endpoint) throw new NotOffered("no end_session_endpoint");
    session.leaving = client.randomState();
    return client.buildEndSessionUrl(config, {
      id_token_hint: session.tokens.id_token,
      post_logout_redirect_uri: AFTER_LOGOUT,
      state: session.leaving,
    });
  },
});
