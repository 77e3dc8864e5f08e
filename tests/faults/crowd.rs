//! Many at once: connections that dawdle, requests that would be two, and thousands of jobs that wait for a signature.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream as Blocking};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::cli::demo::authenticator::SoftAuthenticator;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::built::payload;
use crate::load::{Job, PATIENCE, SIGNED, now, since};
use crate::table::{Row, number};
use crate::ward::Ward;

/// Connections that dawdle.
const DAWDLERS: u64 = 200;
const DAWDLERS_FULL: u64 = 2_000;
/// Jobs that wait.
const WAITERS: u64 = 400;
const WAITERS_FULL: u64 = 10_000;
/// Jobs of one project and calls from one address; both are limited at 100 and more.
const TOGETHER: u64 = 90;
/// The address, by number, from which the first of those signs in who wait for nothing.
const FIRST_GUEST: u64 = 50_000;
/// Calls under way at once, besides those that are held.
const AT_ONCE: usize = 32;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn address_of(url: &str) -> SocketAddr {
    format!("127.0.0.1:{}", url.rsplit_once(':').unwrap().1).parse().unwrap()
}

/// Raises our own limit of open files as far as that goes.
fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    limit.maximum.unwrap_or(u64::MAX)
}

/// A connection from one of this machine's own addresses, so that limits by address count as in life.
async fn connect(from: u64, to: SocketAddr) -> TcpStream {
    let [.., high, low] = (from + 1).to_be_bytes();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 1, high, low), 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// One call, and the JSON of its answer.
async fn call(from: u64, to: SocketAddr, request: String) -> (u16, Value) {
    let mut stream = connect(from, to).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    tokio::time::timeout(10 * PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("{head}\n{body}")))
}

fn post(url: &str, path: &str, kind: &str, headers: &str, body: &str) -> String {
    let host = url.rsplit_once('/').unwrap().1;
    format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: {kind}\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn exchange(url: &str, job: &Job, wait: bool) -> String {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
        .append_pair("subject_token_type", "urn:ietf:params:oauth:token-type:id_token")
        .append_pair("subject_token", &job.token)
        .append_pair("audience", job.audience)
        .finish();
    let prefer = if wait { "prefer: wait=300\r\n" } else { "" };
    let headers = format!("idempotency-key: {}\r\n{prefer}", job.collector);
    post(url, "/token", "application/x-www-form-urlencoded", &headers, &form)
}

fn from_page(url: &str, path: &str, body: &Value) -> String {
    let headers = format!("origin: {url}\r\nsec-fetch-site: same-origin\r\n");
    post(url, path, "application/json", &headers, &body.to_string())
}

/// What the kernel says of a process.
fn status_of(process: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn attack_079_connections_that_dawdle_are_let_go_and_hold_up_nobody() {
    let (mut ward, server) = Ward::new();
    let most = raise();
    let dawdlers = number("COUNTERSIGN_DRILL_DAWDLERS", DAWDLERS, DAWDLERS_FULL).min(most / 2);
    let to = address_of(&ward.world.url);
    let host = ward.world.url.rsplit_once('/').unwrap().1.to_owned();
    let mut row = Row::default();
    let begun = now();
    let slowest = std::thread::scope(|scope| {
        let crowd = scope.spawn(move || {
            runtime().block_on(async move {
                let mut all = JoinSet::new();
                for n in 0..dawdlers {
                    // A third of them never end their head, a third never end their body, and a third never end the
                    // head of their second call.
                    let whole = format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n");
                    let start = if n % 3 == 1 {
                        format!("POST /token HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1000\r\ncontent-type: application/x-www-form-urlencoded\r\n\r\na=")
                    } else {
                        format!("{whole}x-slow: ")
                    };
                    let mut stream = connect(n / TOGETHER, to).await;
                    all.spawn(async move {
                        if n % 3 == 2 {
                            stream.write_all(format!("{whole}\r\n").as_bytes()).await.unwrap();
                            assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0, "it answers the first call");
                        }
                        stream.write_all(start.as_bytes()).await.unwrap();
                        dawdle(stream).await
                    });
                }
                while let Some(answer) = all.join_next().await {
                    let answer = answer.unwrap();
                    assert!(answer.is_empty() || answer.contains(" 408 ") || answer.contains(" 400 "), "{answer}");
                }
            });
        });
        let mut slowest = Duration::ZERO;
        while !crowd.is_finished() {
            let begun = now();
            let mut job = ward.free();
            assert!(job.get(&server.calls, &ward.approver, &mut row), "it fell silent");
            slowest = slowest.max(since(begun));
        }
        crowd.join().unwrap();
        slowest
    });
    let took = since(begun);
    ward.serves(&server, &mut row);
    ward.audit.whole(&ward.world);
    let fault = format!(
        "{dawdlers} send a byte a second; let go after {} s; the slowest token meanwhile took {} ms",
        took.as_secs(),
        slowest.as_millis()
    );
    row.print("slowloris", &fault);
}

/// A byte a second until the server has had enough; what it said.
async fn dawdle(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let mut pace = tokio::time::interval(Duration::from_secs(1));
    let patience = now() + PATIENCE;
    loop {
        assert!(now() < patience, "a connection that dawdles is held");
        tokio::select! {
            read = stream.read_buf(&mut answer) => match read {
                Ok(0) | Err(_) => return String::from_utf8_lossy(&answer).into_owned(),
                Ok(_) => {}
            },
            _ = pace.tick() => {
                // A connection that is gone says so at the next read.
                let _ = stream.write_all(b"a").await;
            }
        }
    }
}

#[test]
fn attack_079_a_request_that_could_be_two_is_one_or_none() {
    let (mut ward, server) = Ward::new();
    let to = address_of(&ward.world.url);
    let host = ward.world.url.rsplit_once('/').unwrap().1;
    let healthy = format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    let many = "x-many: 1\r\n".repeat(100_000);
    let cases = [
        format!(
            "POST /token HTTP/1.1\r\nhost: {host}\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{healthy}"
        ),
        format!("POST /token HTTP/1.1\r\nhost: {host}\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello{healthy}"),
        format!(
            "POST /token HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{healthy}"
        ),
        format!("POST /token HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n{healthy}"),
        format!("POST /token HTTP/1.1\r\nhost: {host}\r\ncontent-length: +5\r\n\r\nhello{healthy}"),
        format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\n{many}\r\n"),
        format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\nx-large: {}\r\n\r\n", "x".repeat(1024 * 1024)),
    ];
    for request in cases {
        let mut stream = Blocking::connect(to).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // It may have hung up before all is written.
        let _ = stream.write_all(request.as_bytes());
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let answer = String::from_utf8_lossy(&bytes);
        let shown: String = request.chars().take(120).collect();
        assert!(!answer.contains(" 200 "), "{shown}: {answer}");
        assert!(
            answer.is_empty() || [" 400 ", " 431 ", " 413 ", " 408 ", " 501 "].iter().any(|no| answer.contains(no)),
            "{shown}: {answer}"
        );
    }
    let mut row = Row::default();
    ward.serves(&server, &mut row);
    ward.audit.whole(&ward.world);
    row.print("HTTP", "two lengths, odd encodings, 100,000 headers");
}

/// Everybody who waits, and whoever signs for them.
struct Crowd {
    url: String,
    to: SocketAddr,
    approver: Arc<Mutex<SoftAuthenticator>>,
}

/// How the crowd was served.
struct Told {
    held: u64,
    threads: u64,
    kilobytes: u64,
    middle: Duration,
    most: Duration,
    all: Duration,
    /// How long each sign-in took meanwhile, ascending.
    sign_ins: Vec<Duration>,
}

/// The address from which a job calls, and its approver.
fn seat(at: usize) -> u64 {
    u64::try_from(at).unwrap() / TOGETHER
}

impl Crowd {
    /// Does something for each, so many at once; the results are in order.
    async fn each<T: Send + 'static, F>(n: usize, act: impl Fn(usize) -> F) -> Vec<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut all = JoinSet::new();
        for at in 0..n {
            let place = Arc::clone(&places).acquire_owned().await.unwrap();
            let act = act(at);
            all.spawn(async move {
                let result = act.await;
                drop(place);
                (at, result)
            });
        }
        let mut results = all.join_all().await;
        results.sort_by_key(|(at, _)| *at);
        results.into_iter().map(|(_, result)| result).collect()
    }

    async fn waiting(&self) -> u64 {
        let host = self.url.rsplit_once('/').unwrap().1;
        let request = format!("GET /readyz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        call(0, self.to, request).await.1["requests_with_waiters"].as_u64().unwrap()
    }

    /// Signs for one request; when the signature was sent.
    async fn sign(self: Arc<Self>, at: usize, request: String) -> Duration {
        let approve = json!({ "decision": "approve" });
        let options = from_page(&self.url, &format!("/a/{request}/options"), &approve);
        let (status, options) = call(seat(at), self.to, options).await;
        assert_eq!(status, 200, "{options}");
        let response = self.approver.lock().unwrap().get(&options).unwrap();
        let body = json!({ "ceremony": options["ceremony"], "response": response });
        let decision = from_page(&self.url, &format!("/a/{request}/decision"), &body);
        let sent = now();
        let (status, decided) = call(seat(at), self.to, decision).await;
        assert_eq!(status, 200, "{decided}");
        sent
    }

    /// Signs in again and again while the crowd is served; how long each took.
    async fn sign_in_until(self: Arc<Self>, served: Arc<AtomicBool>) -> Vec<Duration> {
        let mut spans = Vec::new();
        while !served.load(Ordering::Relaxed) {
            // From an address of its own, as other people would.
            let from = FIRST_GUEST + u64::try_from(spans.len()).unwrap() / TOGETHER;
            let begun = now();
            let options = from_page(&self.url, "/sign-in/options", &json!({}));
            let (status, options) = call(from, self.to, options).await;
            assert_eq!(status, 200, "{options}");
            let response = self.approver.lock().unwrap().get(&options).unwrap();
            let body = json!({ "ceremony": options["ceremony"], "response": response });
            let (status, answer) = call(from, self.to, from_page(&self.url, "/sign-in/session", &body)).await;
            assert_eq!(status, 200, "{answer}");
            spans.push(since(begun));
        }
        spans.sort();
        spans
    }

    /// Every job asks and is held; then all are signed for in one burst.
    async fn wait_and_be_told(self: Arc<Self>, jobs: &[Arc<Job>], process: u32) -> (Vec<String>, Told) {
        let requests = Self::each(jobs.len(), |at| {
            let (crowd, job) = (Arc::clone(&self), Arc::clone(&jobs[at]));
            async move {
                let (status, answer) = call(seat(at), crowd.to, exchange(&crowd.url, &job, false)).await;
                assert_eq!(status, 400, "{answer}");
                answer["approval_id"].as_str().unwrap().to_owned()
            }
        })
        .await;
        let mut waiters = JoinSet::new();
        for (at, job) in jobs.iter().enumerate() {
            let (request, to) = (exchange(&self.url, job, true), self.to);
            waiters.spawn(async move {
                // Whoever was held for as long as the server holds anybody asks again.
                loop {
                    let (status, answer) = call(seat(at), to, request.clone()).await;
                    if answer["error_code"] != "approval_pending" {
                        assert_eq!(status, 200, "{answer}");
                        return (at, answer["access_token"].as_str().unwrap().to_owned(), now());
                    }
                }
            });
            if at % AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        let deadline = now() + 5 * PATIENCE;
        let wanted = u64::try_from(jobs.len()).unwrap();
        while self.waiting().await < wanted {
            assert!(now() < deadline, "only {} of {wanted} are held", self.waiting().await);
        }
        let (threads, kilobytes) = (status_of(process, "Threads"), status_of(process, "VmRSS"));
        let begun = now();
        let served = Arc::new(AtomicBool::new(false));
        let guests = tokio::spawn(Arc::clone(&self).sign_in_until(Arc::clone(&served)));
        let signed = Self::each(jobs.len(), |at| Arc::clone(&self).sign(at, requests[at].clone())).await;
        let mut told = waiters.join_all().await;
        let all = since(begun);
        served.store(true, Ordering::Relaxed);
        let sign_ins = guests.await.unwrap();
        told.sort_by_key(|(at, ..)| *at);
        let mut spans: Vec<_> = told.iter().map(|(at, _, then)| then.saturating_sub(signed[*at])).collect();
        spans.sort();
        let told = told.into_iter().map(|(_, token, _)| token).collect();
        let (middle, most) = (spans[spans.len() / 2], spans[spans.len() - 1]);
        (told, Told { held: wanted, threads, kilobytes, middle, most, all, sign_ins })
    }
}

#[test]
fn attack_091_each_of_a_crowd_of_waiters_gets_its_own_answer_once() {
    let (mut ward, server) = Ward::with(|world| {
        let path = world.folder.join("countersign.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text.replace("[server]\n", "[server]\nwait_limit = \"5m\"\n")).unwrap();
    });
    // The server has raised its own limit; it was started under whatever ours was.
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.process())).unwrap();
    let files: Vec<_> =
        limits.lines().find(|line| line.starts_with("Max open files")).unwrap().split_whitespace().collect();
    assert_eq!(files[3], files[4], "the server has not raised its limit of open files");
    let waiters = number("COUNTERSIGN_DRILL_WAITERS", WAITERS, WAITERS_FULL).min(raise() - 500);
    let idle = status_of(server.process(), "VmRSS");
    let job = |n: u64| {
        let project = Value::from((6_000 + n / TOGETHER).to_string());
        let job = ward.world.job(n).with("project_id", project.clone()).with("job_project_id", project);
        Arc::new(Job::new(ward.world.sign(&job), SIGNED))
    };
    let jobs: Vec<_> = (0..waiters).map(job).collect();
    ward.approver.lock().unwrap().behaviour.counter_step = 0;
    let crowd =
        Crowd { url: ward.world.url.clone(), to: address_of(&ward.world.url), approver: Arc::clone(&ward.approver) };
    let (answers, told) = runtime().block_on(Arc::new(crowd).wait_and_be_told(&jobs, server.process()));
    ward.audit.read(&ward.world);
    let mut jtis = BTreeSet::new();
    for (job, answer) in jobs.iter().zip(&answers) {
        let (claims, asked) = (payload(answer), payload(&job.token));
        assert_eq!(claims["gitlab_job_id"], asked["job_id"], "somebody else's answer");
        assert!(jtis.insert(claims["jti"].to_string()), "one answer went to two");
        ward.audit.answered(answer);
    }
    assert_eq!(ward.audit.logged(), jobs.len());
    let row = Row { sent: 2 * waiters, others: waiters, tokens: waiters, ..Row::default() };
    let Told { held, threads, kilobytes, middle, most, all, sign_ins } = told;
    assert!(!sign_ins.is_empty(), "nobody could sign in meanwhile");
    assert!(threads < 64, "{threads} threads for {held} waiters");
    ward.audit.whole(&ward.world);
    let fault = format!(
        "{held} held at once with {threads} threads and {} KiB each; signed in a burst of {:.1} s; from signature to token {} ms, at most {} ms; {} sign-ins meanwhile, p99 {} ms",
        kilobytes.saturating_sub(idle) / held.max(1),
        all.as_secs_f32(),
        middle.as_millis(),
        most.as_millis(),
        sign_ins.len(),
        sign_ins[(sign_ins.len() - 1) * 99 / 100].as_millis()
    );
    row.print("waiters", &fault);
}
