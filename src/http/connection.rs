//! A connection: how long a head and a reader may take on it, and how many of them one network may have.
//! In: accepted streams. Out: streams that end where their client dawdles.
//! Implements RFC 9112 §9.5 (time-outs). The framework times a connection's first head alone.
//! Never looks into what it carries.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::config::cidr::Cidr;

use super::caller::{Crowd, Place};

/// The calls of a connection: how many have begun, and whether one is under way.
#[derive(Debug, Default)]
pub struct Calls {
    begun: Cell<u64>,
    under_way: Cell<bool>,
}

impl Calls {
    /// A head has arrived whole; its call is under way until what this gives is dropped.
    pub fn begin(self: &Rc<Self>) -> UnderWay {
        self.begun.set(self.begun.get() + 1);
        self.under_way.set(true);
        UnderWay(Rc::clone(self))
    }
}

/// A call that is under way.
#[derive(Debug)]
pub struct UnderWay(Rc<Calls>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(false);
    }
}

/// Who may have a connection.
#[derive(Clone)]
pub struct Admission {
    crowd: Arc<Crowd>,
    proxies: Arc<[Cidr]>,
}

impl Admission {
    /// At most `most` connections for each network; a proxy that is believed has those of all its clients.
    pub fn new(most: u32, proxies: &[Cidr]) -> Self {
        Self { crowd: Arc::new(Crowd::new(most)), proxies: proxies.into() }
    }

    /// A place for a connection from there.
    ///
    /// # Errors
    /// The network has all that it may have.
    pub fn admit(&self, peer: Option<SocketAddr>) -> io::Result<Option<Place>> {
        let Some(peer) = peer else { return Ok(None) };
        if self.proxies.iter().any(|proxy| proxy.contains(peer.ip())) {
            return Ok(None);
        }
        let refused = || io::Error::new(io::ErrorKind::QuotaExceeded, "too many connections from one network");
        self.crowd.enter(peer.ip()).map(Some).ok_or_else(refused)
    }
}

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a head.
    pub head: Duration,
    /// For taking a first byte more of what it is sent.
    pub reading: Duration,
}

/// When the head that is arriving has to be whole.
struct Due {
    /// How many calls had begun before it.
    after: u64,
    timer: Pin<Box<Sleep>>,
}

/// A stream that ends where a head takes longer than it may, as if the client had gone, or where nobody reads what is sent.
pub struct Timed<T> {
    io: T,
    patience: Patience,
    calls: Rc<Calls>,
    due: Option<Due>,
    /// Since what is sent finds no room.
    stalled: Option<Pin<Box<Sleep>>>,
    _place: Option<Place>,
}

impl<T> Timed<T> {
    /// A stream, and its place among those of its network.
    pub fn new(io: T, patience: Patience, place: Option<Place>) -> Self {
        Self { io, patience, calls: Rc::default(), due: None, stalled: None, _place: place }
    }

    /// Its calls; who serves them says when they begin and end.
    pub fn calls(&self) -> Rc<Calls> {
        Rc::clone(&self.calls)
    }

    /// Bytes have arrived: the first of them begin a head, unless they belong to the call before.
    fn arrived(&mut self) {
        let begun = self.calls.begun.get();
        if begun == 0 || self.calls.under_way.get() {
            self.due = None;
        } else if self.due.as_ref().is_none_or(|due| due.after != begun) {
            self.due = Some(Due { after: begun, timer: Box::pin(sleep(self.patience.head)) });
        }
    }

    /// Whether the head that was begun is late.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        if self.due.as_ref().is_some_and(|due| due.after != self.calls.begun.get()) {
            self.due = None;
        }
        self.due.as_mut().is_some_and(|due| due.timer.as_mut().poll(context).is_ready())
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Timed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_late(context) {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.arrived();
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Timed<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let reading = self.patience.reading;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(reading)));
        timer.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    const WITHIN: Duration = Duration::from_millis(60);
    const PATIENCE: Patience = Patience { head: WITHIN, reading: WITHIN };

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test);
    }

    /// A connection whose first call was answered.
    async fn kept() -> (DuplexStream, Timed<DuplexStream>) {
        let (mut client, server) = duplex(64);
        let mut timed = Timed::new(server, PATIENCE, None);
        client.write_all(b"GET").await.unwrap();
        timed.read_exact(&mut [0; 3]).await.unwrap();
        drop(timed.calls().begin());
        (client, timed)
    }

    #[test]
    fn attack_079_a_later_head_that_dawdles_ends_the_connection_however_it_drips() {
        run(async {
            let (mut client, mut timed) = kept().await;
            let mut dripped = 0;
            let drip = async {
                loop {
                    client.write_all(b"G").await.unwrap();
                    match timeout(WITHIN / 10, timed.read(&mut [0; 9])).await {
                        Ok(Ok(0)) => break,
                        Ok(bytes) => dripped += bytes.unwrap(),
                        Err(_) => {}
                    }
                }
            };
            timeout(100 * WITHIN, drip).await.expect("it is held");
            assert!(dripped > 2, "{dripped}");
        });
    }

    #[test]
    fn an_idle_connection_is_the_frameworks_to_end() {
        run(async {
            let (_client, mut timed) = kept().await;
            assert!(timeout(4 * WITHIN, timed.read(&mut [0; 1])).await.is_err());
        });
    }

    #[test]
    fn a_call_that_is_under_way_may_take_its_time_and_what_comes_after_it_is_idle() {
        run(async {
            let (mut client, mut timed) = kept().await;
            let calls = timed.calls();
            for _ in 0..3 {
                client.write_all(b"P").await.unwrap();
                timed.read_exact(&mut [0; 1]).await.unwrap();
                let under_way = calls.begin();
                // Its body, and its answer.
                client.write_all(b"b").await.unwrap();
                timed.read_exact(&mut [0; 1]).await.unwrap();
                assert!(timeout(2 * WITHIN, timed.read(&mut [0; 1])).await.is_err(), "a call was ended");
                drop(under_way);
                assert!(timeout(2 * WITHIN, timed.read(&mut [0; 1])).await.is_err(), "an idle connection was ended");
            }
        });
    }

    #[test]
    fn attack_079_whoever_reads_nothing_loses_the_connection_and_whoever_reads_slowly_does_not() {
        run(async {
            let (mut client, mut timed) = kept().await;
            let slow = async {
                for _ in 0..8 {
                    assert!(timeout(WITHIN / 3, std::future::pending::<()>()).await.is_err());
                    client.read_exact(&mut [0; 32]).await.unwrap();
                }
            };
            let sent = timed.write_all(&[0; 8 * 32 + 64]);
            let (sent, ()) = tokio::join!(sent, slow);
            sent.expect("slowly is not never");
            let sent = timeout(100 * WITHIN, timed.write_all(&[0; 65])).await.expect("it is held");
            assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn attack_079_one_network_leaves_room_for_others_and_a_proxy_has_its_clients() {
        let admission = Admission::new(2, &["10.0.0.0/8".parse().unwrap()]);
        let from = |address: &str| admission.admit(Some(address.parse().unwrap()));
        let first = from("192.0.2.1:1").unwrap();
        let second = from("192.0.2.1:2").unwrap();
        assert!(first.is_some() && second.is_some());
        assert!(from("192.0.2.1:3").is_err());
        assert!(from("192.0.2.2:1").unwrap().is_some(), "another network");
        let proxied: Vec<_> = (1..9).map(|port| from(&format!("10.0.0.1:{port}")).unwrap()).collect();
        assert!(proxied.iter().all(Option::is_none), "a proxy is not counted");
        drop(first);
        assert!(from("192.0.2.1:3").is_ok(), "who leaves makes room");
    }
}
