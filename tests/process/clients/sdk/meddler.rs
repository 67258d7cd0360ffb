//! Somebody on the road between a client and us, who answers 502 in the place of the first right answer to a placing, as gateways do.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::support::{target::Got, wire::Wire};

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
    let asked = Got::read(&client)?;
    let (method, path) = asked.line.split_once(' ')?;
    let answer = Wire::to(service).ok()?.ask(method, path, &[("authorization", asked.header("authorization"))], &asked.body).ok()?;
    let spoiled = method == "POST" && posts.fetch_add(1, Ordering::SeqCst) == 0;
    let (status, body) = if spoiled { (502, b"<html>".to_vec()) } else { (answer.status, answer.body) };
    let kind = if spoiled { "text/html" } else { "application/json" };
    let length = body.len();
    let head = format!("HTTP/1.1 {status} So\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    client.write_all(&[head.as_bytes(), &body].concat()).ok()
}
