//! Connections, and how statements travel over them.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use deadpool_postgres::{ClientWrapper, Connect, Object};
use futures_util::future::{join_all, join3, try_join_all};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_postgres::{AsyncMessage, Client, Config, Row, Statement, types::ToSql};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::{debug, info};

use super::{
    fault::Fault,
    options::{CONNECT_TIMEOUT, PostgresOptions},
    step::Step,
    tls,
};
use crate::store::StoreError;

/// The way to the server.
pub(super) struct Link {
    config: Config,
    tls: MakeRustlsConnect,
    pooled: AtomicBool,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("pooled", &self.is_pooled()).finish_non_exhaustive()
    }
}

/// What the server says without being asked: the texts of notifications.
pub(super) type News = mpsc::UnboundedReceiver<String>;

impl Link {
    pub(super) fn new(options: &PostgresOptions) -> Result<Self, StoreError> {
        Ok(Self { config: options.config()?, tls: tls::connector(options)?, pooled: AtomicBool::new(options.pooled) })
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Does nothing outlive a transaction on the other side?
    pub(super) fn is_pooled(&self) -> bool {
        self.pooled.load(Ordering::Relaxed)
    }

    /// A prepared statement was gone, or another client's.
    pub(super) fn found_pooled(&self) {
        if !self.pooled.swap(true, Ordering::Relaxed) {
            info!(
                "Prepared statements don't last on this connection: a transaction pooler seems to stand in between; going on without them"
            );
        }
    }

    /// A new connection of our own; whoever only asks on it need not know when it ends.
    pub(super) async fn open(self: &Arc<Self>) -> Result<Db, Fault> {
        Ok(self.open_to_listen().await?.0)
    }

    /// A new connection, and what is heard on it until it ends.
    pub(super) async fn open_to_listen(self: &Arc<Self>) -> Result<(Db, News), Fault> {
        let (sender, news) = mpsc::unbounded_channel();
        let connected = timeout(CONNECT_TIMEOUT, self.start(Some(sender))).await;
        let (client, task) = connected.map_err(|_elapsed| Fault::late(CONNECT_TIMEOUT))??;
        let held = Held::Own(Box::new(ClientWrapper::new(client, task)));
        Ok((Db { held, link: Arc::clone(self), sound: AtomicBool::new(false) }, news))
    }

    #[expect(clippy::disallowed_methods, reason = "ends with its connection, and can't crash the service")]
    async fn start(&self, news: Option<mpsc::UnboundedSender<String>>) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        let (client, mut connection) = self.config.connect(self.tls.clone()).await?;
        let task = tokio::spawn(async move {
            while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
                match message {
                    Ok(AsyncMessage::Notification(heard)) => {
                        let _ = news.as_ref().map(|news| news.send(heard.payload().to_owned()));
                    }
                    Ok(_) => {}
                    Err(error) => return debug!(fault = ?Fault::from(error), "A connection to the database ended"),
                }
            }
        });
        Ok((client, task))
    }
}

/// What the pool makes connections with.
pub(super) struct PoolLink(pub(super) Arc<Link>);

impl Connect for PoolLink {
    fn connect(
        &self,
        _config: &Config,
    ) -> Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + '_>> {
        Box::pin(self.0.start(None))
    }
}

/// A connection in use.
pub(super) struct Db {
    held: Held,
    link: Arc<Link>,
    sound: AtomicBool,
}

enum Held {
    Own(Box<ClientWrapper>),
    /// Only empty while it is dropped.
    Pooled(Option<Box<Object>>),
}

impl Drop for Db {
    /// A connection goes back to its pool only in order: whoever gave up half-way may have left a transaction open, or an answer unread.
    fn drop(&mut self) {
        if let Held::Pooled(object) = &mut self.held
            && !self.sound.load(Ordering::Relaxed)
        {
            drop(object.take().map(|object| Object::take(*object)));
        }
    }
}

impl Db {
    pub(super) fn pooled(object: Object, link: &Arc<Link>) -> Self {
        Self { held: Held::Pooled(Some(Box::new(object))), link: Arc::clone(link), sound: AtomicBool::new(false) }
    }

    /// What was to be done was done: the connection can be used again.
    pub(super) fn settle(&self) {
        self.sound.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client().is_closed()
    }

    fn client(&self) -> &ClientWrapper {
        match &self.held {
            Held::Own(client) => client,
            Held::Pooled(object) => object.as_ref().expect("it is taken out only when dropped"),
        }
    }

    /// Statements without values, as they are; their answers are not read.
    pub(super) async fn simple(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.client().batch_execute(sql).await?)
    }

    /// The rows of one statement.
    pub(super) async fn query(&self, step: &Step<'_>) -> Result<Vec<Row>, Fault> {
        let plan = self.plan(step).await?;
        self.send(step, plan).await
    }

    /// The one row of a statement that always has one.
    pub(super) async fn query_one(&self, step: &Step<'_>) -> Result<Row, Fault> {
        let row = self.query(step).await?.into_iter().next();
        row.ok_or_else(|| Fault::Refused("a row is missing".to_owned()))
    }

    /// Statements one after another, sent without waiting in between; the rows of each. `first` and `last` begin and end a transaction.
    ///
    /// Inside a transaction a statement that fails makes the server skip the rest and undo everything, `COMMIT` included; so `last` can be sent before
    /// anything is known of the statements before it.
    pub(super) async fn pipeline(&self, first: Option<&str>, steps: &[Step<'_>], last: Option<&str>) -> Result<Vec<Vec<Row>>, Fault> {
        self.pipeline_told(first, steps, last).await.map_err(|(_, fault)| fault)
    }

    /// The same; a failure tells which of the steps it was, or none of them.
    pub(super) async fn pipeline_told(
        &self,
        first: Option<&str>,
        steps: &[Step<'_>],
        last: Option<&str>,
    ) -> Result<Vec<Vec<Row>>, (Option<usize>, Fault)> {
        let at = |number| move |fault| (Some(number), fault);
        // Preparing takes an answer, so it must not happen in the middle; all at once, for the server may be far away.
        let plans = try_join_all(steps.iter().enumerate().map(async |(number, step)| self.plan(step).await.map_err(at(number)))).await?;
        // Each future sends when it is first polled, and they are polled in order: `join_all` does up to 30 of them that way.
        let middle = join_all(steps.iter().zip(plans).map(|(step, plan)| self.send(step, plan)));
        let (begun, answers, ended) = join3(self.frame(first), middle, self.frame(last)).await;
        begun.map_err(|fault| (None, fault))?;
        let rows = answers.into_iter().enumerate().map(|(number, answer)| answer.map_err(at(number))).collect::<Result<_, _>>()?;
        ended.map_err(|fault| (None, fault))?;
        Ok(rows)
    }

    async fn frame(&self, sql: Option<&str>) -> Result<(), Fault> {
        match sql {
            Some(sql) => self.simple(sql).await,
            None => Ok(()),
        }
    }

    async fn plan(&self, step: &Step<'_>) -> Result<Option<Statement>, Fault> {
        if !step.kept || self.link.is_pooled() {
            return Ok(None);
        }
        Ok(Some(self.client().prepare_typed_cached(&step.sql, &step.kinds()).await?))
    }

    async fn send(&self, step: &Step<'_>, plan: Option<Statement>) -> Result<Vec<Row>, Fault> {
        let client = self.client();
        if let Some(statement) = plan {
            let values: Vec<&(dyn ToSql + Sync)> = step.values.iter().map(|value| &*value.data as _).collect();
            return Ok(client.query(&statement, &values).await?);
        }
        let values: Vec<_> = step.values.iter().map(|value| (&*value.data as _, value.kind.clone())).collect();
        Ok(client.query_typed(&step.sql, &values).await?)
    }
}
