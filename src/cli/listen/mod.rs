//! `ringback listen`: follows the events of a running service, or the webhooks that it takes; shows, records, forwards them.
//!
//! A stream that was cut is opened again. Events then go on where they were; webhooks that came meanwhile are told to nobody.

mod connection;
mod forward;
mod screen;
mod sse;

use std::{
    io::{self, IsTerminal as _, Stdout},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use reqwest::Url;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use self::{
    connection::{Connection, Next},
    forward::{Forward, Posted, Recording, body_of},
    screen::{Screen, Style},
    sse::Event,
};
use super::{EXIT_INTERRUPTED, Remote, failed, parse, service::Service};
use crate::{call::id::CallId, config::Environment, simulate::Auth, vapi::client::plain_http};

/// What `ringback listen` is told.
#[derive(Debug, Args)]
pub(super) struct ListenArgs {
    /// This call only
    #[arg(long, value_name = "ID", value_parser = CallId::parse)]
    call: Option<CallId>,
    /// Types of events, such as call.done; of webhooks by Vapi's names. Lists are comma separated
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    types: Vec<String>,
    /// Numbers of customer or provider
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    phone: Vec<String>,
    /// Ids of assistants
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    assistant: Vec<String>,
    /// How calls turned out, such as completed
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    status: Vec<String>,
    /// End when the call is done
    #[arg(long, requires = "call", conflicts_with_all = ["deliveries", "record"])]
    until_done: bool,
    /// Go on after the event with this id
    #[arg(long, value_name = "ID", conflicts_with_all = ["deliveries", "record"])]
    last_event_id: Option<String>,
    /// Follow Vapi's webhooks, redacted, instead of events; needs an admin token
    #[arg(long, conflicts_with_all = ["phone", "assistant", "status"])]
    deliveries: bool,
    /// Add the webhooks to a file that `replay` sends again; implies --deliveries
    #[arg(long, value_name = "FILE", conflicts_with_all = ["phone", "assistant", "status"])]
    record: Option<PathBuf>,
    /// Post each event, or each webhook, to this address; what it answers is not passed back
    #[arg(long, value_name = "URL", value_parser = parse::target)]
    forward: Option<Url>,
    /// Secret that forwarded bodies are signed with; without one they carry no proof
    #[arg(long, requires = "forward", value_parser = parse::secret)]
    secret: Option<SecretString>,
    /// How they are signed
    #[arg(long, requires = "forward", value_enum, default_value_t = Auth::Secret)]
    auth: Auth,
    /// Print events as JSON, one a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
}

impl ListenArgs {
    fn hears_deliveries(&self) -> bool {
        self.deliveries || self.record.is_some()
    }

    /// The stream to open.
    fn stream(&self, service: &Service) -> Result<Url, String> {
        let path = match &self.call {
            _ if self.hears_deliveries() => "/deliveries".to_owned(),
            Some(id) => format!("/calls/{id}/events"),
            None => "/events".to_owned(),
        };
        let mut url: Url = service.at(&path).parse().map_err(|error| format!("{} is no address: {error}", service.url()))?;
        let mut types = self.types.clone();
        if self.until_done && !types.is_empty() {
            // Else its end could not be told from a cut.
            types.push("call.done".to_owned());
        }
        let call = self.call.iter().filter(|_| self.hears_deliveries()).map(ToString::to_string).collect();
        let close = if self.until_done { vec!["done".to_owned()] } else { Vec::new() };
        let lists = [
            ("types", types),
            ("phone", self.phone.clone()),
            ("assistantId", self.assistant.clone()),
            ("status", self.status.clone()),
            ("callId", call),
            ("close", close),
        ];
        for (name, list) in lists.iter().filter(|(_, list)| !list.is_empty()) {
            url.query_pairs_mut().append_pair(name, &list.join(","));
        }
        Ok(url)
    }
}

pub(super) async fn run(args: ListenArgs, environment: &Environment, stop: CancellationToken) -> ExitCode {
    let no_color = environment.get("NO_COLOR").is_some_and(|value| !value.is_empty());
    let (listener, service) = match Listener::prepare(args, environment, no_color) {
        Ok(prepared) => prepared,
        Err(code) => return code,
    };
    listener.run(service, stop).await
}

/// Somebody who listens.
struct Listener {
    args: ListenArgs,
    url: Url,
    screen: Screen<Stdout>,
    recording: Option<Recording>,
    forward: Option<Forward>,
    /// The stream was cut, and this was said.
    is_cut: bool,
}

/// Why somebody stops listening.
enum End {
    /// There is nothing more to hear.
    Over,
    Interrupted,
    Failed(String),
    /// Nobody reads what is written any more.
    Unread,
}

impl Listener {
    fn prepare(mut args: ListenArgs, environment: &Environment, no_color: bool) -> Result<(Self, Service), ExitCode> {
        let remote = std::mem::take(&mut args.remote);
        let service = Service::find(remote, environment)?;
        let url = args.stream(&service).map_err(|why| failed(&why))?;
        let recording =
            args.record.as_ref().map(|path| Recording::open(path).map_err(|error| failed(&format!("{}: {error}", path.display()))));
        let recording = recording.transpose()?;
        let forward = match args.forward.take() {
            None => None,
            Some(target) => {
                let http = plain_http().map_err(|error| failed(&error.to_string()))?;
                Some(Forward::new(http, target, args.secret.take(), args.auth))
            }
        };
        let screen = Screen::new(io::stdout(), Style::of_stdout(args.json, no_color));
        Ok((Self { args, url, screen, recording, forward, is_cut: false }, service))
    }

    async fn run(mut self, service: Service, stop: CancellationToken) -> ExitCode {
        let end = match stop.run_until_cancelled(self.listen(service)).await {
            Some(end) => end,
            None => End::Interrupted,
        };
        // A terminal that is gone needs no tidying.
        let _ = self.screen.clear();
        let left = self.forward.as_ref().map_or(0, Forward::left);
        if left > 0 {
            eprintln!("ringback: {left} not forwarded");
        }
        match end {
            End::Over => ExitCode::SUCCESS,
            End::Interrupted => ExitCode::from(EXIT_INTERRUPTED),
            End::Failed(why) => failed(&why),
            End::Unread => ExitCode::FAILURE,
        }
    }

    async fn listen(&mut self, service: Service) -> End {
        let mut connection = match Connection::open(service, self.url.clone(), self.args.last_event_id.clone()).await {
            Ok(connection) => connection,
            Err(failure) => return End::Failed(failure.why),
        };
        if !connection.is_open() {
            return End::Over;
        }
        if io::stderr().is_terminal() {
            eprintln!("ringback: listening; Ctrl-C ends it");
        }
        if let Some(id) = &self.args.call
            && connection.is_unheard(id).await
        {
            eprintln!("ringback: nothing was heard of call {id} yet; waiting for it");
        }
        loop {
            let has_room = self.forward.as_ref().is_none_or(Forward::has_room);
            let next = tokio::select! {
                next = connection.next(), if has_room => next,
                posted = posted(self.forward.as_mut()) => {
                    self.tell_posted(&posted);
                    continue;
                }
            };
            let end = match next {
                Ok(Next::Events(events)) => self.hear(events),
                Ok(Next::Cut(why)) => self.tell_cut(&why),
                Ok(Next::Again) => self.tell_again(),
                Ok(Next::Over) => Some(End::Over),
                Err(failure) => Some(End::Failed(failure.why)),
            };
            if let Some(end) = end {
                if matches!(end, End::Over) {
                    self.post_the_rest().await;
                }
                return end;
            }
        }
    }

    async fn post_the_rest(&mut self) {
        while self.forward.as_ref().is_some_and(|forward| forward.left() > 0) {
            let posted = posted(self.forward.as_mut()).await;
            self.tell_posted(&posted);
        }
    }

    /// Shows events, keeps and posts them; the end, if one of them is that.
    fn hear(&mut self, events: Vec<Event>) -> Option<End> {
        for Event { kind, id, data } in events {
            if self.screen.show(&data).is_err() {
                return Some(End::Unread);
            }
            let body = if kind == "delivery" { body_of(&data) } else { None };
            if let (Some(recording), Some(body)) = (&mut self.recording, body)
                && let Err(error) = recording.add(body)
            {
                return Some(End::Failed(format!("the recording can't be written: {error}")));
            }
            if let Some(forward) = &mut self.forward {
                match (body, kind.starts_with("stream.")) {
                    (Some(body), _) => forward.add(body.to_owned(), None),
                    // News of the stream, not of calls.
                    (None, true) => {}
                    (None, false) => forward.add(data, id),
                }
            }
            let is_last = (self.args.until_done && kind == "call.done") || (self.args.call.is_some() && kind == "call.deleted");
            if is_last {
                return Some(End::Over);
            }
        }
        None
    }

    fn tell_cut(&mut self, why: &str) -> Option<End> {
        let _ = self.screen.clear();
        if !std::mem::replace(&mut self.is_cut, true) {
            eprintln!("ringback: {why}; trying again");
        }
        None
    }

    fn tell_again(&mut self) -> Option<End> {
        self.is_cut = false;
        let missed = if self.args.hears_deliveries() { "; webhooks that came meanwhile are missing" } else { "" };
        eprintln!("ringback: listening again{missed}");
        None
    }

    fn tell_posted(&mut self, posted: &Posted) {
        let told = match posted.answer {
            Ok(status) if (200..300).contains(&status) => io::stderr().is_terminal().then(|| format!("forwarded: {status}")),
            Ok(status) => Some(format!("forwarded, and refused: {status}")),
            Err(why) => Some(format!("not forwarded: {why}")),
        };
        if let Some(told) = told {
            let _ = self.screen.clear();
            eprintln!("ringback: {told}");
        }
    }
}

async fn posted(forward: Option<&mut Forward>) -> Posted {
    match forward {
        Some(forward) => forward.next().await,
        None => std::future::pending().await,
    }
}
