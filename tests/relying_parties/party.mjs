// What the relying parties in JavaScript share: a web server with sessions. What OpenID asks of them is not here.
import { readFileSync } from "node:fs";
import { createServer as plain } from "node:http";
import { createServer as secure } from "node:https";
import { randomUUID } from "node:crypto";

export const { ISSUER, CLIENT_ID, CLIENT_SECRET, CLIENT_KEY, BASE } = process.env;
export const SCOPE = "openid profile email groups offline_access";
export const REDIRECT_URI = `${BASE}/callback`;
export const AFTER_LOGOUT = `${BASE}/bye`;

// What a provider cannot do is told apart from what it does wrongly.
export class NotOffered extends Error {}

// `party` has `login(session, acr)`, `callback(session, url)`, `refresh(session)` and `logout(session)`; the first and the
// last answer with the URL to go to, the other two with what is known of the person from then on. It may have
// `giveBack(session)`, after which its tokens are worth nothing.
export function serve(party) {
  const sessions = new Map();
  const session = (request, response) => {
    const known = /(?:^|; )party=([^;]+)/.exec(request.headers.cookie ?? "")?.[1];
    if (sessions.has(known)) return sessions.get(known);
    const id = randomUUID();
    const begun = {};
    sessions.set(id, begun);
    response.setHeader("set-cookie", `party=${id}; Path=/; HttpOnly; SameSite=Lax`);
    return begun;
  };
  const pages = {
    "/login": async (at, url) => ({ to: await party.login(at, url.searchParams.get("acr")) }),
    "/callback": async (at, url) => {
      at.me = await party.callback(at, url);
      return { to: "/me" };
    },
    "/me": async (at) => (at.me ? { body: at.me } : { status: 401, body: { error: "not signed in" } }),
    "/refresh": async (at) => ({ body: (at.me = await party.refresh(at)) }),
    "/give-back": async (at) => {
      await party.giveBack(at);
      return { body: { gaveBack: true } };
    },
    "/logout": async (at) => {
      const to = await party.logout(at);
      delete at.me;
      return { to };
    },
    "/bye": async (at, url) => {
      if (url.searchParams.get("state") !== at.leaving) throw new Error("the state is another one");
      return { body: { bye: true } };
    },
  };
  const answer = async (request, response) => {
    const url = new URL(request.url, BASE);
    const page = pages[url.pathname];
    let { to, status = page ? 200 : 404, body = {} } = {};
    try {
      ({ to, status = status, body = body } = (await page?.(session(request, response), url)) ?? {});
    } catch (error) {
      [status, body] = [error instanceof NotOffered ? 501 : 500, { error: say(error) }];
    }
    if (to) response.writeHead(302, { location: String(to) }).end();
    else response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  };
  const { TLS_CERT, TLS_KEY } = process.env;
  const server = BASE.startsWith("https:")
    ? secure({ cert: readFileSync(TLS_CERT), key: readFileSync(TLS_KEY) }, answer)
    : plain(answer);
  server.listen(Number(new URL(BASE).port), "127.0.0.1");
}

// An error with what it was caused by.
function say(error) {
  const more = error.error ? ` (${error.error}: ${error.error_description})` : "";
  return `${error.name}: ${error.message}${more}${error.cause instanceof Error ? `; ${say(error.cause)}` : ""}`;
}
