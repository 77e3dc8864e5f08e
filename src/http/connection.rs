//! A connection: how long a client may take over a head, over nothing, and over reading, and how many one network may have.
//! In: accepted streams. Out: streams that end where their client dawdles.
//! Implements RFC 9112 §9.5 (time-outs). The framework times a connection's first head alone, and reads on without measure
//! while a call is under way or its client takes no answers.
//! Never looks into what it carries.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::config::cidr::Cidr;

use super::caller::{Crowd, Place};

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    /// No call is under way.
    #[default]
    Between,
    /// A call is under way whose body is still to come.
    Receiving,
    /// A call is under way, and nothing more of it will be read.
    Received,
}

/// The calls of a connection.
#[derive(Debug, Default)]
pub struct Calls {
    begun: Cell<u64>,
    stage: Cell<Stage>,
    /// Who reads on once that may be.
    reader: RefCell<Option<Waker>>,
}

impl Calls {
    /// A head has arrived whole; its call is under way until what this gives is dropped.
    pub fn begin(self: &Rc<Self>, has_body: bool) -> UnderWay {
        self.begun.set(self.begun.get() + 1);
        self.stage.set(if has_body { Stage::Receiving } else { Stage::Received });
        UnderWay(Rc::clone(self))
    }

    /// The body of the call was read, or nobody will.
    pub fn received(&self) {
        if self.stage.get() == Stage::Receiving {
            self.stage.set(Stage::Received);
        }
    }

    fn wake(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// A call that is under way.
#[derive(Debug)]
pub struct UnderWay(Rc<Calls>);

impl std::ops::Deref for UnderWay {
    type Target = Calls;

    fn deref(&self) -> &Calls {
        &self.0
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.stage.set(Stage::Between);
        self.wake();
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
    /// For a head after the first.
    pub head: Duration,
    /// Between two calls.
    pub idle: Duration,
}

/// When a connection ends unless something happens.
struct Due {
    /// How many calls had begun before.
    after: u64,
    /// A head has begun to arrive.
    in_head: bool,
    timer: Pin<Box<Sleep>>,
}

/// Bytes that are given before the framework looks at them; it looks when there are no more.
pub const GULP: usize = 8 * 1024;

/// A stream that ends, as if the client had gone, where the next head is late. Nothing is read while a call is under way whose
/// body is there, nor while answers find no room; and never more at once than `GULP` and what one read brings.
pub struct Timed<T> {
    io: T,
    patience: Patience,
    calls: Rc<Calls>,
    due: Option<Due>,
    /// Bytes that the framework has not looked at.
    given: usize,
    /// Answers find no room.
    full: bool,
    _place: Option<Place>,
}

impl<T> Timed<T> {
    /// A stream, and its place among those of its network.
    pub fn new(io: T, patience: Patience, place: Option<Place>) -> Self {
        Self { io, patience, calls: Rc::default(), due: None, given: 0, full: false, _place: place }
    }

    /// Its calls; who serves them says when they begin and end.
    pub fn calls(&self) -> Rc<Calls> {
        Rc::clone(&self.calls)
    }

    /// Whether the next head, or its beginning, is late. Until the first is there, the framework says.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let begun = self.calls.begun.get();
        if begun == 0 || self.calls.stage.get() != Stage::Between {
            self.due = None;
            return false;
        }
        let idle = self.patience.idle;
        let due = match &mut self.due {
            Some(due) if due.after == begun => due,
            due => due.insert(Due { after: begun, in_head: false, timer: Box::pin(sleep(idle)) }),
        };
        due.timer.as_mut().poll(context).is_ready()
    }

    /// Bytes have arrived: the first of them begin a head.
    fn arrived(&mut self) {
        if let Some(due) = self.due.as_mut().filter(|due| !due.in_head) {
            due.in_head = true;
            due.timer.set(sleep(self.patience.head));
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Timed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.full || self.calls.stage.get() == Stage::Received {
            self.calls.reader.replace(Some(context.waker().clone()));
            return Poll::Pending;
        }
        if self.is_late(context) {
            return Poll::Ready(Ok(()));
        }
        if self.given >= GULP {
            self.given = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(context, buffer);
        let given = buffer.filled().len() - before;
        self.given = if read.is_pending() { 0 } else { self.given + given };
        if given > 0 {
            self.arrived();
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Timed<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.full |= written.is_pending();
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        if std::mem::replace(&mut self.full, flushed.is_pending()) && !self.full {
            self.calls.wake();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

/// A stream that fails where its client takes nothing of what it is sent. It stands under TLS, which takes what it is given.
pub struct Drained<T> {
    io: T,
    within: Duration,
    /// Since what is sent finds no room.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<T> Drained<T> {
    /// A stream whose client takes something within so long.
    pub const fn new(io: T, within: Duration) -> Self {
        Self { io, within, stalled: None }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Drained<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Drained<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let within = self.within;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(within)));
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
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    const WITHIN: Duration = Duration::from_millis(60);
    const PATIENCE: Patience = Patience { head: WITHIN, idle: Duration::from_mins(5) };

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test);
    }

    /// A connection whose first call was answered.
    async fn kept(patience: Patience) -> (DuplexStream, Timed<DuplexStream>) {
        let (mut client, server) = duplex(64);
        let mut timed = Timed::new(server, patience, None);
        client.write_all(b"GET").await.unwrap();
        timed.read_exact(&mut [0; 3]).await.unwrap();
        drop(timed.calls().begin(false));
        (client, timed)
    }

    #[test]
    fn attack_079_a_later_head_that_dawdles_ends_the_connection_however_it_drips() {
        run(async {
            let (mut client, mut timed) = kept(PATIENCE).await;
            let mut dripped = 0;
            let drip = async {
                loop {
                    client.write_all(b"G").await.unwrap();
                    match timed.read(&mut [0; 9]).await.unwrap() {
                        0 => break,
                        bytes => dripped += bytes,
                    }
                    if let Ok(ended) = timeout(WITHIN / 10, timed.read(&mut [0; 9])).await {
                        assert_eq!(ended.unwrap(), 0);
                        break;
                    }
                }
            };
            timeout(100 * WITHIN, drip).await.expect("it is held");
            assert!(dripped > 0, "it ended before a head began");
        });
    }

    #[test]
    fn attack_079_an_idle_connection_ends_whatever_the_framework_thinks() {
        run(async {
            let (_client, mut timed) = kept(PATIENCE).await;
            assert!(timeout(4 * WITHIN, timed.read(&mut [0; 1])).await.is_err(), "not before its time");
            let (_client, mut timed) = kept(Patience { idle: WITHIN, ..PATIENCE }).await;
            let ended = timeout(100 * WITHIN, timed.read(&mut [0; 1])).await.expect("it is held");
            assert_eq!(ended.unwrap(), 0);
        });
    }

    #[test]
    fn a_call_that_is_under_way_may_take_its_time() {
        run(async {
            let (mut client, mut timed) = kept(Patience { head: WITHIN, idle: WITHIN }).await;
            let calls = timed.calls();
            for _ in 0..3 {
                client.write_all(b"P").await.unwrap();
                timed.read_exact(&mut [0; 1]).await.unwrap();
                let under_way = calls.begin(true);
                assert!(timeout(2 * WITHIN, timed.read(&mut [0; 1])).await.is_err(), "a call was ended");
                client.write_all(b"b").await.unwrap();
                timed.read_exact(&mut [0; 1]).await.unwrap();
                calls.received();
                assert!(timeout(2 * WITHIN, timed.read(&mut [0; 1])).await.is_err(), "a call was ended");
                drop(under_way);
            }
        });
    }

    #[test]
    fn attack_079_nothing_is_read_ahead_of_a_call_and_all_of_it_after() {
        run(async {
            let (mut client, mut timed) = kept(PATIENCE).await;
            let under_way = timed.calls().begin(false);
            client.write_all(b"next").await.unwrap();
            let mut next = [0; 4];
            let end = async {
                assert!(timeout(WITHIN, std::future::pending::<()>()).await.is_err());
                drop(under_way);
            };
            let (read, ()) = tokio::join!(timeout(100 * WITHIN, timed.read_exact(&mut next)), end);
            assert_eq!(read.expect("whoever reads is woken").unwrap(), 4);
            let under_way = timed.calls().begin(true);
            client.write_all(b"body").await.unwrap();
            timed.read_exact(&mut next).await.unwrap();
            under_way.received();
            client.write_all(b"more").await.unwrap();
            assert!(timeout(WITHIN, timed.read(&mut next)).await.is_err(), "read beyond an answer");
        });
    }

    #[test]
    fn attack_079_nothing_is_read_while_answers_find_no_room() {
        run(async {
            let (mut client, mut timed) = kept(PATIENCE).await;
            let room = poll_fn(|context| Poll::Ready(Pin::new(&mut timed).poll_write(context, &[0; 64])));
            assert!(room.await.is_ready());
            let none = poll_fn(|context| Poll::Ready(Pin::new(&mut timed).poll_write(context, &[0; 64])));
            assert!(none.await.is_pending());
            client.write_all(b"more").await.unwrap();
            assert!(timeout(WITHIN, timed.read(&mut [0; 4])).await.is_err(), "it reads on");
            client.read_exact(&mut [0; 64]).await.unwrap();
            let polled = poll_fn(|context| {
                let mut buffer = [0; 4];
                let read = Pin::new(&mut timed).poll_read(context, &mut ReadBuf::new(&mut buffer));
                // As the framework does at each turn, whatever woke it.
                let flushed = Pin::new(&mut timed).poll_flush(context);
                if read.is_ready() || flushed.is_pending() { read } else { Poll::Pending }
            });
            timeout(100 * WITHIN, polled).await.expect("whoever reads is woken").unwrap();
        });
    }

    #[test]
    fn attack_079_the_framework_looks_before_more_is_read() {
        run(async {
            let (mut client, server) = duplex(8 * GULP);
            let mut timed = Timed::new(server, PATIENCE, None);
            client.write_all(&vec![b'x'; 3 * GULP]).await.unwrap();
            let mut gulps = Vec::new();
            let mut given = 0;
            poll_fn(|context| {
                let mut buffer = [0; GULP / 2];
                let mut buffer = ReadBuf::new(&mut buffer);
                while Pin::new(&mut timed).poll_read(context, &mut buffer).is_ready() {
                    given += buffer.filled().len();
                    buffer.clear();
                }
                gulps.push(std::mem::take(&mut given));
                if gulps.iter().sum::<usize>() < 3 * GULP { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            assert_eq!(gulps, [GULP; 3]);
        });
    }

    #[test]
    fn attack_079_whoever_reads_nothing_loses_the_connection_and_whoever_reads_slowly_does_not() {
        run(async {
            let (mut client, server) = duplex(64);
            let mut drained = Drained::new(server, WITHIN);
            let slow = async {
                for _ in 0..8 {
                    assert!(timeout(WITHIN / 3, std::future::pending::<()>()).await.is_err());
                    client.read_exact(&mut [0; 32]).await.unwrap();
                }
            };
            let (sent, ()) = tokio::join!(drained.write_all(&[0; 8 * 32 + 64]), slow);
            sent.expect("slowly is not never");
            let sent = timeout(100 * WITHIN, drained.write_all(&[0; 65])).await.expect("it is held");
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
