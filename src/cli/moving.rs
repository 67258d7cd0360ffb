//! `ringback export`, `import` and `rekey`: the whole store out, in, and under a new key.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Seek as _, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{EXIT_INTERRUPTED, failed, interrupted, progress::Bar, unusable};
use crate::{
    app::{open_snapshot, open_store},
    clock::Clock,
    config::{ConfigError, DatabaseUrl, Environment, HttpConfig, StoreConfig},
    store::Store,
    transfer::{
        TransferError,
        export::{self, Written},
        import::{self, Imported, Next},
        rekey,
    },
};

/// Who may read an export: its owner.
const PRIVATE: u32 = 0o600;

/// What `ringback export` is told.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// The file, which must not exist; `-` is stdout. While it is being written it is called FILE.part, and an interrupted export goes on there
    #[arg(default_value = "-")]
    file: PathBuf,
}

/// What `ringback import` is told.
#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// A file that `ringback export` wrote
    file: PathBuf,
}

/// Why a command ended early.
enum Failure {
    Config(String),
    /// The file that was named.
    File(String),
    Work(TransferError),
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.to_string())
    }
}

impl<E: Into<TransferError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Work(error.into())
    }
}

fn ended(outcome: Result<String, Failure>) -> ExitCode {
    match outcome {
        Ok(told) => {
            eprintln!("ringback: {told}");
            ExitCode::SUCCESS
        }
        Err(Failure::Config(why) | Failure::Work(TransferError::Refused(why))) => unusable(&why),
        Err(Failure::Work(TransferError::Stopped)) => {
            eprintln!("ringback: {}", TransferError::Stopped);
            ExitCode::from(EXIT_INTERRUPTED)
        }
        Err(Failure::File(why)) => failed(&why),
        Err(Failure::Work(error)) => failed(&error.to_string()),
    }
}

pub(super) async fn export(args: &ExportArgs, environment: &Environment) -> ExitCode {
    ended(try_export(&args.file, environment).await)
}

async fn try_export(file: &Path, environment: &Environment) -> Result<String, Failure> {
    let config = config(environment)?;
    let is_stdout = file == Path::new("-");
    if !is_stdout && file.exists() {
        return Err(Failure::File(format!("{} exists already; nothing is written over", file.display())));
    }
    let part = with_suffix(file, ".part");
    let snapshot = open_snapshot(&config).map_err(|error| Failure::Config(format!("DATABASE_URL: {error}")))?;
    let store = match &snapshot {
        Some(snapshot) => Store::Sqlite(snapshot.store()),
        None => open(&config).await?,
    };
    let (written, mut out): (Written, Box<dyn Write + Send>) =
        if is_stdout { (Written::default(), Box::new(BufWriter::new(io::stdout()))) } else { unfinished(&part)? };
    eprintln!("ringback: what is exported is personal data, in clear; keep it safe, and delete it when it is not needed any more");
    let mut bar = Bar::of("calls", interrupted());
    let outcome = export::export(&store, &mut *out, written, Clock::System.now(), &mut bar).await;
    bar.end();
    // What is there counts, also when it was stopped.
    out.flush().map_err(TransferError::from)?;
    drop(out);
    store.close().await?;
    let calls = outcome?;
    if !is_stdout {
        File::open(&part).and_then(|part| part.sync_all()).and_then(|()| fs::rename(&part, file)).map_err(TransferError::from)?;
    }
    Ok(format!("exported {calls} calls"))
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens what an earlier run left, at its end; or a new file.
fn unfinished(part: &Path) -> Result<(Written, Box<dyn Write + Send>), Failure> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(PRIVATE).open(part);
    let mut file = file.map_err(|error| Failure::File(format!("{} can't be written: {error}", part.display())))?;
    file.try_lock().map_err(|_held| TransferError::Refused(format!("{} is being written by another process", part.display())))?;
    let written = export::written(BufReader::new(&file))?;
    file.set_len(written.bytes)?;
    file.seek(SeekFrom::End(0))?;
    Ok((written, Box::new(BufWriter::new(file))))
}

pub(super) async fn import(args: &ImportArgs, environment: &Environment) -> ExitCode {
    ended(try_import(&args.file, environment).await)
}

async fn try_import(file: &Path, environment: &Environment) -> Result<String, Failure> {
    let config = StoreConfig { links: false, ..config(environment)? };
    let base = public_url(environment)?;
    let mut bar = Bar::of("bytes", interrupted());
    loop {
        let lines = File::open(file).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())));
        let lines = lines.map_err(TransferError::from)?;
        let bytes = lines.metadata().map_err(TransferError::from)?.len();
        let store = open(&config).await?;
        let outcome = import::import(&store, BufReader::new(lines), bytes, (&base, Clock::System.now()), &mut bar).await;
        bar.end();
        store.close().await?;
        if let Next::Done(imported) = outcome? {
            return Ok(told(&imported));
        }
    }
}

fn told(imported: &Imported) -> String {
    let Imported { calls, new, deleted, erased, unknown_graves } = imported;
    let joined = calls - new - deleted;
    let erased = match erased {
        0 => String::new(),
        erased => format!("; {erased} deleted here, since they were deleted there"),
    };
    let unknown = match unknown_graves {
        0 => String::new(),
        unknown => format!("; {unknown} calls that were deleted there are not known here: later events about them would be taken as new"),
    };
    format!("imported {calls} calls: {new} new, {joined} joined, {deleted} left out as deleted here{erased}{unknown}")
}

pub(super) async fn rekey(environment: &Environment) -> ExitCode {
    ended(try_rekey(environment).await)
}

async fn try_rekey(environment: &Environment) -> Result<String, Failure> {
    // Nobody is told again what was told before.
    let config = StoreConfig { links: false, ..config(environment)? };
    let base = public_url(environment)?;
    let store = open(&config).await?;
    let mut bar = Bar::of("records and bodies", interrupted());
    let outcome = rekey::rekey(&store, (&base, Clock::System.now()), &mut bar).await;
    bar.end();
    store.close().await?;
    Ok(format!("{} records and bodies are encrypted with the first key of DATA_KEY; the others are not needed any more", outcome?))
}

/// The configuration of a store that outlives the command.
fn config(environment: &Environment) -> Result<StoreConfig, Failure> {
    let config = StoreConfig::from_env(|name| environment.get(name))?;
    if config.url == DatabaseUrl::Memory {
        return Err(Failure::Config("DATABASE_URL: memory: is gone with its process; name the store that is meant".to_owned()));
    }
    Ok(config)
}

fn public_url(environment: &Environment) -> Result<String, Failure> {
    Ok(HttpConfig::public_url_from_env(|name| environment.get(name))?.unwrap_or_default())
}

/// Whether the place forgets is for `serve` to judge, which knows who can reach it.
async fn open(config: &StoreConfig) -> Result<Store, Failure> {
    let store = open_store(config, 0, false).await.map_err(|error| Failure::Config(format!("DATABASE_URL: {error}")))?;
    // A database that does not answer counts as open.
    match store.health().await {
        Ok(_) => Ok(store),
        Err(error) => Err(Failure::Work(error.into())),
    }
}
