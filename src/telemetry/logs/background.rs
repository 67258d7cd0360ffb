//! Lines on their way out: whoever logs adds to one room, and a thread empties it.
//!
//! A line costs its copy and a short lock. (A channel that takes each line by itself, in memory of its own, took 5 % of the processor time of a polled
//! answer of 8 KB.)

use std::{
    io::{self, Write},
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that wait to be written; a line that does not fit is dropped.
pub(super) const MOST_WAITING: usize = 8 << 20;
/// Bytes of the room that is kept when many lines have been written.
const KEPT_ROOM: usize = 1 << 20;
/// After writing, the thread lets lines gather for this long. Waking it for each line would cost a request more than the line itself.
const GATHER: Duration = Duration::from_millis(5);
/// At the end the process waits this long for a reader who takes nothing.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// The way to hand over lines; a cheap handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    room: Mutex<Room>,
    /// There is something in the room again, or it is over.
    news: Condvar,
}

#[derive(Debug, Default)]
struct Room {
    lines: Vec<u8>,
    is_over: bool,
}

/// Has all written when it is dropped.
#[derive(Debug)]
pub(super) struct Worker {
    lines: Lines,
    written: mpsc::Receiver<()>,
}

impl Lines {
    fn room(&self) -> MutexGuard<'_, Room> {
        self.0.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that wait to be written.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.room().lines.len()
    }

    /// Waits for lines, takes them in exchange for an empty room, and tells whether they are the last.
    fn take(&self, empty: &mut Vec<u8>) -> bool {
        let idle = |room: &mut Room| room.lines.is_empty() && !room.is_over;
        let mut room = self.0.news.wait_while(self.room(), idle).unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut room.lines, empty);
        room.is_over
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut room = self.room();
        let is_first = room.lines.is_empty();
        if room.lines.len() + line.len() <= MOST_WAITING {
            room.lines.extend_from_slice(line);
        }
        drop(room);
        if is_first {
            self.0.news.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.lines.room().is_over = true;
        self.lines.0.news.notify_one();
        // Nobody may be reading any more: then the process ends without its last words.
        let (Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)) = self.written.recv_timeout(PATIENCE);
    }
}

/// A thread that writes lines to `out`, and the way to hand it some.
///
/// # Errors
/// When the system has no thread for it.
pub(super) fn background(out: impl Write + Send + 'static) -> io::Result<(Lines, Worker)> {
    let (lines, (tell, written)) = (Lines::default(), mpsc::channel());
    let theirs = lines.clone();
    thread::Builder::new().name("logs".to_owned()).spawn(move || {
        write_all(&theirs, out);
        // Whoever waits for it may have gone.
        let _ = tell.send(());
    })?;
    Ok((lines.clone(), Worker { lines, written }))
}

fn write_all(lines: &Lines, mut out: impl Write) {
    let mut batch = Vec::new();
    loop {
        let is_over = lines.take(&mut batch);
        // There is nowhere to tell that lines can't be written.
        let _ = out.write_all(&batch).and_then(|()| out.flush());
        if is_over {
            return;
        }
        batch.clear();
        batch.shrink_to(KEPT_ROOM);
        thread::sleep(GATHER);
    }
}
