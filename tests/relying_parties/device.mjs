// A device on `openid-client`: asks, says what it shows, waits at the pace that it is given, and says who signed in.
import * as client from "openid-client";

const config = await client.discovery(new URL(process.env.ISSUER), "device", undefined, client.None());
client.enableNonRepudiationChecks(config);
const asked = await client.initiateDeviceAuthorization(config, { scope: "openid profile offline_access" });
console.log(JSON.stringify(asked));
const tokens = await client.pollDeviceAuthorizationGrant(config, asked);
const claims = tokens.claims();
const userinfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub);
const again = await client.refreshTokenGrant(config, tokens.refresh_token);
console.log(JSON.stringify({ claims, userinfo, scope: tokens.scope, refreshed: again.claims().sub }));
