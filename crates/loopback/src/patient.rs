//! A connection whose other side has to get on with it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// A time after which something has failed, if it has one.
#[derive(Default)]
struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    /// Sets it this far from now, unless it is set already.
    fn set(&mut self, after: Duration) {
        let at = || Box::pin(sleep_until(Instant::now() + after));
        self.0.get_or_insert_with(at);
    }

    fn clear(&mut self) {
        self.0 = None;
    }

    /// Ready when it has passed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

/// Whose turn it is on a connection: even while the client's next request is awaited, odd while one is being answered.
#[derive(Default)]
pub struct Turns(AtomicU64);

impl Turns {
    /// The other side's turn begins.
    pub fn pass(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection that fails if the head of a request does not come as a whole in time once it has begun, or if the other side
/// takes nothing of an answer for a while.
pub struct Patient {
    stream: TcpStream,
    turns: Arc<Turns>,
    /// The turn for which `until_head` is set.
    turn: u64,
    head: Duration,
    stall: Duration,
    until_head: Deadline,
    until_taken: Deadline,
}

impl Patient {
    /// With these times for a head and for taking anything of an answer.
    pub fn new(stream: TcpStream, turns: Arc<Turns>, head: Duration, stall: Duration) -> Patient {
        Patient {
            stream,
            turns,
            turn: 0,
            head,
            stall,
            until_head: Deadline::default(),
            until_taken: Deadline::default(),
        }
    }

    /// What was written, or an error if the other side has taken nothing for too long.
    fn taken<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.until_taken.clear();
            return written;
        }
        self.until_taken.set(self.stall);
        self.until_taken
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let turn = self.turns.0.load(Ordering::Relaxed);
        if turn != self.turn {
            self.turn = turn;
            self.until_head.clear();
        }
        if turn % 2 == 1 {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        if self.until_head.poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() && buffer.filled().len() > before {
            let head = self.head;
            self.until_head.set(head);
        }
        read
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.taken(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.taken(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
