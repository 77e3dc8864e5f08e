//! Tells a client that a session ended: one POST of a logout token.
//! In: the client's URI and a signed token. Out: it was taken, or why not, without a word of the answer.
//! Implements OpenID Connect Back-Channel Logout 1.0 §2.5, §2.8.
//! Never follows a redirect, never reads what is answered, and never shows a token.

use std::time::Duration;

use url::Url;

use super::OutboundError;
use super::agent::Agent;

/// Time for one whole delivery.
pub const LOGOUT_WITHIN: Duration = Duration::from_secs(5);

/// Tells clients.
#[derive(Clone)]
pub struct Teller(Agent);

impl Teller {
    /// Reads the system's authorities, unless every client is on this machine.
    ///
    /// # Errors
    /// The system has no certificates of authorities.
    pub fn new(needs_roots: bool) -> Result<Self, OutboundError> {
        Ok(Self(Agent::new(needs_roots, LOGOUT_WITHIN)?))
    }

    /// One try; it blocks.
    ///
    /// # Errors
    /// Why the client was not told.
    pub fn tell(&self, uri: &Url, token: &str) -> Result<(), String> {
        let body = url::form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", token).finish();
        match self.0.post(uri, &[("content-type", "application/x-www-form-urlencoded")], body.as_bytes())? {
            // §2.8: 200, and 204 for frameworks that turn an empty 200 into it.
            200 | 204 => Ok(()),
            status => Err(format!("it answered with status {status}")),
        }
    }
}

impl std::fmt::Debug for Teller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Teller")
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    /// A client that answers one call so, and what it was sent.
    fn client(answer: &'static str) -> (Url, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = Url::parse(&format!("http://{}/out", listener.local_addr().unwrap())).unwrap();
        let heard = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = Vec::new();
            let mut part = [0; 1024];
            while !heard.ends_with(b"a.b.c") {
                let read = stream.read(&mut part).unwrap();
                heard.extend_from_slice(&part[..read]);
            }
            stream
                .write_all(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes())
                .unwrap();
            String::from_utf8(heard).unwrap()
        });
        (uri, heard)
    }

    #[test]
    fn the_token_comes_as_a_form_and_a_client_that_says_no_was_not_told() {
        let teller = Teller::new(false).unwrap();
        let (uri, heard) = client("200 OK");
        teller.tell(&uri, "a.b.c").unwrap();
        let heard = heard.join().unwrap().to_ascii_lowercase();
        assert!(heard.starts_with("post /out http/1.1") && heard.ends_with("\r\n\r\nlogout_token=a.b.c"), "{heard}");
        assert!(heard.contains("content-type: application/x-www-form-urlencoded"));
        for (answer, said) in
            [("400 Bad Request", "status 400"), ("302 Found", "status 302"), ("503 Busy", "status 503")]
        {
            let (uri, heard) = client(answer);
            assert!(teller.tell(&uri, "a.b.c").unwrap_err().contains(said));
            heard.join().unwrap();
        }
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = teller.tell(&Url::parse(&format!("http://{nobody}/")).unwrap(), "a.b.c").unwrap_err();
        assert!(!error.contains("a.b.c"));
    }
}
