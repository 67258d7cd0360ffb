//! `ringback simulate`: a fake Vapi to try things on, without an account.

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use reqwest::Url;
use secrecy::SecretString;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::parse;
use crate::{
    clock::Clock,
    simulate::{Auth, FakeVapi, Options, Progress, Scenario},
};

/// What `ringback simulate` is told.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Port on 127.0.0.1; 0 picks one
    #[arg(long, default_value_t = 8010)]
    pub port: u16,
    /// Where webhooks go when a call has no server of its own [default: to the service]
    #[arg(long, value_name = "URL", value_parser = parse::webhook_url)]
    pub webhook_url: Option<Url>,
    /// Secret that webhooks are signed with; without one they carry no proof
    #[arg(long, value_parser = parse::secret)]
    pub secret: Option<SecretString>,
    /// How webhooks are signed; hmac is Vapi's HMAC credential as it is unless changed
    #[arg(long, value_enum, default_value_t = Auth::Secret)]
    pub auth: Auth,
    /// How calls go; all takes them in turn
    #[arg(long, value_enum, default_value_t = Scenario::Talk)]
    pub scenario: Scenario,
    /// Calls to place at once, beside those that are posted
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub calls: u64,
    /// How many of them a second
    #[arg(long, default_value = "1", value_parser = parse::rate)]
    pub rate: f64,
    /// Probability of each webhook to be sent twice, 0 to 1
    #[arg(long, value_name = "P", default_value = "0", value_parser = parse::probability)]
    pub duplicate: f64,
    /// Send the webhooks of a call in any order
    #[arg(long)]
    pub shuffle: bool,
    /// Leave out the report of every Nth call, or every report
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1", value_parser = clap::value_parser!(u64).range(1..))]
    pub drop_report: Option<u64>,
    /// Leave the analysis out of the report; REST has it 5 s after the end
    #[arg(long)]
    pub late_analysis: bool,
    /// Seconds before a new call is in the list
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = parse::seconds)]
    pub list_after: f64,
    /// How long calls take: 1 as in life, 0.1 ten times faster
    #[arg(long, default_value = "1", value_parser = parse::pace)]
    pub pace: f64,
    /// Seed for repeatable ids, repeats and orders [default: another one each time]
    #[arg(long)]
    pub seed: Option<u64>,
}

/// Runs the fake Vapi until `stop`. Calls without a server of their own post to the service at `ringback_url` unless told otherwise.
pub async fn run(args: SimulateArgs, ringback_url: &str, stop: CancellationToken) -> ExitCode {
    match serve(args, ringback_url, stop, &mut io::stdout()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringback simulate: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The same, with the lines to paste written to `out`.
///
/// # Errors
/// When the port is taken, the address of the service is none, or `out` is closed.
pub async fn serve(args: SimulateArgs, ringback_url: &str, stop: CancellationToken, out: &mut (dyn Write + Send)) -> io::Result<()> {
    let (calls, pause, port) = (args.calls, Duration::from_secs_f64(args.rate.recip()), args.port);
    let (progress, mut news) = mpsc::unbounded_channel();
    let options = Options { progress: Some(progress), ..options(args, ringback_url)? };
    let vapi = FakeVapi::start(options).await.map_err(|error| io::Error::new(error.kind(), format!("port {port}: {error}")))?;
    writeln!(out, "VAPI_API_URL={}\nVAPI_API_KEY={}", vapi.url(), vapi.key())?;
    out.flush()?;
    let placing = async {
        for _ in 0..calls {
            vapi.place(json!({}));
            tokio::time::sleep(pause).await;
        }
    };
    let telling = async {
        let on_terminal = io::stderr().is_terminal();
        while let Some(news) = news.recv().await {
            if let Some(line) = told(&news, on_terminal) {
                eprintln!("{line}");
            }
        }
    };
    let working = async { tokio::join!(placing, telling) };
    let _ = stop.run_until_cancelled(working).await;
    Ok(())
}

fn options(args: SimulateArgs, ringback_url: &str) -> io::Result<Options> {
    let webhook_url = match args.webhook_url {
        Some(url) => url,
        None => parse::webhook_url(ringback_url).map_err(|error| io::Error::other(format!("{ringback_url}: {error}")))?,
    };
    Ok(Options {
        port: args.port,
        webhook_url: Some(webhook_url.into()),
        auth: args.auth,
        secret: args.secret,
        scenario: args.scenario,
        duplicate: args.duplicate,
        shuffle: args.shuffle,
        drop_report: args.drop_report.unwrap_or_default(),
        late_analysis: args.late_analysis,
        list_after: Duration::from_secs_f64(args.list_after),
        pace: args.pace,
        seed: args.seed.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0),
        clock: Clock::System,
        ..Options::default()
    })
}

/// A line about what happens: calls and what went wrong always, the rest only for somebody who watches.
fn told(news: &Progress, is_watched: bool) -> Option<String> {
    match news {
        Progress::Placed { call_id, scenario } => Some(format!("{call_id} placed: {scenario}")),
        Progress::Delivered(delivery) => {
            let (call_id, kind) = (&delivery.call_id, &delivery.kind);
            match delivery.status {
                Some(status) if (200..300).contains(&status) => is_watched.then(|| format!("{call_id} {kind}: {status}")),
                Some(status) => Some(format!("{call_id} {kind}: refused with {status}")),
                None => Some(format!("{call_id} {kind}: {}", delivery.answer)),
            }
        }
        Progress::Played { call_id } => is_watched.then(|| format!("{call_id} is over")),
    }
}
