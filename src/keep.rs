//! What has to be done from time to time so that the store stays as it should: old things go, room is made, numbers are taken.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{error, info, warn};

use crate::{
    call::{
        id::CallId,
        time::{DAY, Millis},
        view::View,
    },
    clock::Clock,
    lifecycle::Lifecycle,
    registry::Registry,
    store::{Retention, StoreError, StoredCall},
    telemetry::Metrics,
};

/// How often the store is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// How often old things go.
const PURGE_EVERY: i64 = 3_600 * 1_000;
/// How long what was left for later is worked on at a time; the rest comes after the next look.
const TEND_FOR: Duration = Duration::from_secs(10);
/// Between two steps of it.
const TEND_PAUSE: Duration = Duration::from_millis(20);
/// Records that go at once: a purge must not hold up the webhooks.
const PURGE_BATCH: usize = 200;
/// Bodies that go at once when room is short.
const BODIES_BATCH: usize = 500;
/// Milliseconds for which the log of news is kept: so long a stream can go on where it was cut.
const NEWS_KEPT: i64 = 7 * DAY;
/// Entries of it that go at once.
const NEWS_BATCH: usize = 1_000;
/// Documents whose time is over that go at once.
const DOCUMENTS_BATCH: usize = 1_000;
/// Deliveries that go at once.
const DELIVERIES_BATCH: usize = 1_000;
/// What is kept, and for how long.
#[derive(Debug, Clone)]
pub struct KeepPlan {
    /// Milliseconds for which a record is kept.
    pub records: Option<i64>,
    /// Milliseconds for which a body is kept.
    pub bodies: Option<i64>,
    /// Folder for records that are removed.
    pub archive: Option<PathBuf>,
}

/// Keeps the store as it should be.
#[derive(Clone)]
pub struct Keeper {
    registry: Registry,
    clock: Clock,
    metrics: Metrics,
    plan: Arc<KeepPlan>,
}

impl Keeper {
    /// A keeper with a plan.
    #[must_use]
    pub fn new(registry: Registry, clock: Clock, metrics: Metrics, plan: KeepPlan) -> Self {
        Self { registry, clock, metrics, plan: Arc::new(plan) }
    }

    /// Works until `lifecycle` stops it.
    pub async fn run(self, lifecycle: Lifecycle) {
        let mut purged_at: Option<Millis> = None;
        while !lifecycle.is_stopping() {
            self.look().await;
            self.tend(&lifecycle).await;
            let now = self.clock.now();
            if purged_at.is_none_or(|at| now.since(at) >= PURGE_EVERY) {
                purged_at = Some(now);
                if let Err(error) = self.purge(&lifecycle).await {
                    warn!(%error, "Old records could not be removed; next try in an hour");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = lifecycle.soft_stopped() => {}
            }
        }
    }

    /// Takes the store's numbers, and makes room where it is short.
    pub async fn look(&self) {
        match self.registry.store().health().await {
            Ok(health) => {
                self.metrics.store_health(&health, self.clock.now());
                if health.is_low_on_disk() {
                    self.make_room().await;
                }
            }
            Err(error) => {
                self.metrics.set_store_up(false);
                error!(%error, "The store does not answer");
            }
        }
    }

    /// Does what the store left for later, in small steps, so that webhooks get their turn in between.
    pub async fn tend(&self, lifecycle: &Lifecycle) {
        let begun = Instant::now();
        while !lifecycle.is_stopping() && begun.elapsed() < TEND_FOR {
            match self.registry.store().tend(self.clock.now()).await {
                Ok(0) => return,
                Ok(_) => tokio::time::sleep(TEND_PAUSE).await,
                Err(error) => return warn!(%error, "What the store left for later can't be done yet"),
            }
        }
    }

    async fn make_room(&self) {
        match self.registry.store().drop_oldest_bodies(BODIES_BATCH).await {
            Ok(0) => error!("Room is short where the store lies, and no raw body is left to drop: make room, or webhooks will be refused"),
            Ok(dropped) => warn!(dropped, "Room is short where the store lies: the oldest raw bodies were dropped"),
            Err(error) => error!(%error, "Room is short where the store lies, and none can be made"),
        }
    }

    /// Removes what is too old, after archiving it.
    ///
    /// # Errors
    /// [`StoreError`] when the store or the archive can't be written; what could not be archived stays.
    pub async fn purge(&self, lifecycle: &Lifecycle) -> Result<usize, StoreError> {
        let now = self.clock.now();
        let before = |age: Option<i64>| age.map(|age| now.plus(-age));
        let retention = Retention { records_before: before(self.plan.records), bodies_before: before(self.plan.bodies) };
        while !lifecycle.is_stopping() && self.registry.store().forget_news(now.plus(-NEWS_KEPT), NEWS_BATCH).await? >= NEWS_BATCH {}
        while !lifecycle.is_stopping() && self.registry.store().forget_documents(now, DOCUMENTS_BATCH).await? >= DOCUMENTS_BATCH {}
        while let Some(before) = retention.bodies_before
            && !lifecycle.is_stopping()
            && self.registry.store().forget_deliveries(before, DELIVERIES_BATCH).await? >= DELIVERIES_BATCH
        {}
        let mut removed = 0;
        while !lifecycle.is_stopping() {
            let old = self.registry.store().purgeable(retention, PURGE_BATCH).await?;
            self.prepare(&old).await?;
            let gone = self.registry.store().purge(retention, PURGE_BATCH).await?;
            // A call that was deleted in between made room for another one in the batch.
            let prepared: HashSet<&CallId> = old.iter().map(|call| &call.id).collect();
            let unforeseen: Vec<_> = gone.iter().filter(|call| !prepared.contains(&call.id)).cloned().collect();
            self.prepare(&unforeseen).await?;
            for call in &gone {
                self.registry.forget_erased(&call.id);
            }
            removed += gone.len();
            if gone.len() < PURGE_BATCH {
                break;
            }
        }
        if removed > 0 {
            info!(removed, "Removed records past their retention");
        }
        Ok(removed)
    }

    /// Archives records that are about to go, and drops what is kept beside them: afterwards nothing leads there.
    async fn prepare(&self, old: &[Arc<StoredCall>]) -> Result<(), StoreError> {
        self.archive(old)?;
        for call in old {
            self.registry.outlive(&call.id, &call.record).await?;
        }
        Ok(())
    }

    fn archive(&self, calls: &[Arc<StoredCall>]) -> Result<(), StoreError> {
        let written = match &self.plan.archive {
            Some(folder) if !calls.is_empty() => self.append(folder, calls),
            _ => Ok(()),
        };
        written.map_err(|error| StoreError::Unavailable(format!("the archive can't be written: {error}")))
    }

    /// Appends records to the file of the day, one JSON object a line, and waits until they are on disk.
    fn append(&self, folder: &Path, calls: &[Arc<StoredCall>]) -> io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let day = Millis(self.clock.now().0.div_euclid(DAY) * DAY).to_string();
        let name = format!("ringback-{}.jsonl", day.get(..10).unwrap_or("undated"));
        let mut file = io::BufWriter::new(append_privately(&folder.join(name))?);
        for call in calls {
            serde_json::to_writer(&mut file, &self.registry.rendered(call, View::Full))?;
            file.write_all(b"\n")?;
        }
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

/// Makes the folder of the archive, and writes there once.
///
/// # Errors
/// When it can't be made or written.
pub fn prepare_archive(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let probe = folder.join(".ringback-probe");
    append_privately(&probe)?;
    std::fs::remove_file(probe)
}

fn append_privately(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}
