//! `ringback replay FILE…`: posts recorded webhooks again, signed afresh.

use std::{
    collections::BTreeSet,
    fmt,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use reqwest::{Client, Url, header::CONTENT_TYPE};
use secrecy::SecretString;
use serde_json::{Value, value::RawValue};
use tokio::time::MissedTickBehavior;

use super::parse;
use crate::{
    clock::Clock,
    simulate::{self, Auth, sign},
    vapi::client,
    words::{clean, plain},
};

/// Exit code for files that cannot be posted.
const BAD_FILE: u8 = 2;
/// How long an answer may take: as long as Vapi waits for it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// What `ringback replay` is told.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Files with recorded bodies: one JSON document each, or JSON lines
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where to post; without a path, the webhook route there [default: that of the service]
    #[arg(long, value_parser = parse::webhook_url)]
    pub url: Option<Url>,
    /// Secret to sign with; without one the bodies carry no proof
    #[arg(long, value_parser = parse::secret)]
    pub secret: Option<SecretString>,
    /// How to sign; hmac is Vapi's HMAC credential as it is unless changed
    #[arg(long, value_enum, default_value_t = Auth::Secret)]
    pub auth: Auth,
    /// At most this many a second [default: one after the other, without a pause]
    #[arg(long, value_parser = parse::rate)]
    pub rate: Option<f64>,
    /// Post in any order
    #[arg(long)]
    pub shuffle: bool,
}

/// A file that cannot be posted.
#[derive(Debug, thiserror::Error)]
pub enum BadFile {
    /// It cannot be read.
    #[error("{}: {cause}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// There is no JSON in it where there should be.
    #[error("{} line {line}: {cause}", file.display())]
    NoJson {
        /// Which.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        cause: String,
    },
}

/// Posts to the service at `ringback_url` unless told otherwise. Exit code 0 when every answer was 2xx, 1 when one was not, 2 when
/// a file is bad: then nothing was posted.
pub async fn run(args: ReplayArgs, ringback_url: &str) -> ExitCode {
    match replay(args, ringback_url, &Clock::System, &mut io::stdout()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ringback replay: {error:#}");
            if error.is::<BadFile>() { ExitCode::from(BAD_FILE) } else { ExitCode::FAILURE }
        }
    }
}

/// The same, with a line for each body written to `out`: status (000 without an answer), type, call id. Was every answer 2xx?
///
/// # Errors
/// [`BadFile`] before anything is posted; or the address is none, TLS cannot be set up, `out` is closed.
pub async fn replay(args: ReplayArgs, ringback_url: &str, clock: &Clock, out: &mut (dyn Write + Send)) -> anyhow::Result<bool> {
    let url = args.url.map_or_else(|| parse::webhook_url(ringback_url).map_err(|error| anyhow::anyhow!("{ringback_url}: {error}")), Ok)?;
    let mut bodies = Vec::new();
    for file in &args.files {
        bodies.extend(bodies_of(file)?);
    }
    if args.shuffle {
        simulate::shuffle(&mut bodies);
    }
    let sender = Sender { http: client::plain_http()?, url, auth: args.auth, secret: args.secret };
    let mut ticks = args.rate.map(|rate| tokio::time::interval(Duration::from_secs_f64(rate.recip())));
    if let Some(ticks) = &mut ticks {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let (count, mut all_taken, mut told) = (bodies.len(), true, BTreeSet::new());
    for (index, body) in bodies.into_iter().enumerate() {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let what = What::of(&body);
        let (status, why) = sender.post(body, clock).await;
        all_taken &= (200..300).contains(&status);
        writeln!(out, "{status:03} {what}")?;
        // Once: of a thousand bodies each would be told the same.
        if let Some(why) = why.filter(|why| told.insert(why.clone())) {
            eprintln!("ringback replay: {}: {why}", sender.place());
        }
        if io::stderr().is_terminal() {
            eprint!("\r{} of {count}", index + 1);
        }
    }
    if io::stderr().is_terminal() {
        eprintln!();
    }
    Ok(all_taken)
}

struct Sender {
    http: Client,
    url: Url,
    auth: Auth,
    secret: Option<SecretString>,
}

impl Sender {
    /// The answer's status, or 0 if there was none; and why it is no 2xx.
    async fn post(&self, body: String, clock: &Clock) -> (u16, Option<String>) {
        let mut request = self.http.post(self.url.clone()).timeout(ANSWER_TIMEOUT).header(CONTENT_TYPE, "application/json");
        if let Some(secret) = &self.secret {
            for (name, value) in sign::headers(self.auth, secret, body.as_bytes(), clock.now()) {
                request = request.header(name, value);
            }
        }
        let answer = match request.body(body).send().await {
            Ok(answer) => answer,
            Err(error) => return (0, Some(client::reason(error))),
        };
        let status = answer.status();
        if status.is_success() {
            return (status.as_u16(), None);
        }
        let said: Value = answer.json().await.unwrap_or_default();
        let words = said["message"].as_str().unwrap_or(status.canonical_reason().unwrap_or("no explanation"));
        (status.as_u16(), Some(format!("{}: {}", status.as_u16(), clean(words))))
    }

    /// Where it posts to, without what may let one in.
    fn place(&self) -> String {
        format!("{}{}", self.url.origin().ascii_serialization(), self.url.path())
    }
}

/// What a body is, in a few words.
struct What {
    kind: String,
    call_id: String,
}

impl What {
    fn of(body: &str) -> Self {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).unwrap_or("-").to_owned();
        let kind = if body["message"].is_object() { &body["message"]["type"] } else { &body["type"] };
        Self { kind: text(kind), call_id: text(&body["message"]["call"]["id"]) }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Words of strangers: a line break in them must not make a line.
        let word = |text: &str| plain(text).replace(char::is_whitespace, "?");
        write!(f, "{} {}", word(&self.kind), word(&self.call_id))
    }
}

/// The JSON objects of a file, byte for byte.
fn bodies_of(file: &Path) -> Result<Vec<String>, BadFile> {
    let content = std::fs::read(file).map_err(|cause| BadFile::Unreadable { file: file.to_owned(), cause })?;
    let no_json = |line: usize, cause: String| BadFile::NoJson { file: file.to_owned(), line, cause };
    let mut documents = serde_json::Deserializer::from_slice(&content).into_iter::<&RawValue>();
    let mut bodies = Vec::new();
    loop {
        let begin = documents.byte_offset();
        match documents.next() {
            Some(Ok(document)) if document.get().starts_with('{') => bodies.push(document.get().to_owned()),
            Some(Ok(_)) => return Err(no_json(line_of(&content, begin), "a body is a JSON object".to_owned())),
            Some(Err(error)) => {
                // The parser names the place too.
                let cause = error.to_string().split(" at line ").next().unwrap_or_default().to_owned();
                return Err(no_json(error.line(), cause));
            }
            None if bodies.is_empty() => return Err(no_json(1, "there is no JSON in it".to_owned())),
            None => return Ok(bodies),
        }
    }
}

/// The line, from 1, of the first thing that stands at or behind `begin`.
fn line_of(content: &[u8], begin: usize) -> usize {
    let blank = content[begin..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    content[..begin + blank].split(|byte| *byte == b'\n').count()
}
