use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SOON: Duration = Duration::from_secs(20);

/// A webhook that gives these statuses in turn, and what it was sent.
fn webhook(statuses: &'static [u16]) -> (Url, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/hooks/secret-path", listener.local_addr().unwrap())).unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for status in statuses {
            let (mut stream, _) = listener.accept().unwrap();
            let text = whole(&mut stream);
            write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            let _ = tell.send(text);
        }
    });
    (url, told)
}

fn whole(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).unwrap();
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if read == 0 || text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.ends_with('}')) {
            return text;
        }
    }
}

fn sending(webhooks: Vec<Url>) -> Outbound {
    Outbound::start(Sending {
        webhooks,
        secret: Secret::parse(SECRET).unwrap(),
        now: Arc::new(|| Timestamp::from_seconds(1_614_265_330)),
        first_pause: Duration::from_millis(1),
    })
    .unwrap()
}

fn notice(id: &str) -> Notice {
    Notice { id: id.to_owned(), body: b"{\"text\":\"hello\"}".to_vec(), lane: Lane::Waiting }
}

fn until(what: impl Fn() -> bool) {
    let (_keep, never) = channel::<()>();
    for _ in 0..2_000 {
        if what() {
            return;
        }
        let _ = never.recv_timeout(Duration::from_millis(5));
    }
    panic!("it did not come to that");
}

#[test]
fn a_notice_is_signed_and_sent_again_until_it_is_taken() {
    let (url, told) = webhook(&[500, 429, 204]);
    let outbound = sending(vec![url]);
    outbound.tell(&notice("msg_1"));
    let tries: Vec<_> = (0..3).map(|_| told.recv_timeout(SOON).unwrap()).collect();
    let signed = Secret::parse(SECRET).unwrap().sign("msg_1", 1_614_265_330, b"{\"text\":\"hello\"}");
    for text in &tries {
        let lower = text.to_ascii_lowercase();
        assert!(text.starts_with("POST /hooks/secret-path HTTP/1.1"), "{text}");
        assert!(lower.contains("webhook-id: msg_1\r\n") && lower.contains("webhook-timestamp: 1614265330\r\n"));
        assert!(text.contains(&signed), "{text}");
    }
    until(|| outbound.troubles().is_empty());
}

#[test]
fn what_is_lost_is_counted_and_nothing_waits_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/hooks/secret-path", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let outbound = sending(vec![url]);
    outbound.tell(&notice("msg_1"));
    until(|| outbound.troubles().concat().contains("1 notice was lost"));
    let trouble = outbound.troubles().concat();
    assert!(trouble.starts_with("webhook at 127.0.0.1: ") && trouble.contains("cannot be reached"), "{trouble}");
    assert!(!trouble.contains("secret-path"), "{trouble}");
    // More than fit: whoever tells is not held up.
    for n in 0..QUEUE * 3 {
        outbound.tell(&notice(&format!("msg_{n}")));
    }
    until(|| outbound.troubles().concat().contains(&format!("{} notices were lost", QUEUE * 3 + 1)));
}

/// A webhook that takes what is about people and keys, and never answers what waits; what it took.
fn stalls_for_requests() -> (Url, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/hooks/secret-path", listener.local_addr().unwrap())).unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let text = whole(&mut stream);
            if text.contains("waits") {
                held.push(stream);
            } else {
                write!(stream, "HTTP/1.1 204 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
                if tell.send(text).is_err() {
                    return;
                }
            }
        }
    });
    (url, told)
}

/// Many of one lane come at once, and a receiver holds the first of them: the queue is full, and more were lost.
fn flooded(lane: Lane) -> (Outbound, Receiver<String>) {
    let (url, told) = stalls_for_requests();
    let outbound = sending(vec![url]);
    for n in 0..QUEUE * 4 {
        outbound.tell(&Notice { body: b"{\"text\":\"waits\"}".to_vec(), lane, ..notice(&format!("msg_{n}")) });
    }
    assert!(outbound.troubles().concat().contains("notices were lost"));
    (outbound, told)
}

#[test]
fn what_people_do_with_passkeys_of_their_own_crowds_out_neither_warnings_nor_requests() {
    let (outbound, told) = flooded(Lane::Own);
    let lost = outbound.troubles();
    for (n, lane) in [Lane::Security, Lane::Waiting].into_iter().cycle().take(20).enumerate() {
        outbound.tell(&Notice { lane, ..notice(&format!("other_{n}")) });
        let text = told.recv_timeout(SOON).unwrap();
        assert!(text.contains(&format!("other_{n}\r\n")), "{text}");
    }
    assert_eq!(outbound.troubles(), lost, "nothing of the others was lost");
}

#[test]
fn attack_044_a_flood_of_requests_crowds_out_no_warning() {
    let (outbound, told) = flooded(Lane::Waiting);
    for n in 0..20 {
        outbound.tell(&Notice { lane: Lane::Security, ..notice(&format!("warning_{n}")) });
        let text = told.recv_timeout(SOON).unwrap();
        assert!(text.contains(&format!("warning_{n}\r\n")), "{text}");
    }
    assert!(!outbound.troubles().concat().contains("about people and keys"), "{:?}", outbound.troubles());
}

#[test]
fn pauses_grow_fivefold_and_none_is_longer_than_the_longest() {
    let pauses: Vec<_> =
        (1..SECURITY_ATTEMPTS).map(|failures| fivefold(FIRST_PAUSE, failures, LONGEST_PAUSE)).collect();
    assert_eq!(pauses[..3], [FIRST_PAUSE, FIRST_PAUSE * 5, FIRST_PAUSE * 25]);
    assert!(pauses.is_sorted() && pauses.last() == Some(&LONGEST_PAUSE), "{pauses:?}");
    assert_eq!(fivefold(FIRST_PAUSE, usize::MAX, LONGEST_PAUSE), LONGEST_PAUSE);
    assert_eq!(fivefold(LONGEST_PAUSE * 2, 1, LONGEST_PAUSE), LONGEST_PAUSE);
}

#[test]
fn that_requests_wait_is_tried_so_often_and_once_while_the_webhook_is_down() {
    const NO: &[u16] = &[500; ATTEMPTS + 5];
    let (url, told) = webhook(NO);
    let outbound = sending(vec![url]);
    outbound.tell(&notice("msg_1"));
    until(|| outbound.troubles().concat().contains("1 notice was lost"));
    outbound.tell(&notice("msg_2"));
    until(|| outbound.troubles().concat().contains("2 notices were lost"));
    let tries: Vec<_> = told.try_iter().collect();
    let of = |id: &str| tries.iter().filter(|text| text.contains(&format!("{id}\r\n"))).count();
    assert_eq!((of("msg_1"), of("msg_2"), tries.len()), (ATTEMPTS, 1, ATTEMPTS + 1));
}

#[test]
fn a_warning_is_tried_longer_and_its_loss_is_named() {
    let (url, told) = webhook(&[500, 500, 500, 500, 500, 500, 500, 204]);
    let outbound = Outbound::start(Sending {
        webhooks: vec![url],
        secret: Secret::parse(SECRET).unwrap(),
        now: Arc::new(|| Timestamp::from_seconds(1_614_265_330)),
        first_pause: Duration::ZERO,
    })
    .unwrap();
    outbound.tell(&Notice { lane: Lane::Security, ..notice("msg_1") });
    for _ in 0..SECURITY_ATTEMPTS {
        told.recv_timeout(SOON).unwrap();
    }
    until(|| outbound.troubles().is_empty());
    // The receiver is gone now.
    outbound.tell(&Notice { lane: Lane::Security, ..notice("msg_2") });
    until(|| outbound.troubles().concat().contains("1 notice was lost (1 about people and keys)"));
}
