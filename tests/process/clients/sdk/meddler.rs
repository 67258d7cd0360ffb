//! Somebody on the road between a client and us, who answers 502 in the place of the first right answer to a placing, as gateways do.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::support::wire::Wire;

/// The road; open until the program ends.
pub(super) struct Meddler {
    address: SocketAddr,
    posts: Arc<AtomicUsize>,
}

impl Meddler {
    pub(super) fn before(service: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let posts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&posts);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let counted = Arc::clone(&counted);
                thread::spawn(move || pass(client, service, &counted));
            }
        });
        Self { address, posts }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many placings came by.
    pub(super) fn posts(&self) -> usize {
        self.posts.load(Ordering::SeqCst)
    }
}

/// Passes one request on, and its answer back.
fn pass(mut client: TcpStream, service: SocketAddr, posts: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let (mut line, mut headers) = (String::new(), Vec::new());
    reader.read_line(&mut line).ok()?;
    let (method, rest) = line.split_once(' ')?;
    let (path, _version) = rest.split_once(' ')?;
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        let Some((name, value)) = field.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let value = |name: &str| headers.iter().find_map(|(known, value)| (known == name).then_some(value.as_str())).unwrap_or_default();
    let mut body = vec![0; value("content-length").parse().unwrap_or_default()];
    reader.read_exact(&mut body).ok()?;
    let answer = Wire::to(service).ok()?.ask(method, path, &[("authorization", value("authorization"))], &body).ok()?;
    let spoiled = method == "POST" && posts.fetch_add(1, Ordering::SeqCst) == 0;
    let (status, body) = if spoiled { (502, b"<html>".to_vec()) } else { (answer.status, answer.body) };
    let kind = if spoiled { "text/html" } else { "application/json" };
    let length = body.len();
    let head = format!("HTTP/1.1 {status} So\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    client.write_all(&[head.as_bytes(), &body].concat()).ok()
}
