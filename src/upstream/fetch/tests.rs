#![expect(clippy::unnecessary_wraps, reason = "lookups have the shape of the system's")]

use super::*;
use crate::upstream::test_server::{Reply, TestServer};

/// Short, so that the tests are; long enough for a handshake on a busy machine.
const SHORT: Duration = Duration::from_millis(1500);

fn fetcher(server: &TestServer) -> Fetcher {
    Fetcher::with_deadline(&Roots::CaFile(server.ca_file.clone()), true, SHORT).unwrap()
}

fn get(reply: Reply) -> Result<Vec<u8>, UpstreamError> {
    let server = TestServer::start();
    server.answer("/x", reply);
    fetcher(&server).get_json(&server.at("/x"))
}

#[test]
fn a_json_document_is_fetched_by_name_and_by_address() {
    let server = TestServer::start();
    server.answer("/x", Reply::json("{}"));
    let fetcher = fetcher(&server);
    assert_eq!(fetcher.get_json(&server.at("/x")).unwrap(), b"{}");
    let by_address = Url::parse(&format!("https://127.0.0.1:{}/x", server.port)).unwrap();
    assert_eq!(fetcher.get_json(&by_address).unwrap(), b"{}");
    assert_eq!(server.connections(), 2, "no connection is kept");
}

#[test]
fn json_comes_under_several_names() {
    for kind in
        ["application/json; charset=utf-8", "application/jwk-set+json", "Application/JSON", "binary/octet-stream"]
    {
        assert!(get(Reply::typed(kind, "{}")).is_ok(), "{kind}");
    }
    assert!(get(Reply::Whole { status: 200, headers: Vec::new(), body: b"{}".to_vec() }).is_ok());
}

#[test]
fn attack_015_redirects_are_not_followed() {
    let server = TestServer::start();
    let elsewhere = TestServer::start();
    for (status, to) in [
        (301, "http://169.254.169.254/latest/meta-data"),
        (302, elsewhere.url().as_str()),
        (307, server.at("/y").as_str()),
        (308, "/y"),
    ] {
        server.answer("/x", Reply::status(status).with("Location", to));
        let error = fetcher(&server).get_json(&server.at("/x")).unwrap_err();
        assert!(error.to_string().contains("redirects are not followed"), "{error}");
    }
    assert_eq!((server.asked("/y"), elsewhere.connections()), (0, 0));
}

#[test]
fn attack_015_private_addresses_are_refused_before_any_connection() {
    let server = TestServer::start();
    server.answer("/x", Reply::json("{}"));
    let strict = Fetcher::with_deadline(&Roots::CaFile(server.ca_file.clone()), false, SHORT).unwrap();
    for host in ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1", "0.0.0.0"] {
        let url = Url::parse(&format!("https://{host}:{}/x", server.port)).unwrap();
        let error = strict.get_json(&url).unwrap_err();
        assert!(matches!(error, UpstreamError::Address { .. }), "{host}: {error}");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn attack_015_a_name_is_resolved_once_and_the_checked_address_is_the_one() {
    static LOOKUPS: std::sync::Mutex<usize> = std::sync::Mutex::new(0);
    fn rebinding(_: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        let mut lookups = LOOKUPS.lock().unwrap();
        *lookups += 1;
        let address = if *lookups == 1 { [192, 0, 2, 1] } else { [127, 0, 0, 1] };
        Ok(vec![SocketAddr::from((address, port)), SocketAddr::from(([10, 0, 0, 1], port))])
    }
    let server = TestServer::start();
    let resolver = CheckedResolver { allow_private: false, lookup: rebinding };
    let fetcher = Fetcher::build(&Roots::CaFile(server.ca_file.clone()), resolver, SHORT).unwrap();
    let error = fetcher.get_json(&server.at("/x")).unwrap_err();
    assert!(matches!(error, UpstreamError::Address { .. }), "{error}");
    assert_eq!((*LOOKUPS.lock().unwrap(), server.connections()), (1, 0));
}

#[test]
fn attack_015_of_mixed_addresses_only_the_public_stay() {
    fn mixed(_: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        let addresses = [[127, 0, 0, 1], [1, 1, 1, 1], [10, 0, 0, 1]];
        Ok(addresses.map(|address| SocketAddr::from((address, port))).to_vec())
    }
    let resolver = CheckedResolver { allow_private: false, lookup: mixed };
    let uri: Uri = "https://issuer.example/".parse().unwrap();
    let timeout = NextTimeout { after: SHORT.into(), ..NextTimeout::default() };
    let kept = resolver.resolve(&uri, &Config::default(), timeout).unwrap();
    assert_eq!(kept.to_vec(), [SocketAddr::from(([1, 1, 1, 1], 443))]);
}

#[test]
fn attack_015_a_lookup_that_hangs_meets_the_deadline() {
    fn hanging(_: &str, _: u16) -> std::io::Result<Vec<SocketAddr>> {
        std::thread::park_timeout(Duration::from_secs(30));
        Ok(Vec::new())
    }
    let server = TestServer::start();
    let resolver = CheckedResolver { allow_private: true, lookup: hanging };
    let fetcher = Fetcher::build(&Roots::CaFile(server.ca_file.clone()), resolver, Duration::from_millis(100)).unwrap();
    let error = fetcher.get_json(&server.at("/x")).unwrap_err();
    assert!(matches!(error, UpstreamError::Deadline { millis: 100, .. }), "{error}");
}

#[test]
fn attack_015_a_body_over_the_limit_is_refused() {
    let limit = usize::try_from(MAX_BODY).unwrap();
    assert_eq!(get(Reply::json(vec![b' '; limit])).unwrap().len(), limit);
    let error = get(Reply::json(vec![b' '; limit + 1])).unwrap_err();
    assert!(matches!(error, UpstreamError::TooLarge { limit: MAX_BODY, .. }), "{error}");
    let error = get(Reply::json(vec![b' '; 4_000_000])).unwrap_err();
    assert!(matches!(error, UpstreamError::TooLarge { .. }), "{error}");
}

/// 100 kB of zeros in 132 bytes of gzip, head and tail around what is zero in it, too.
fn gzip_of_100_kb() -> Vec<u8> {
    let head = "1f8b0800000000000203edc13101000000c2a0f54f6d0d0fa0";
    let tail = "8057037d9511d4a0860100";
    let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
    let (head, tail) = (hex(head), hex(tail));
    let zeros = vec![0; 132 - head.len() - tail.len()];
    [head, zeros, tail].concat()
}

#[test]
fn attack_015_a_gzip_bomb_is_cut_off() {
    let small = gzip_of_100_kb();
    let reply = |body| Reply::json(body).with("Content-Encoding", "gzip");
    assert_eq!(get(reply(small.clone())).unwrap(), vec![0; 100_000]);
    let bomb = small.repeat(1000);
    assert!(bomb.len() < usize::try_from(MAX_BODY).unwrap());
    let error = get(reply(bomb)).unwrap_err();
    assert!(matches!(error, UpstreamError::TooLarge { .. }), "{error}");
}

#[test]
fn attack_015_slow_answers_meet_the_deadline() {
    for reply in [Reply::Drip, Reply::HangAfterHeaders, Reply::Gated(b"{}".to_vec())] {
        let server = TestServer::start();
        server.answer("/x", reply);
        let error = fetcher(&server).get_json(&server.at("/x")).unwrap_err();
        assert!(matches!(error, UpstreamError::Deadline { .. }), "{error}");
    }
}

#[test]
fn attack_015_what_is_posted_meets_the_deadline_and_is_not_sent_elsewhere() {
    let server = TestServer::start();
    let post = |url: &Url| fetcher(&server).post(url, &[("ttl", "60".to_owned())], b"sealed");
    server.answer("/x", Reply::status(201));
    assert!(matches!(post(&server.at("/x")), Ok(201)));
    server.answer("/x", Reply::status(307).with("Location", server.at("/y").as_str()));
    assert!(matches!(post(&server.at("/x")), Ok(307)), "the caller is told, and nothing follows");
    server.answer("/x", Reply::Gated(Vec::new()));
    let error = post(&server.at("/x")).unwrap_err();
    assert!(matches!(error, UpstreamError::Deadline { millis, .. } if millis == SHORT.as_millis()), "{error}");
    let plain = Url::parse(&format!("http://localhost:{}/x", server.port)).unwrap();
    assert!(matches!(post(&plain), Err(UpstreamError::Url { .. })));
    assert_eq!(server.asked("/y"), 0);
}

#[test]
fn attack_015_a_server_that_never_shakes_hands_meets_the_deadline() {
    let server = TestServer::start();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("https://127.0.0.1:{}/", silent.local_addr().unwrap().port())).unwrap();
    let roots = Roots::CaFile(server.ca_file.clone());
    let fetcher = Fetcher::with_deadline(&roots, true, Duration::from_millis(200)).unwrap();
    let error = fetcher.get_json(&url).unwrap_err();
    assert!(matches!(error, UpstreamError::Deadline { .. }), "{error}");
}

#[test]
fn attack_015_pages_and_other_statuses_are_refused() {
    for kind in ["text/html", "text/html; charset=utf-8", "application/xml", "image/png", "", "json"] {
        let error = get(Reply::typed(kind, "{}")).unwrap_err();
        assert!(matches!(error, UpstreamError::ContentType { .. }), "{kind}: {error}");
    }
    for status in [201, 204, 304, 400, 401, 404, 500, 503] {
        let error = get(Reply::status(status)).unwrap_err();
        assert!(matches!(error, UpstreamError::Status { .. }), "{status}: {error}");
    }
}

fn loopback(_: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
}

#[test]
fn attack_015_bad_certificates_are_refused() {
    let server = TestServer::start();
    server.answer("/x", Reply::json("{}"));
    let other = TestServer::start();
    let error = fetcher(&other).get_json(&server.at("/x")).unwrap_err();
    assert!(matches!(error, UpstreamError::Tls { .. }) && error.to_string().contains("ca_file"), "{error}");
    let resolver = CheckedResolver { allow_private: true, lookup: loopback };
    let misnamed = Fetcher::build(&Roots::CaFile(server.ca_file.clone()), resolver, SHORT).unwrap();
    let url = Url::parse(&format!("https://other.example:{}/x", server.port)).unwrap();
    let error = misnamed.get_json(&url).unwrap_err();
    assert!(matches!(error, UpstreamError::Tls { .. }), "{error}");
}

#[test]
fn attack_015_only_https_is_fetched() {
    let server = TestServer::start();
    for url in [format!("http://localhost:{}/x", server.port), format!("https://a:b@localhost:{}/x", server.port)] {
        let error = fetcher(&server).get_json(&Url::parse(&url).unwrap()).unwrap_err();
        assert!(matches!(error, UpstreamError::Url { .. }), "{error}");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn roots_that_cannot_be_read_are_named() {
    let missing = Fetcher::new(&Roots::CaFile("/nonexistent/ca.pem".into()), false).unwrap_err().to_string();
    assert!(missing.contains("/nonexistent/ca.pem"), "{missing}");
    let none = Fetcher::new(&Roots::CaFile("/dev/null".into()), false).unwrap_err().to_string();
    assert!(none.contains("no certificate"), "{none}");
}

#[test]
fn attack_015_a_signed_document_is_of_any_type_and_within_the_same_bounds() {
    let server = TestServer::start();
    let get = |reply: Reply, limit| {
        server.answer("/x", reply);
        fetcher(&server).get_signed(&server.at("/x"), limit)
    };
    assert_eq!(get(Reply::typed("text/html", "a.b.c"), 5).unwrap(), b"a.b.c");
    assert!(matches!(get(Reply::json("a.b.cd"), 5), Err(UpstreamError::TooLarge { limit: 5, .. })));
    assert!(matches!(
        get(Reply::status(302).with("Location", "/y"), 5),
        Err(UpstreamError::Status { status: 302, .. })
    ));
    for stalls in [Reply::Drip, Reply::HangAfterHeaders] {
        assert!(matches!(get(stalls, 1 << 20), Err(UpstreamError::Deadline { .. })));
    }
    let half = get(Reply::Half(b"a.b".to_vec()), 1 << 20).unwrap_err();
    assert!(matches!(half, UpstreamError::Unreachable { .. }), "{half}");
    assert_eq!(server.asked("/y"), 0);
}
