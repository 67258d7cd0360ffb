//! Lines on their way out: whoever logs adds to one room, and a thread empties it.
//!
//! A line costs its copy and a short lock. (A channel that takes each line by itself, in memory of its own, made it a third of what a polled answer
//! costs beside its bytes.)

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
const MOST_WAITING: usize = 8 << 20;
/// Bytes of the room that is kept when many lines have been written.
const KEPT_ROOM: usize = 1 << 20;
/// After writing, the thread lets lines gather for this long. Waking it for each line would cost a request more than the line itself.
const GATHER: Duration = Duration::from_millis(5);
/// At the end the process waits this long for a reader who takes nothing.
const PATIENCE: Duration = Duration::from_secs(1);

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

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{
            Arc, Mutex,
            atomic::{AtomicUsize, Ordering},
            mpsc::{self, Receiver},
        },
        thread,
        time::Instant,
    };

    use super::{MOST_WAITING, PATIENCE, background};

    /// What was written, and how often.
    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>, Arc<AtomicUsize>);

    impl Paper {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.fetch_add(1, Ordering::SeqCst);
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A reader who takes nothing until he is told to.
    struct Stuck(Receiver<()>, Paper);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn many_lines_are_written_at_once_and_none_is_lost_at_the_end() {
        let paper = Paper::default();
        let (lines, worker) = background(paper.clone()).unwrap();
        thread::scope(|scope| {
            for writer in 0..4 {
                let mut lines = lines.clone();
                // Whole lines, as the formatter hands them over.
                let mut say = move |number: i32| lines.write_all(format!("{writer} {number}\n").as_bytes()).unwrap();
                scope.spawn(move || (0..1_000).for_each(&mut say));
            }
        });
        drop(worker);
        let text = paper.text();
        for writer in 0..4 {
            let of_one = text.lines().filter_map(|line| line.strip_prefix(&format!("{writer} ")));
            assert!(of_one.eq((0..1_000).map(|number| number.to_string())), "in order: {text}");
        }
        assert!(paper.1.load(Ordering::SeqCst) < 1_000, "{} writes", paper.1.load(Ordering::SeqCst));
    }

    #[test]
    fn a_reader_who_takes_nothing_holds_up_nobody_and_costs_a_bounded_amount() {
        let (go_on, told) = mpsc::channel();
        let paper = Paper::default();
        let (mut lines, worker) = background(Stuck(told, paper.clone())).unwrap();
        let line = [b'x'; 8 * 1_024];
        for _ in 0..4 * MOST_WAITING / line.len() {
            lines.write_all(&line).unwrap();
        }
        assert!(lines.room().lines.len() <= MOST_WAITING);
        let began = Instant::now();
        drop(worker);
        assert!(began.elapsed() >= PATIENCE, "it was waited for");
        drop(go_on);
    }
}
