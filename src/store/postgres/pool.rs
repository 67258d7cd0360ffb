//! A small pool of connections that read, and do what is written besides commits.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, PoolError, RecyclingMethod, Runtime};
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};

use super::{
    fault::Fault,
    link::{Db, Link, PoolLink},
    options::CONNECT_TIMEOUT,
};
use crate::store::StoreError;

/// How long an answer is waited for. HTTP says that the store is down after 5 s.
pub(super) const PATIENCE: Duration = Duration::from_millis(4_500);
/// How often something is tried whose connection was lost, or that the server asks to try again.
const TRIES: usize = 4;

/// How soon the answer is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One call: webhooks wait for it.
    Lookup,
    /// Perhaps the whole table. Never takes the last connection, so that lookups go on.
    Scan,
}

#[derive(Debug)]
pub(super) struct Pool {
    connections: deadpool_postgres::Pool,
    scans: Semaphore,
    link: Arc<Link>,
    /// Told when a connection was lost.
    trouble: Arc<Notify>,
}

impl Pool {
    /// A pool of at most `size` connections (at least one), opened when first needed.
    pub(super) fn new(link: &Arc<Link>, size: usize, trouble: &Arc<Notify>) -> Result<Self, StoreError> {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        // A connection that went away is noticed without asking the server.
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(link.config().clone(), PoolLink(Arc::clone(link)), config);
        let connections = deadpool_postgres::Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(PATIENCE))
            .create_timeout(Some(CONNECT_TIMEOUT))
            .build()
            .map_err(|error| StoreError::Unusable(format!("no pool of connections: {error}")))?;
        let scans = Semaphore::new(size.saturating_sub(1).max(1));
        Ok(Self { connections, scans, link: Arc::clone(link), trouble: Arc::clone(trouble) })
    }

    /// Does something on a connection, again if that is lost meanwhile.
    pub(super) async fn run<T, F>(&self, kind: Kind, work: impl Fn(Arc<Db>) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        timeout(PATIENCE, self.attempts(kind, work)).await.unwrap_or_else(|_elapsed| {
            self.trouble.notify_one();
            Err(Fault::late(PATIENCE))
        })
    }

    async fn attempts<T, F>(&self, kind: Kind, work: impl Fn(Arc<Db>) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let _permit = match kind {
            Kind::Lookup => None,
            Kind::Scan => Some(self.scans.acquire().await.map_err(|_closed| closed())?),
        };
        let mut tried = 1;
        loop {
            let db = Arc::new(self.free().await?);
            let fault = match work(Arc::clone(&db)).await {
                Ok(answer) => {
                    db.settle();
                    return Ok(answer);
                }
                Err(fault) => fault,
            };
            match fault {
                Fault::Pooled(_) => self.link.found_pooled(),
                Fault::Lost(_) => self.trouble.notify_one(),
                Fault::Again(_) => {}
                Fault::Slow(_) => return Err(fault),
                Fault::Refused(_) | Fault::Unusable(_) | Fault::Behind(_) => {
                    // Perhaps the schema is not the one that it was.
                    self.trouble.notify_one();
                    return Err(fault);
                }
            }
            if tried == TRIES {
                return Err(fault);
            }
            tried += 1;
        }
    }

    async fn free(&self) -> Result<Db, Fault> {
        match self.connections.get().await {
            Ok(object) => Ok(Db::pooled(object, &self.link)),
            Err(error) => {
                self.trouble.notify_one();
                Err(match error {
                    PoolError::Backend(error) => error.into(),
                    PoolError::Timeout(_) => Fault::late(CONNECT_TIMEOUT),
                    PoolError::Closed => closed(),
                    PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => Fault::Lost(error.to_string()),
                })
            }
        }
    }

    /// Lets go of every connection; later work fails.
    pub(super) fn close(&self) {
        self.scans.close();
        self.connections.close();
    }
}

fn closed() -> Fault {
    Fault::Lost("it is closed".to_owned())
}
