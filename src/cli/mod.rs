//! The command line: one command a file.
//!
//! stdout carries results only; logs and progress go to stderr. Exit codes: 0 done, 1 failed, 2 usage, 3 the call ended otherwise than as a
//! talk, 78 configuration, 124 timed out, 130 interrupted.

mod assistant;
mod backfill;
mod backup;
mod call;
mod doctor;
mod healthcheck;
mod listen;
mod migrate;
mod moving;
mod openapi;
mod parse;
mod progress;
pub mod replay;
mod result;
mod serve;
mod service;
pub mod simulate;

use std::{fmt::Display, io::Write as _, path::Path, process::ExitCode};

use clap::{Parser, Subcommand};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::config::{ClientConfig, Environment};

/// A mistake on the command line.
const EXIT_USAGE: u8 = 2;
/// The configuration can't be used (`EX_CONFIG` of sysexits).
const EXIT_CONFIGURATION: u8 = 78;
/// The time given was not enough.
const EXIT_TIMED_OUT: u8 = 124;
/// Somebody pressed Ctrl-C.
const EXIT_INTERRUPTED: u8 = 130;

/// What `--help` ends with.
const AFTER_HELP: &str = "\
Exit codes: 0 done (for `call`: the call was completed), 1 failed, 2 wrong arguments, 3 the call ended otherwise,
78 the configuration can't be used, 124 not done in time, 130 interrupted.
Settings come from the environment or a file `.env`; `.env.example` and the README list them.
To try it without a Vapi account: `ringback simulate`, and in another terminal what it prints in front of `ringback`.";

/// One reliable result per Vapi call, for everyone who waits.
#[derive(Debug, Parser)]
#[command(name = "ringback", version, about, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service (the default)
    Serve,
    /// Exit 0 when the running service is ready
    Healthcheck(Remote),
    /// Bring the store's schema up to date
    Migrate,
    /// Copy the SQLite store of a running service, consistently
    Backup(backup::BackupArgs),
    /// Write the whole store as JSON lines, in clear; can be interrupted
    Export(moving::ExportArgs),
    /// Read what `export` wrote into the store; can be interrupted
    Import(moving::ImportArgs),
    /// Encrypt everything with the first key of `DATA_KEY`; can be interrupted
    Rekey,
    /// Place a call and wait for its result
    Call(call::CallArgs),
    /// Print the result of a call, or wait for it
    Result(result::ResultArgs),
    /// Follow calls as they go on, or Vapi's webhooks: shown, recorded, forwarded
    Listen(listen::ListenArgs),
    /// Have the running service fetch what is missing from Vapi; can be interrupted
    Backfill(backfill::BackfillArgs),
    /// Check configuration, store, clock, the public address and Vapi's settings
    Doctor(doctor::DoctorArgs),
    /// Run a fake Vapi to try things on, without an account
    Simulate(simulate::SimulateArgs),
    /// Post recorded webhook bodies, signed afresh
    Replay(replay::ReplayArgs),
    /// Turn a call request on stdin into an assistant, as Vapi takes it
    AssistantConfig,
    /// Print the OpenAPI 3.1 document
    Openapi,
}

/// Where the running service is, and how to be let in.
#[derive(Debug, Default, clap::Args)]
struct Remote {
    /// Address of the service [default: `RINGBACK_URL`, `BACKEND_URL` or `http://127.0.0.1:$PORT`]
    #[arg(long, value_name = "URL", value_parser = parse::service)]
    url: Option<String>,
    /// API token [default: `RINGBACK_TOKEN`]
    #[arg(long)]
    token: Option<SecretString>,
}

impl Remote {
    fn resolve(self, environment: &Environment) -> Result<ClientConfig, ExitCode> {
        let configured = ClientConfig::from_env(|name| environment.get(name));
        match (configured, self.url) {
            (Ok(config), url) => Ok(ClientConfig { url: url.unwrap_or(config.url), token: self.token.or(config.token) }),
            (Err(_), Some(url)) => Ok(ClientConfig { url, token: self.token }),
            (Err(error), None) => Err(unusable(&error)),
        }
    }
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let environment = match Environment::load(Path::new(".env")) {
        Ok(environment) => environment,
        Err(error) => return unusable(&error),
    };
    let command = cli.command.unwrap_or(Command::Serve);
    match command {
        Command::Openapi => openapi::run(),
        Command::AssistantConfig => assistant::run(&environment),
        Command::Backup(args) => backup::run(&args, &environment),
        command => match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(run(command, &environment)),
            Err(error) => failed(&format!("the runtime can't start: {error}")),
        },
    }
}

async fn run(command: Command, environment: &Environment) -> ExitCode {
    match command {
        Command::Serve => serve::run(environment).await,
        Command::Doctor(args) => doctor::run(&args, environment).await,
        Command::Migrate => migrate::run(environment).await,
        Command::Export(args) => moving::export(&args, environment).await,
        Command::Import(args) => moving::import(&args, environment).await,
        Command::Rekey => moving::rekey(environment).await,
        Command::Healthcheck(remote) => match remote.resolve(environment) {
            Ok(config) => healthcheck::run(&config).await,
            Err(code) => code,
        },
        Command::Call(args) => call::run(args, environment).await,
        Command::Result(args) => result::run(args, environment).await,
        Command::Listen(args) => listen::run(args, environment, interrupted()).await,
        Command::Backfill(args) => backfill::run(args, environment).await,
        Command::Simulate(args) => match client_url(environment, args.webhook_url.is_some()) {
            Ok(url) => simulate::run(args, &url, interrupted()).await,
            Err(code) => code,
        },
        Command::Replay(args) => match client_url(environment, args.url.is_some()) {
            Ok(url) => replay::run(args, &url).await,
            Err(code) => code,
        },
        Command::Openapi | Command::AssistantConfig | Command::Backup(_) => ExitCode::SUCCESS,
    }
}

/// Where the service is. Whoever `is_told` an address needs none from the environment, so it may be wrong there.
fn client_url(environment: &Environment, is_told: bool) -> Result<String, ExitCode> {
    if is_told {
        return Ok(String::new());
    }
    ClientConfig::from_env(|name| environment.get(name)).map(|config| config.url).map_err(|error| unusable(&error))
}

/// Cancelled at Ctrl-C. Whoever presses it again can't wait any longer: whatever hangs, such as a pipe that nobody reads, the program ends.
#[expect(clippy::disallowed_methods, reason = "lives as long as the command; there is no service whose tasks are tracked")]
fn interrupted() -> CancellationToken {
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(EXIT_INTERRUPTED.into());
        }
    });
    token
}

/// Says why the configuration can't be used.
fn unusable(error: &dyn Display) -> ExitCode {
    eprintln!("ringback: {error}");
    ExitCode::from(EXIT_CONFIGURATION)
}

/// Prints a result. A closed pipe is a failure: whoever read has read enough.
fn print(result: impl Display, code: ExitCode) -> ExitCode {
    match writeln!(std::io::stdout(), "{result}") {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Says why a command failed.
fn failed(why: &str) -> ExitCode {
    eprintln!("ringback: {why}");
    ExitCode::FAILURE
}
