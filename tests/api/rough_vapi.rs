//! Ringback asks a Vapi that does not even keep to HTTP.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use ringback::{
    clock::Clock,
    vapi::client::{Fetched, RecordingKind, RecordingLink, VapiClient},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::TaskTracker;

use crate::support::{
    receiver::Receiver,
    vapi::{CALL, id, settings},
};

/// Somebody who does this to every connection, once the first bytes of a request are in.
async fn rough<F>(treat: impl Fn(TcpStream) -> F + Send + 'static) -> VapiClient
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let tasks = TaskTracker::new();
    let connections = tasks.clone();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).await;
            connections.spawn(treat(stream));
        }
    });
    VapiClient::new(&settings(&url, "key"), Clock::System).expect("a client")
}

/// Somebody who answers every request with these bytes and hangs up.
async fn says(bytes: impl Into<Vec<u8>>) -> VapiClient {
    let bytes = bytes.into();
    rough(move |mut stream| {
        let bytes = bytes.clone();
        async move {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
    })
    .await
}

/// Asks for a call; why there is none, and how long that took.
async fn failure(client: VapiClient) -> (String, Duration) {
    let began = Instant::now();
    let answer = client.call(&id(CALL)).await;
    let error = if let Fetched::Failed { error, .. } = answer { error } else { format!("no failure: {answer:?}") };
    (error, began.elapsed())
}

#[tokio::test]
async fn whoever_hangs_up_or_speaks_something_else_is_no_vapi() {
    for bytes in [&b""[..], b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 two hundred\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-le", b"\0\0\0\0"] {
        let (error, _) = failure(says(bytes).await).await;
        assert_eq!(error, "the connection to Vapi failed", "{}", String::from_utf8_lossy(bytes));
    }
}

#[tokio::test]
async fn a_body_shorter_than_promised_is_cut_off() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"id\":\"a\"}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nA\r\n{\"id\":\"a\"}\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n",
    ] {
        let (error, _) = failure(says(answer).await).await;
        assert_eq!(error, "Vapi's answer was cut off or garbled", "{answer}");
    }
}

#[tokio::test]
async fn a_404_that_is_cut_off_does_not_make_the_call_unknown() {
    let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 100\r\n\r\n{\"message\":\"Call not found\",\"statusCode\":404}";
    assert_eq!(failure(says(answer).await).await.0, "Vapi's answer was cut off or garbled");
}

#[tokio::test]
async fn an_answer_that_drips_is_given_up_in_time() {
    for head in ["", "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"] {
        let client = rough(move |mut stream| async move {
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(b"H").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let (error, took) = failure(client.await).await;
        assert!(took < Duration::from_secs(3), "{took:?}");
        assert!(["no whole answer from Vapi within 0.5 s", "the connection to Vapi failed"].contains(&error.as_str()), "{error}");
    }
}

#[tokio::test]
async fn a_compressed_answer_is_read_and_a_garbled_one_is_not() {
    let call = br#"{"id":"a","status":"ended"}"#;
    let answer = |body: &[u8]| {
        let mut bytes = Vec::new();
        write!(bytes, "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len()).expect("memory");
        bytes.extend(body);
        bytes
    };
    let packed = stored_gzip(call);
    let Fetched::Call(body) = says(answer(&packed)).await.call(&id(CALL)).await else { panic!("no call") };
    assert_eq!(&body[..], call);
    for wrong in [&packed[..packed.len() / 2], b"not gzip at all"] {
        assert_eq!(failure(says(answer(wrong)).await).await.0, "Vapi's answer was cut off or garbled");
    }
}

/// A gzip file that holds `content` as it is.
fn stored_gzip(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("short");
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    file.extend(length.to_le_bytes());
    file.extend((!length).to_le_bytes());
    file.extend(content);
    file.extend(crc32(content).to_le_bytes());
    file.extend(u32::from(length).to_le_bytes());
    file
}

fn crc32(content: &[u8]) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    !content.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc)))
}

#[tokio::test]
async fn a_redirect_is_not_followed_so_the_key_does_not_travel() {
    let elsewhere = Receiver::start().await;
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url);
    let client = says(answer).await;
    assert_eq!(failure(client.clone()).await.0, "Vapi answered 302");
    let link = client.recording_link(&id(CALL), RecordingKind::Mono).await;
    assert_eq!(link, RecordingLink::At(elsewhere.url.parse().expect("a URL")));
    assert!(elsewhere.taken().is_empty());
}

#[tokio::test]
async fn a_request_carries_the_key_and_asks_for_json() {
    let vapi = Receiver::start().await;
    vapi.answer([(200, serde_json::json!({"id": CALL}))]);
    let client = VapiClient::new(&settings(vapi.url.trim_end_matches("/hook"), "the-key"), Clock::System).expect("a client");
    let Fetched::Call(body) = client.call(&id(CALL)).await else { panic!("no call") };
    assert_eq!(serde_json::from_slice::<Value>(&body).expect("JSON")["id"], CALL);
    let taken = &vapi.taken()[0];
    assert_eq!(taken.path, format!("/call/{CALL}"));
    assert_eq!((taken.header("authorization"), taken.header("accept")), ("Bearer the-key", "application/json"));
    assert!(taken.header("user-agent").starts_with("ringback/"));
}
