//! Accepts connections and keeps them within bounds.
//!
//! Wanted: a client that sends slowly, sends nonsense or never leaves costs a bounded amount; a stop lets open answers finish. Connections are
//! tasks of the program, so it waits for them.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::sleep,
};
use tower::{Service, ServiceExt};
use tracing::{debug, warn};

use super::Regular;
use crate::lifecycle::Lifecycle;

/// A request's head must arrive within this time; an idle connection is closed after it.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// Bytes of a request's head at most, and of what is read ahead of a body.
const READ_BUFFER: usize = 128 * 1_024;
/// A client that takes nothing of its answer for this long is let go, and with it the memory of the answer.
const TAKE_DEADLINE: Duration = Duration::from_secs(30);
/// Connections at once; more wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 65_536;
/// When no file can be opened for a connection, accepting pauses this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The address at the other end of a connection, and its text: written anew for each request, it took a quarter of what the request's log line takes.
#[derive(Debug, Clone)]
pub struct Peer {
    /// In its shortest form: an IPv4 address is no IPv6 one.
    pub(super) address: IpAddr,
    pub(super) words: Arc<str>,
}

impl Peer {
    /// Somebody at this address.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, words: address.to_string().into() }
    }
}

/// Serves until `lifecycle` says that no new connections are taken, then lets the open ones finish.
pub async fn serve(listener: TcpListener, router: Router, lifecycle: Lifecycle) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = lifecycle.soft_stopped() => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let connection = connection(stream, address.ip(), router.clone(), lifecycle.clone());
                lifecycle.spawn_quiet(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => pause_after(&error).await,
        }
    }
}

/// Serves one connection; after the soft stop until the answer at hand is out.
fn connection(stream: TcpStream, peer: IpAddr, router: Router, lifecycle: Lifecycle) -> impl Future<Output = ()> + Send {
    // Answers are written whole; waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let_go_of_idlers(&stream);
    let peer = Peer::at(peer);
    let service = Regular(router).map_request(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer.clone()));
        request
    });
    let serve = service_fn(move |request| service.clone().call(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(stream), serve)
        .with_upgrades();
    async move {
        tokio::pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = lifecycle.soft_stopped() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            debug!(%error, "A connection ended badly");
        }
    }
}

/// hyper waits for good until an answer is taken; the kernel does not have to. (Elsewhere than on Linux it does.)
fn let_go_of_idlers(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, u32::try_from(TAKE_DEADLINE.as_millis()).unwrap_or(u32::MAX)) {
        debug!(%error, "A connection has no deadline for taking its answers");
    }
}

async fn pause_after(error: &io::Error) {
    let of_the_client =
        matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset);
    if !of_the_client {
        warn!(%error, "Can't accept connections right now");
        sleep(ACCEPT_PAUSE).await;
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::{TAKE_DEADLINE, let_go_of_idlers};

    #[tokio::test]
    async fn the_kernel_is_told_how_long_an_answer_may_lie_untaken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let_go_of_idlers(&stream);
        let told = rustix::net::sockopt::tcp_user_timeout(&stream).unwrap();
        assert_eq!(u128::from(told), TAKE_DEADLINE.as_millis());
    }
}
