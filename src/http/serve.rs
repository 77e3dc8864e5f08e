//! The server: listens, answers, and stops without losing anybody.
//! In: the application and where to listen. Out: a running server.
//! Implements DESIGN §12 (plain on loopback or behind proxies, TLS by rustls, graceful stop).
//! Never answers for a host that is not its own.

use std::fmt::Debug;
use std::future::ready;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Request, Response};
use actix_server::GracefulShutdownSignal;
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{AppConfig, Payload, Server, ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, HttpResponse, web};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::app::Countersign;
use crate::config::cidr::Cidr;

use super::caller::{
    Crowd, Guesses, MAX_AUTHORIZATIONS_A_MINUTE, MAX_DEVICES_A_MINUTE, MAX_FOREIGN_A_MINUTE,
    MAX_STARTED_CEREMONIES_A_MINUTE, MAX_STREAMS_OF_ADDRESS, Tally,
};
use super::connection::{Admission, Calls, Drained, Patience, Timed};
use super::edge::{Edge, MAX_BODY};
use super::routes;
use super::unread::{Answer, Unread};

/// How long a stopping server lets answers finish.
pub const STOP_WITHIN_SECONDS: u64 = 10;
/// How long a client may take to send its head (slow clients are let go).
pub const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a client may take nothing of what it is sent.
pub const READ_WITHIN: Duration = Duration::from_secs(30);
/// How long an idle connection is kept.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long a client may take to agree on TLS.
pub const TLS_WITHIN: Duration = Duration::from_secs(5);
/// Most connections at once.
pub const MAX_CONNECTIONS: usize = 25_000;
/// Most connections of one network: half of them are left to all others.
pub const MAX_CONNECTIONS_OF_NETWORK: u32 = 12_500;

/// A connection that only rests is the framework's to end; here ends one that it takes for a busy one.
const PATIENCE: Patience = Patience { head: HEAD_WITHIN, idle: KEEP_ALIVE.saturating_add(Duration::from_secs(1)) };
/// How long a client that was answered before it had sent everything may go on sending, so that the answer reaches it.
pub const LINGER: Duration = Duration::from_secs(1);

/// RFC 7240; who waits says so here.
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Pages may load our own files and talk to us, and nothing else; nobody may frame them.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self'; manifest-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/// What the server needs besides the application.
#[derive(Clone)]
pub struct Listening {
    /// Where.
    pub listen: SocketAddr,
    /// TLS, where we do it ourselves.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Proxies that are believed.
    pub trusted_proxies: Vec<Cidr>,
    /// Refused calls from one address in a minute.
    pub refused_a_minute: u32,
    /// Wrong ceremonies from one address in a minute.
    pub ceremonies_a_minute: u32,
    /// Connections of one network.
    pub connections_of_network: u32,
    /// Worker threads.
    pub workers: usize,
}

/// A running server.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Stops it.
    pub handle: ServerHandle,
    /// Ends with the server.
    pub server: actix_web::dev::Server,
}

/// Starts to listen.
///
/// # Errors
/// The address cannot be had.
pub fn serve(app: Arc<Countersign>, listening: Listening) -> io::Result<Running> {
    let Listening { listen, tls, trusted_proxies, refused_a_minute, ceremonies_a_minute, workers, .. } = listening;
    let listener = TcpListener::bind(listen)?;
    let address = listener.local_addr()?;
    let admission = Admission::new(listening.connections_of_network, &trusted_proxies);
    let edge = web::Data::new(Edge {
        app,
        trusted_proxies,
        refused: Tally::new(refused_a_minute),
        wrong_ceremonies: Tally::new(ceremonies_a_minute),
        wrong_clients: Tally::new(ceremonies_a_minute),
        started_ceremonies: Tally::new(MAX_STARTED_CEREMONIES_A_MINUTE),
        streams: Crowd::new(MAX_STREAMS_OF_ADDRESS),
        authorizations: Tally::new(MAX_AUTHORIZATIONS_A_MINUTE),
        foreign: Tally::new(MAX_FOREIGN_A_MINUTE),
        devices: Tally::new(MAX_DEVICES_A_MINUTE),
        guesses: Guesses::default(),
    });
    let pages = move || {
        App::new()
            .app_data(edge.clone())
            .app_data(web::PayloadConfig::new(MAX_BODY))
            .wrap(from_fn(guard))
            .configure(routes::configure)
            .default_service(web::to(not_found))
    };
    let server = Server::build()
        .workers(workers)
        // The framework counts for each worker.
        .max_concurrent_connections((MAX_CONNECTIONS / workers.max(1)).max(1))
        .shutdown_timeout(STOP_WITHIN_SECONDS)
        .disable_signals();
    let stopping = server.graceful_shutdown_signal();
    let server = match tls {
        None => server.listen("http", listener, move || {
            let stopping = stopping.clone();
            plain(admission.clone()).and_then(spoken(pages(), move || stopped(stopping.clone())))
        })?,
        Some(config) => {
            let mut config = Arc::unwrap_or_clone(config);
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            let acceptor = TlsAcceptor::from(Arc::new(config));
            server.listen("https", listener, move || {
                let stopping = stopping.clone();
                enciphered(admission.clone(), acceptor.clone())
                    .and_then(spoken(pages(), move || stopped(stopping.clone())))
            })?
        }
    }
    .run();
    Ok(Running { address, handle: server.handle(), server })
}

/// Ends when the server begins to stop.
async fn stopped(signal: GracefulShutdownSignal) {
    signal.notified().await;
}

/// What becomes of a connection.
type Served<T> = (Timed<T>, Option<SocketAddr>);

/// Takes connections as they come.
fn plain(
    admission: Admission,
) -> impl ServiceFactory<TcpStream, Config = (), Response = Served<Drained<TcpStream>>, Error = DispatchError, InitError = ()>
{
    fn_service(move |io: TcpStream| {
        let peer = io.peer_addr().ok();
        let admitted = admission.admit(peer).map_err(DispatchError::Io);
        ready(admitted.map(|place| (Timed::new(Drained::new(io, READ_WITHIN), PATIENCE, place), peer)))
    })
}

/// Takes connections and agrees on TLS; whoever takes too long over it is let go.
fn enciphered(
    admission: Admission,
    acceptor: TlsAcceptor,
) -> impl ServiceFactory<
    TcpStream,
    Config = (),
    Response = Served<TlsStream<Drained<TcpStream>>>,
    Error = DispatchError,
    InitError = (),
> {
    let accept = move |io: TcpStream| {
        let (admission, acceptor) = (admission.clone(), acceptor.clone());
        async move {
            let peer = io.peer_addr().ok();
            let place = admission.admit(peer)?;
            let io = timeout(TLS_WITHIN, acceptor.accept(Drained::new(io, READ_WITHIN))).await??;
            Ok((Timed::new(io, PATIENCE, place), peer))
        }
    };
    fn_service(accept).map_err(DispatchError::Io)
}

/// Speaks HTTP/1.1 over a connection. The framework's own server does the same over a stream that is not ours to time.
fn spoken<T, I, S, B, F>(
    pages: I,
    stopping: impl Fn() -> F + 'static,
) -> impl ServiceFactory<Served<T>, Config = (), Response = (), Error = DispatchError, InitError = ()>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig, Response = ServiceResponse<B>, Error = actix_web::Error> + 'static,
    S::InitError: Debug,
    B: MessageBody + 'static,
    F: Future<Output = ()> + 'static,
{
    let pages = pages.into_factory().map_err(|error: actix_web::Error| Response::from(error.error_response()));
    HttpService::build()
        .graceful_shutdown_signal(stopping)
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_WITHIN)
        .client_disconnect_timeout(LINGER)
        .on_connect_ext(|io: &Timed<T>, data| {
            data.insert(io.calls());
        })
        .h1(map_config(pages, |()| AppConfig::default()))
}

async fn not_found(edge: web::Data<Edge>) -> HttpResponse {
    edge.fail_page(crate::app::AppError::refused(
        crate::domain::oauth::error_code::ErrorCode::NotFound,
        "there is no such page",
    ))
}

/// Headers for every answer, and nothing for a host that is not ours.
async fn guard(request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<Answer>, actix_web::Error> {
    let has_body = !matches!(request.parts().1, Payload::None);
    let under_way = request.conn_data::<Rc<Calls>>().map(|calls| calls.begin(has_body));
    let (mut request, unread) = Unread::hold(request);
    if request.headers().contains_key(PREFER) {
        fit(request.headers_mut());
    }
    let known = request.app_data::<web::Data<Edge>>().is_some_and(|edge| is_our_host(&request, &edge.app));
    let response = if known {
        next.call(request).await?
    } else {
        let answer =
            HttpResponse::MisdirectedRequest().content_type("text/plain").body("this server has another name\n");
        request.into_response(answer)
    };
    if let Some(under_way) = &under_way {
        under_way.received();
    }
    let mut response = response.map_body(|_, body| Answer::new(body, under_way, unread));
    let headers = response.headers_mut();
    // A page with a form for an application says itself where that may go; everything else is as everywhere.
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        let policy = header::HeaderValue::from_static(CONTENT_SECURITY_POLICY);
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::HeaderName::from_static("permissions-policy"),
            "publickey-credentials-get=(self), publickey-credentials-create=(self)",
        ),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
    ] {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    if response.status().is_success() && is_public_metadata(response.request().path()) {
        response.headers_mut().insert(
            header::HeaderName::from_static("cross-origin-resource-policy"),
            header::HeaderValue::from_static("cross-origin"),
        );
    }
    Ok(response)
}

/// Puts headers into a table of their own size: a call that may be held keeps them, and the framework's table has room for 32
/// names, which is more than all else that it keeps of the call.
fn fit(headers: &mut HeaderMap) {
    let mut fitting = HeaderMap::with_capacity(headers.len_keys());
    for (name, value) in std::mem::take(headers) {
        fitting.append(name, value);
    }
    *headers = fitting;
}

fn is_public_metadata(path: &str) -> bool {
    matches!(path, "/jwks" | "/userinfo") || path.starts_with("/.well-known/")
}

/// The `Host` must be the one of our URL; probes of the machine's own health may use any.
fn is_our_host(request: &ServiceRequest, app: &Countersign) -> bool {
    if matches!(request.path(), "/healthz" | "/readyz" | "/metrics") {
        return true;
    }
    let mut hosts = request.headers().get_all(header::HOST);
    let host =
        hosts.next().and_then(|value| value.to_str().ok()).or_else(|| request.uri().authority().map(|a| a.as_str()));
    let one = hosts.next().is_none();
    let ours = app.settings.host();
    let default_port = if app.settings.url.starts_with("https:") { ":443" } else { ":80" };
    one && host.is_some_and(|host| {
        let host = host.strip_suffix(default_port).unwrap_or(host);
        host.eq_ignore_ascii_case(ours.strip_suffix(default_port).unwrap_or(ours))
    })
}
