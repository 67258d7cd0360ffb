//! A road to a server on this machine that delays, and that is cut.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::random_below;

/// One read in so many is delayed.
const DELAYED: u64 = 20;
/// A delay lasts at most this long, in milliseconds.
const LONGEST_DELAY: u64 = 60;

/// The road. What comes by it is cut when it is dropped.
pub(crate) struct Road {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
    closed: Arc<AtomicBool>,
}

impl Road {
    /// A road to a port.
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (open, closed) = (Arc::<Mutex<Vec<TcpStream>>>::default(), Arc::new(AtomicBool::new(false)));
        let (travellers, is_closed) = (Arc::clone(&open), Arc::clone(&closed));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if is_closed.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(server) = TcpStream::connect(("127.0.0.1", port)) {
                    travellers.lock().expect("no panic").extend([client.try_clone(), server.try_clone()].into_iter().flatten());
                    carry(&client, &server);
                    carry(&server, &client);
                }
            }
        });
        Self { address, open, closed }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Cuts everything that is on the way; new connections can be made.
    pub(crate) fn cut(&self) {
        for stream in self.open.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        self.cut();
        // The listener looks up once more.
        let _ = TcpStream::connect(self.address);
    }
}

/// Carries bytes one way, until either end is gone.
fn carry(from: &TcpStream, to: &TcpStream) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    let _ = to.set_nodelay(true);
    thread::spawn(move || {
        let mut bytes = vec![0; 16_384];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            if random_below(DELAYED) == 0 {
                thread::sleep(Duration::from_millis(random_below(LONGEST_DELAY)));
            }
            if to.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
}
