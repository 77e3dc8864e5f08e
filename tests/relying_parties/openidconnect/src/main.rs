//! A native application on the `openidconnect` crate: no secret, the loopback address, steps up by `acr_values`.
//! In: `ISSUER`, `CLIENT_ID`, `BASE` (its own address), `SSL_CERT_FILE`. Out: pages that say who signed in.
//! Implements nothing of OpenID: the crate does.
//! Never for several people: whoever runs a native application is its one user.

use std::error::Error;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreGenderClaim, CoreIdToken, CoreTokenResponse};
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AuthenticationContextClass, AuthorizationCode, ClientId, CsrfToken,
    EndSessionUrl, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IssuerUrl, LogoutRequest,
    Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, PostLogoutRedirectUrl,
    ProviderMetadataWithLogout, RedirectUrl, RefreshToken, Scope, TokenResponse as _, UserInfoClaims,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

type Client =
    CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointMaybeSet, EndpointMaybeSet>;
type Fault = Box<dyn Error>;

/// What the standard has no claim for.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Groups {
    groups: Vec<String>,
}

impl AdditionalClaims for Groups {}

/// A login that has begun.
struct Begun {
    state: CsrfToken,
    nonce: Nonce,
    verifier: PkceCodeVerifier,
    acr: Option<String>,
}

/// Who signed in.
struct SignedIn {
    id_token: CoreIdToken,
    nonce: Nonce,
    refresh: RefreshToken,
    shown: Value,
}

#[derive(Default)]
struct State {
    begun: Option<Begun>,
    signed_in: Option<SignedIn>,
    leaving: Option<CsrfToken>,
}

struct Party {
    client: Client,
    end_session: Option<EndSessionUrl>,
    agent: ureq::Agent,
    base: String,
    state: Mutex<State>,
}

/// What a page answers: where to go, or what to show.
enum Answer {
    To(Url),
    Show(u16, Value),
}

fn main() -> Result<(), Fault> {
    let setting = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
    let base = setting("BASE")?;
    let agent = agent(&std::fs::read(setting("SSL_CERT_FILE")?)?)?;
    let send = |request: HttpRequest| send(&agent, request);
    let metadata = ProviderMetadataWithLogout::discover(&IssuerUrl::new(setting("ISSUER")?)?, &send)?;
    let end_session = metadata.additional_metadata().end_session_endpoint.clone();
    let client = CoreClient::from_provider_metadata(metadata, ClientId::new(setting("CLIENT_ID")?), None)
        .set_redirect_uri(RedirectUrl::new(format!("{base}/callback"))?);
    let port = Url::parse(&base)?.port().ok_or("BASE has no port")?;
    let party = Arc::new(Party { client, end_session, agent, base, state: Mutex::default() });
    for stream in TcpListener::bind(("127.0.0.1", port))?.incoming().flatten() {
        let party = Arc::clone(&party);
        // A browser opens connections that it may never use.
        std::thread::spawn(move || party.serve(stream));
    }
    Ok(())
}

fn agent(authority: &[u8]) -> Result<ureq::Agent, Fault> {
    let roots = ureq::tls::RootCerts::from(vec![ureq::tls::Certificate::from_pem(authority)?]);
    let tls = ureq::tls::TlsConfig::builder().root_certs(roots).build();
    let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None).tls_config(tls);
    Ok(config.build().new_agent())
}

fn send(agent: &ureq::Agent, request: HttpRequest) -> Result<HttpResponse, ureq::Error> {
    let (parts, mut body) = agent.run(request)?.into_parts();
    Ok(HttpResponse::from_parts(parts, body.read_to_vec()?))
}

impl Party {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        let path = first.split(' ').nth(1).unwrap_or("/");
        let answer = self.answer(path).unwrap_or_else(|fault| Answer::Show(500, json!({ "error": told(&*fault) })));
        let (status, head, body) = match answer {
            Answer::To(url) => (302, format!("Location: {url}"), String::new()),
            Answer::Show(status, value) => (status, "Content-Type: application/json".to_owned(), value.to_string()),
        };
        write!(
            stream,
            "HTTP/1.1 {status} X\r\n{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn answer(&self, path: &str) -> Result<Answer, Fault> {
        let url = Url::parse(&format!("{}{path}", self.base))?;
        let parameter =
            |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let mut state = self.state.lock().map_err(|_| "a page has panicked")?;
        let shown = |state: &State| match &state.signed_in {
            Some(signed_in) => Answer::Show(200, signed_in.shown.clone()),
            None => Answer::Show(401, json!({ "error": "not signed in" })),
        };
        match url.path() {
            "/login" => {
                let (to, begun) = self.login(parameter("acr"));
                state.begun = Some(begun);
                Ok(Answer::To(to))
            }
            "/callback" => {
                if let Some(error) = parameter("error") {
                    return Err(format!("{error}: {}", parameter("error_description").unwrap_or_default()).into());
                }
                let begun = state.begun.take().ok_or("no login has begun")?;
                if parameter("state").as_ref() != Some(begun.state.secret()) {
                    return Err("the state is another one".into());
                }
                let code = AuthorizationCode::new(parameter("code").ok_or("there is no code")?);
                state.signed_in = Some(self.redeem(code, begun)?);
                Ok(Answer::To(Url::parse(&format!("{}/me", self.base))?))
            }
            "/me" => Ok(shown(&state)),
            "/refresh" => {
                let before = state.signed_in.take().ok_or("nobody is signed in")?;
                state.signed_in = Some(self.refresh(before)?);
                Ok(shown(&state))
            }
            "/logout" => {
                let Some(endpoint) = self.end_session.clone() else {
                    return Ok(Answer::Show(501, json!({ "error": "no end_session_endpoint" })));
                };
                let left = state.signed_in.take().ok_or("nobody is signed in")?;
                let leaving = CsrfToken::new_random();
                let to = LogoutRequest::from(endpoint)
                    .set_id_token_hint(&left.id_token)
                    .set_post_logout_redirect_uri(PostLogoutRedirectUrl::new(format!("{}/bye", self.base))?)
                    .set_state(leaving.clone());
                state.leaving = Some(leaving);
                Ok(Answer::To(to.http_get_url()))
            }
            "/bye" if parameter("state").as_ref() == state.leaving.as_ref().map(CsrfToken::secret) => {
                Ok(Answer::Show(200, json!({ "bye": true })))
            }
            _ => Ok(Answer::Show(404, json!({ "error": "nothing is here" }))),
        }
    }

    fn login(&self, acr: Option<String>) -> (Url, Begun) {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let mut request = self
            .client
            .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
            .add_scopes(["profile", "email", "groups", "offline_access"].map(|scope| Scope::new(scope.to_owned())))
            .set_pkce_challenge(challenge);
        if let Some(acr) = &acr {
            request = request.add_auth_context_value(AuthenticationContextClass::new(acr.clone()));
        }
        let (to, state, nonce) = request.url();
        (to, Begun { state, nonce, verifier, acr })
    }

    fn redeem(&self, code: AuthorizationCode, begun: Begun) -> Result<SignedIn, Fault> {
        let send = |request: HttpRequest| send(&self.agent, request);
        let request = self.client.exchange_code(code)?.set_pkce_verifier(begun.verifier);
        let tokens: CoreTokenResponse = request.request(&send)?;
        let id_token = tokens.id_token().ok_or("there is no ID token")?.clone();
        let claims = id_token.claims(&self.client.id_token_verifier(), &begun.nonce)?.clone();
        let reached = claims.auth_context_ref().map(|acr| acr.as_str().to_owned());
        if begun.acr.is_some() && reached != begun.acr {
            return Err(format!("acr is {reached:?}").into());
        }
        let refresh = tokens.refresh_token().ok_or("there is no refresh token")?.clone();
        self.known(&tokens, id_token, begun.nonce, refresh)
    }

    fn refresh(&self, before: SignedIn) -> Result<SignedIn, Fault> {
        let send = |request: HttpRequest| send(&self.agent, request);
        let tokens: CoreTokenResponse = self.client.exchange_refresh_token(&before.refresh)?.request(&send)?;
        let refresh = tokens.refresh_token().cloned().unwrap_or(before.refresh);
        let id_token = tokens.id_token().cloned().unwrap_or(before.id_token);
        self.known(&tokens, id_token, before.nonce, refresh)
    }

    /// What is known of the person after tokens came; the provider is asked, too.
    fn known(
        &self,
        tokens: &CoreTokenResponse,
        id_token: CoreIdToken,
        nonce: Nonce,
        refresh: RefreshToken,
    ) -> Result<SignedIn, Fault> {
        let send = |request: HttpRequest| send(&self.agent, request);
        let verifier = self.client.id_token_verifier();
        // A refreshed ID token may leave the nonce out (OpenID Connect Core §12.2).
        let same = |found: Option<&Nonce>| match found {
            Some(found) if found.secret() != nonce.secret() => Err("the nonce is another one".to_owned()),
            _ => Ok(()),
        };
        let claims = id_token.claims(&verifier, same)?;
        if let (Some(expected), Some(_)) = (claims.access_token_hash(), tokens.id_token()) {
            let key = id_token.signing_key(&verifier)?;
            let found = AccessTokenHash::from_token(tokens.access_token(), id_token.signing_alg()?, key)?;
            if found != *expected {
                return Err("at_hash is of another access token".into());
            }
        }
        let access = tokens.access_token();
        let userinfo: UserInfoClaims<Groups, CoreGenderClaim> =
            self.client.user_info(access.clone(), Some(claims.subject().clone()))?.request(&send)?;
        let shown = json!({ "claims": claims, "userinfo": userinfo, "access_token": access.secret() });
        Ok(SignedIn { id_token, nonce, refresh, shown })
    }
}

/// An error with what it was caused by.
fn told(fault: &dyn Error) -> String {
    let more = fault.source().map(|source| format!("; {}", told(source))).unwrap_or_default();
    format!("{fault}{more}")
}
