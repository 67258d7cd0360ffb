//! `ringback backfill --since T`: has a running service fetch what is missing from Vapi, page by page.

use std::{
    io::{IsTerminal as _, Write as _},
    ops::AddAssign,
    process::ExitCode,
    time::Duration,
};

use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use serde_json::Value;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    EXIT_INTERRUPTED, EXIT_USAGE, Remote, failed, interrupted, parse, print,
    service::{Failure, Service},
};
use crate::{
    call::time::{Millis, YEAR_2020},
    clock::Clock,
    config::Environment,
};

/// One page may take so long: Vapi's answer, fifty commits, and everybody in a hurry before it.
const PAGE_PATIENCE: Duration = Duration::from_mins(2);
/// A page that failed is asked for again after this time, and then after twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// So often; in all about a minute.
const TRIES: u32 = 6;

/// What `ringback backfill` is told.
#[derive(Debug, clap::Args)]
pub(super) struct BackfillArgs {
    /// Calls that changed then or later: a time (2026-01-31T12:00:00Z), a day (2026-01-31), or how long ago (90m, 12h, 30d)
    #[arg(long, value_name = "TIME", value_parser = parse::moment, allow_hyphen_values = true)]
    since: parse::Moment,
    /// Calls that were made then or earlier
    #[arg(long, value_name = "TIME", value_parser = parse::moment, allow_hyphen_values = true)]
    until: Option<parse::Moment>,
    /// All calls of the organisation, not only those that the service takes for its own
    #[arg(long)]
    all: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

/// What came of it so far.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Counts {
    seen: u64,
    imported: u64,
    updated: u64,
    known: u64,
    foreign: u64,
    skipped: u64,
}

impl Counts {
    fn of(data: &Value) -> Self {
        let count = |name: &str| data[name].as_u64().unwrap_or_default();
        Self {
            seen: count("seen"),
            imported: count("imported"),
            updated: count("updated"),
            known: count("known"),
            foreign: count("foreign"),
            skipped: count("skipped"),
        }
    }

    fn words(&self) -> String {
        let Self { seen, imported, updated, known, foreign, skipped } = self;
        format!("{seen} seen: {imported} imported, {updated} updated, {known} known before, {foreign} not ours, {skipped} skipped")
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.seen += more.seen;
        self.imported += more.imported;
        self.updated += more.updated;
        self.known += more.known;
        self.foreign += more.foreign;
        self.skipped += more.skipped;
    }
}

/// How it ended.
enum End {
    Done,
    Stopped,
    Failed(String),
}

pub(super) async fn run(args: BackfillArgs, environment: &Environment) -> ExitCode {
    let now = Clock::System.now();
    let (since, until) = (args.since.at(now), args.until.map(|until| until.at(now)));
    if let Some(mistake) = mistake(since, now) {
        eprintln!("error: {mistake}\n\nFor more information, try '--help'.");
        return ExitCode::from(EXIT_USAGE);
    }
    let service = match Service::find(args.remote, environment) {
        Ok(service) => service,
        Err(code) => return code,
    };
    let order = Order { service, since, until, all: args.all };
    let mut counts = Counts::default();
    let end = order.pages(&mut counts, &interrupted()).await;
    // What was fetched stays, however it ended. To have seen nothing is a result only of who came to the end.
    let told = if matches!(end, End::Done) || counts.seen > 0 { tell(&counts, args.json) } else { ExitCode::SUCCESS };
    match end {
        End::Done => told,
        End::Stopped => {
            eprintln!("ringback: stopped; what was fetched stays, and the same command fetches the rest");
            ExitCode::from(EXIT_INTERRUPTED)
        }
        End::Failed(why) => failed(&why),
    }
}

/// What the reader of the command line can't tell.
fn mistake(since: Millis, now: Millis) -> Option<String> {
    if since > now {
        return Some(format!("--since is in the future: {since}"));
    }
    (since < YEAR_2020).then(|| format!("--since is before there was a Vapi: {since}. Take 2020-01-01 for all there is"))
}

fn tell(counts: &Counts, as_json: bool) -> ExitCode {
    let summary = if as_json { serde_json::to_string(counts).unwrap_or_default() } else { counts.words() };
    print(summary, ExitCode::SUCCESS)
}

/// The service, and what it is asked for.
struct Order {
    service: Service,
    since: Millis,
    until: Option<Millis>,
    all: bool,
}

impl Order {
    async fn pages(&self, counts: &mut Counts, stop: &CancellationToken) -> End {
        let shows = std::io::stderr().is_terminal();
        let mut cursor = None;
        let end = loop {
            let data = match stop.run_until_cancelled(self.patiently(cursor.as_deref())).await {
                None => break End::Stopped,
                Some(Err(failure)) => break End::Failed(failure.why),
                Some(Ok(data)) => data,
            };
            *counts += Counts::of(&data);
            if shows {
                // A terminal that is gone is no reason to stop.
                let _ = write!(std::io::stderr(), "\r{}\x1b[K", counts.words());
            }
            match data["nextCursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => break End::Done,
            }
        };
        if shows {
            eprintln!();
        }
        end
    }

    /// A page, asked for again while what is wrong may pass.
    async fn patiently(&self, cursor: Option<&str>) -> Result<Value, Failure> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1..TRIES {
            match self.page(cursor).await {
                Err(failure) if failure.passes => {
                    if attempt == 1 {
                        eprintln!("ringback: {}; trying again for a minute", failure.why);
                    }
                    sleep(pause).await;
                }
                answer => return answer,
            }
            pause *= 2;
        }
        self.page(cursor).await
    }

    async fn page(&self, cursor: Option<&str>) -> Result<Value, Failure> {
        let Self { service, since, until, all } = self;
        let bounds = [("since", Some(*since)), ("until", *until)];
        let mut query: Vec<(&str, String)> = bounds.into_iter().filter_map(|(name, at)| Some((name, at?.to_string()))).collect();
        query.extend(all.then(|| ("all", "1".to_owned())));
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        let address = Url::parse_with_params(&service.at("/backfill"), query)
            .map_err(|error| Failure::for_good(format!("{}: {error}", service.url())))?;
        let (status, mut answer) = service.ask(service.request(Method::POST, address).timeout(PAGE_PATIENCE)).await?;
        if status == StatusCode::OK {
            return Ok(answer["data"].take());
        }
        let failure = service.refusal(status, &answer, "an explanation");
        let is_final = answer["code"] == "VAPI_ACCOUNT";
        Err(Failure { passes: failure.passes && !is_final, ..failure })
    }
}
