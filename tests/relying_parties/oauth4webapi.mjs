// A native application on `oauth4webapi`: it has no secret, listens on the loopback address, binds its tokens to a key of
// its own (DPoP), steps up by `acr_values`.
import * as oauth from "oauth4webapi";
import { AFTER_LOGOUT, CLIENT_ID, ISSUER, NotOffered, REDIRECT_URI, SCOPE, serve } from "./party.mjs";

const issuer = new URL(ISSUER);
const provider = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer));
const client = { client_id: CLIENT_ID };
const nobody = oauth.None();
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair("ES256"));

// Sends and reads; once more where the server wants its own nonce in the proof (RFC 9449 §8).
async function ask(send, read) {
  for (const last of [false, true]) {
    const response = await send();
    try {
      return [await read(response), response];
    } catch (error) {
      if (last || !oauth.isDPoPNonceError(error)) throw error;
    }
  }
}

// What is known of the person after tokens came in `response`; the provider is asked, too.
async function known(session, tokens, response) {
  if (tokens.id_token) await oauth.validateApplicationLevelSignature(provider, response);
  session.tokens = { ...session.tokens, ...tokens };
  const claims = oauth.getValidatedIdTokenClaims(tokens) ?? session.me.claims;
  if (tokens.token_type !== "dpop") throw new Error(`a token of the type ${tokens.token_type}`);
  const [userinfo] = await ask(
    () => oauth.userInfoRequest(provider, client, tokens.access_token, { DPoP }),
    (answer) => oauth.processUserInfoResponse(provider, client, claims.sub, answer),
  );
  return { claims, userinfo, access_token: tokens.access_token, scope: tokens.scope };
}

serve({
  async login(session, acr) {
    const verifier = oauth.generateRandomCodeVerifier();
    session.pending = { verifier, state: oauth.generateRandomState(), nonce: oauth.generateRandomNonce(), acr };
    const to = new URL(provider.authorization_endpoint);
    const parameters = {
      client_id: CLIENT_ID,
      redirect_uri: REDIRECT_URI,
      response_type: "code",
      scope: SCOPE,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      state: session.pending.state,
      nonce: session.pending.nonce,
      max_age: "3600",
    };
    for (const [name, value] of Object.entries(parameters)) to.searchParams.set(name, value);
    if (acr) to.searchParams.set("acr_values", acr);
    return to;
  },
  async callback(session, url) {
    const { verifier, state, nonce, acr } = session.pending;
    const parameters = oauth.validateAuthResponse(provider, client, url, state);
    const checks = { expectedNonce: nonce, requireIdToken: true, maxAge: 3600 };
    const [tokens, response] = await ask(
      () => oauth.authorizationCodeGrantRequest(provider, client, nobody, parameters, REDIRECT_URI, verifier, { DPoP }),
      (answer) => oauth.processAuthorizationCodeResponse(provider, client, answer, checks),
    );
    const claims = oauth.getValidatedIdTokenClaims(tokens);
    if (acr && claims.acr !== acr) throw new Error(`acr is ${claims.acr}`);
    return await known(session, tokens, response);
  },
  async refresh(session) {
    const { refresh_token } = session.tokens;
    const [tokens, response] = await ask(
      () => oauth.refreshTokenGrantRequest(provider, client, nobody, refresh_token, { DPoP }),
      (answer) => oauth.processRefreshTokenResponse(provider, client, answer),
    );
    return await known(session, tokens, response);
  },
  async logout(session) {
    if (!provider.end_session_endpoint) throw new NotOffered("no end_session_endpoint");
    session.leaving = oauth.generateRandomState();
    const to = new URL(provider.end_session_endpoint);
    to.searchParams.set("id_token_hint", session.tokens.id_token);
    to.searchParams.set("post_logout_redirect_uri", AFTER_LOGOUT);
    to.searchParams.set("state", session.leaving);
    return to;
  },
});
