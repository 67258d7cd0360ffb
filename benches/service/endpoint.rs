//! Somebody else's HTTP endpoint: connections are kept open, every POST is answered with 200.

use std::net::Ipv4Addr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::TaskTracker;

/// Opens one whose bodies `answer` gives, each for the body that was asked with; tells its port.
pub(crate) async fn open<A, F>(answer: A) -> anyhow::Result<u16>
where
    A: Fn(Vec<u8>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = &'static str> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    let tasks = TaskTracker::new();
    tasks.clone().spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tasks.spawn(serve(stream, answer.clone()));
        }
    });
    Ok(port)
}

async fn serve<A, F>(mut stream: TcpStream, answer: A) -> Option<()>
where
    A: Fn(Vec<u8>) -> F,
    F: Future<Output = &'static str>,
{
    stream.set_nodelay(true).ok()?;
    let mut request = Vec::new();
    loop {
        let head = loop {
            if let Some(at) = request.windows(4).position(|part| part == b"\r\n\r\n") {
                break at + 4;
            }
            (stream.read_buf(&mut request).await.ok()? > 0).then_some(())?;
        };
        let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
        let length: usize = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())?;
        while request.len() < head + length {
            (stream.read_buf(&mut request).await.ok()? > 0).then_some(())?;
        }
        let body = answer(request[head..head + length].to_vec()).await;
        request.drain(..head + length);
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}
