//! The floor: what axum does when there is nothing to do. Serves files from memory, reads bodies and says ok.

use std::{io, net::Ipv4Addr, path::Path};

use axum::{
    Router,
    body::Bytes,
    extract::DefaultBodyLimit,
    http::header::CONTENT_TYPE,
    routing::{get, post},
    serve::ListenerExt as _,
};

/// Serves each of `files` under its name, and takes any body at `/`.
pub(crate) async fn serve(port: u16, files: &[String]) -> io::Result<()> {
    let mut router = Router::new().route("/", post(|_body: Bytes| async { "ok" }));
    for file in files {
        let bytes = Bytes::from(std::fs::read(file)?);
        let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy();
        router = router.route(&format!("/{name}"), get(async move || ([(CONTENT_TYPE, "application/json")], bytes)));
    }
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let listener = listener.tap_io(|stream| {
        // As Ringback has it.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router.layer(DefaultBodyLimit::disable())).await
}
