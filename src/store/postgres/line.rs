//! The writers' connections, counted: whoever asks is told at once when there is none.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use super::{
    fault::Fault,
    link::{Db, Link, News},
};

/// How long the first connection is waited for by whoever wants to know whether there is one.
const PATIENCE: Duration = Duration::from_secs(2);

/// A try that failed may be bad luck; after so many in a row there is no connection to be had.
const FAILURES: u32 = 3;

/// How many connections there are, and why there are no more.
#[derive(Debug, Default)]
struct Standing {
    open: usize,
    /// Tries that failed since the last that did not.
    failures: u32,
    why: Option<Fault>,
}

/// All of them; a cheap handle.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines(Arc<watch::Sender<Standing>>);

/// One of them.
pub(super) struct Line {
    pub(super) db: Db,
    /// Nothing is heard on it but its end.
    news: News,
    _counted: Counted,
}

struct Counted(Lines);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.send_modify(|standing| standing.open -= 1);
    }
}

impl Standing {
    fn check(&self) -> Result<(), Fault> {
        match &self.why {
            Some(why) if self.open == 0 && self.failures >= FAILURES => Err(why.clone()),
            _ => Ok(()),
        }
    }
}

impl Lines {
    /// A new one.
    pub(super) async fn open(&self, link: &Arc<Link>) -> Result<Line, Fault> {
        let opened = link.open_to_listen().await;
        self.0.send_modify(|standing| match &opened {
            Ok(_) => *standing = Standing { open: standing.open + 1, ..Standing::default() },
            Err(fault) => {
                standing.failures = standing.failures.saturating_add(1);
                standing.why = Some(fault.clone());
            }
        });
        opened.map(|(db, news)| Line { db, news, _counted: Counted(self.clone()) })
    }

    /// Fails when there is none, and none can be had.
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.0.borrow().check()
    }

    /// Waits until there is one; fails when there is none.
    pub(super) async fn connected(&self) -> Result<(), Fault> {
        let mut standing = self.0.subscribe();
        let known = timeout(PATIENCE, standing.wait_for(|it| it.open > 0 || it.check().is_err())).await;
        known.map_err(|_elapsed| Fault::late(PATIENCE))?.map_or_else(|_closed| self.check(), |standing| standing.check())
    }
}

impl Line {
    /// Waits until it is gone.
    pub(super) async fn ended(&mut self) {
        while self.news.recv().await.is_some() {}
    }
}
