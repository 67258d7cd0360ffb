//! `ringback simulate` as it is typed.

use std::{
    io,
    sync::{Arc, Mutex},
};

use clap::Parser;
use ringback::{
    cli::simulate::{SimulateArgs, serve},
    vapi::client::plain_http,
};
use tokio_util::sync::CancellationToken;

use super::until;
use crate::support::{receiver::Receiver, vapi::fake_vapi};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: SimulateArgs,
}

/// What a command has written so far.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_command_prints_what_to_paste_plays_its_calls_and_serves_until_it_is_stopped() {
    let receiver = Receiver::start().await;
    let line = "simulate --port 0 --scenario busy --calls 3 --rate 100 --pace 0.001 --auth bearer --secret 0123456789abcdef --seed 1";
    let args = Command::parse_from(line.split(' ')).args;
    let (stop, out) = (CancellationToken::new(), Written::default());
    let mut written = out.clone();
    let serving = serve(args, &receiver.url, stop.clone(), &mut written);
    let watching = async {
        until(|| receiver.kinds().iter().filter(|kind| *kind == "end-of-call-report").count() == 3).await;
        let printed = out.text();
        let [url, key] = printed.lines().collect::<Vec<_>>()[..] else { panic!("{printed}") };
        let (url, key) = (url.strip_prefix("VAPI_API_URL=").expect("an address"), key.strip_prefix("VAPI_API_KEY=").expect("a key"));
        let id = receiver.first("ended")["call"]["id"].as_str().expect("an id").to_owned();
        let answer = plain_http().expect("a client").get(format!("{url}/call/{id}")).bearer_auth(key).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "it serves on after its calls");
        stop.cancel();
    };
    let (served, ()) = tokio::join!(serving, watching);
    served.expect("it ran well");
    assert!(receiver.taken().iter().all(|taken| taken.header("authorization") == "Bearer 0123456789abcdef"));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = fake_vapi().await;
    let port = taken.url().rsplit(':').next().expect("a port").to_owned();
    let args = Command::parse_from(["simulate", "--port", &port]).args;
    let error = serve(args, "http://127.0.0.1:8000", CancellationToken::new(), &mut io::sink()).await.expect_err("the port is taken");
    assert!(error.to_string().contains(&format!("port {port}")), "{error}");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for wrong in
        ["--duplicate 2", "--rate 0", "--scenario sing", "--auth none", "--webhook-url here", "--pace -1", "--calls -1", "--port 70000"]
    {
        let words = std::iter::once("simulate").chain(wrong.split(' '));
        assert!(Command::try_parse_from(words).is_err(), "{wrong}");
    }
    let args = Command::parse_from(["simulate", "--secret", "0123456789abcdef"]).args;
    assert!(!format!("{args:?}").contains("0123456789abcdef"));
}
