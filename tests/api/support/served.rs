//! Somebody else's server, in the test's own runtime.

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// Routes on a loopback port; they end when this is dropped.
pub(crate) struct Served {
    pub(crate) port: u16,
    _stop: DropGuard,
}

impl Served {
    pub(crate) async fn start(routes: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let stop = CancellationToken::new();
        TaskTracker::new().spawn(axum::serve(listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned()).into_future());
        Self { port, _stop: stop.drop_guard() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}
