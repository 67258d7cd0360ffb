//! A road to a database that can be closed, cut, slowed and cut at the worst moment.

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::AbortHandle,
};

use crate::store_support::alongside;

/// What a client of PostgreSQL says to end its transaction: a simple query.
const COMMIT: &[u8] = b"COMMIT\0";

/// When to cut the road at a `COMMIT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// The server never hears of it.
    Asking = 1,
    /// The server does it, and its answer is lost.
    Answering = 2,
}

/// The road. It ends with this value.
pub(crate) struct Proxy {
    port: u16,
    control: Arc<Control>,
    task: AbortHandle,
}

struct Control {
    to: u16,
    commit: &'static [u8],
    closed: AtomicBool,
    delay_ms: AtomicU64,
    at_commit: AtomicU8,
    cuts: watch::Sender<u64>,
}

impl Proxy {
    /// A road to a port of this machine.
    pub(crate) async fn to(port: u16) -> Self {
        Self::of(port, COMMIT).await
    }

    /// The same, to a server whose clients commit by saying this.
    pub(crate) async fn of(port: u16, commit: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let control = Control {
            to: port,
            commit,
            closed: AtomicBool::new(false),
            delay_ms: AtomicU64::new(0),
            at_commit: AtomicU8::new(0),
            cuts: watch::Sender::new(0),
        };
        let (port, control) = (listener.local_addr().unwrap().port(), Arc::new(control));
        let serving = Arc::clone(&control);
        let task = alongside(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !serving.closed.load(Ordering::SeqCst) {
                    drop(alongside(Arc::clone(&serving).carry(client)));
                }
            }
        });
        Self { port, control, task: task.abort_handle() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Cuts every connection; new ones can be made.
    pub(crate) fn cut(&self) {
        self.control.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Cuts every connection; new ones are hung up on.
    pub(crate) fn close(&self) {
        self.control.closed.store(true, Ordering::SeqCst);
        self.cut();
    }

    pub(crate) fn open(&self) {
        self.control.closed.store(false, Ordering::SeqCst);
    }

    /// Everything takes so much longer, each way.
    pub(crate) fn delay(&self, delay: Duration) {
        self.control.delay_ms.store(u64::try_from(delay.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Cuts the connection of the next `COMMIT`.
    pub(crate) fn cut_at_commit(&self, at: At) {
        self.control.at_commit.store(at as u8, Ordering::SeqCst);
    }

    /// Was there a `COMMIT` to cut at?
    pub(crate) fn has_cut(&self) -> bool {
        self.control.at_commit.load(Ordering::SeqCst) == 0
    }
}

/// A direction, and whether answers still come through.
#[derive(Clone, Copy)]
enum Way<'a> {
    There(&'a AtomicBool),
    Back(&'a AtomicBool),
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

impl Control {
    async fn carry(self: Arc<Self>, client: TcpStream) {
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.to)).await else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let ((client_says, client_hears), (server_says, server_hears)) = (client.into_split(), server.into_split());
        let (mut cuts, answers) = (self.cuts.subscribe(), AtomicBool::new(true));
        tokio::select! {
            _ = cuts.changed() => {}
            _ = self.pass(client_says, server_hears, Way::There(&answers)) => {}
            _ = self.pass(server_says, client_hears, Way::Back(&answers)) => {}
        }
    }

    async fn pass(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Way<'_>) -> io::Result<()> {
        let mut bytes = vec![0; 65_536];
        loop {
            let length = from.read(&mut bytes).await?;
            if length == 0 {
                return Ok(());
            }
            let said = &bytes[..length];
            let delay = self.delay_ms.load(Ordering::SeqCst);
            if delay > 0 {
                tokio::time::sleep(Duration::from_millis(delay)).await;
            }
            if let Way::Back(answers) = way
                && !answers.load(Ordering::SeqCst)
            {
                continue;
            }
            if let Way::There(answers) = way
                && said.windows(self.commit.len()).any(|words| words == self.commit)
            {
                match self.at_commit.swap(0, Ordering::SeqCst) {
                    1 => return Ok(()),
                    2 => {
                        answers.store(false, Ordering::SeqCst);
                        to.write_all(said).await?;
                        // The server has done it when it has had this long.
                        tokio::time::sleep(Duration::from_millis(300)).await;
                        return Ok(());
                    }
                    _ => {}
                }
            }
            to.write_all(said).await?;
        }
    }
}
