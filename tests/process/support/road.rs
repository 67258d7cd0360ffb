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

/// What happens to what travels one way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// One read in so many is delayed.
    pub(crate) delays: u64,
    /// A delay lasts at most this long, in milliseconds.
    pub(crate) longest: u64,
    /// After one read in so many the connection is cut, half of what was read on its way; 0: never.
    pub(crate) cuts: u64,
    /// After one read in so many nothing comes any more, and nobody says so; 0: never.
    pub(crate) stalls: u64,
}

/// Bytes that travel together at most.
const LARGEST_READ: usize = 1 << 20;

/// A road that only delays.
pub(crate) const WINDY: Weather = Weather { delays: 20, longest: 60, cuts: 0, stalls: 0 };

/// The road. What comes by it is cut when it is dropped.
pub(crate) struct Road {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
    closed: Arc<AtomicBool>,
}

impl Road {
    /// A road to a port.
    pub(crate) fn to(port: u16) -> Self {
        Self::through(port, WINDY, WINDY)
    }

    /// A road to a port, through this weather there and back.
    pub(crate) fn through(port: u16, there: Weather, back: Weather) -> Self {
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
                    carry(&client, &server, there);
                    carry(&server, &client, back);
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

/// Carries bytes one way, until either end is gone, or the weather ends it.
fn carry(from: &TcpStream, to: &TcpStream, weather: Weather) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    let _ = to.set_nodelay(true);
    let is_hit = |one_in: u64| one_in > 0 && random_below(one_in) == 0;
    thread::spawn(move || {
        let mut bytes = vec![0; LARGEST_READ];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            if is_hit(weather.delays) {
                thread::sleep(Duration::from_millis(random_below(weather.longest)));
            }
            if is_hit(weather.stalls) {
                return;
            }
            let is_cut = is_hit(weather.cuts);
            let length = if is_cut { length / 2 } else { length };
            if to.write_all(&bytes[..length]).is_err() || is_cut {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
}
