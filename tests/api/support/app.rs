//! The shipped service in the test's own process: `App::build`, a clock that stands still, a fake Vapi.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ringback::{
    app::{App, StartError},
    call::time::SECOND,
    clock::Clock,
    config::{Config, ConfigError},
    http::{self, Api},
    registry::follow,
    simulate::{CallScript, FakeVapi, Options, Stage, bodies},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub(crate) use super::engine::{Engine, on_every_engine};
use super::{
    answer::{Answer, Seen},
    ask::Ask,
    eventually, postgres, redis,
    vapi::START,
};

/// What Vapi and the service share.
pub(crate) const SECRET: &str = "webhook-secret-0123456789";
/// Vapi's private key.
pub(crate) const KEY: &str = "vapi-private-key-0123456789";
/// How often due work may lead to more due work at the same moment.
const MOST_STEPS: usize = 100;
/// More requests a second than any story makes; only one story is about the limit.
const NO_LIMIT: u32 = 100_000;

/// How long Vapi may take to place a call in a story.
const CREATE_TIMEOUT: Duration = Duration::from_secs(1);

/// A service as it will be started. Without more words: on loopback, with a webhook secret and a key for the fake Vapi, open to this machine.
#[derive(Clone)]
pub(crate) struct Story {
    engine: Engine,
    variables: BTreeMap<String, String>,
    limit: u32,
    /// Calls are placed.
    places: bool,
    /// How long Vapi may take to place one.
    create_timeout: Duration,
    vapi: Options,
}

impl Story {
    pub(crate) fn on(engine: Engine) -> Self {
        let vapi = Options { pace: 0.001, key: KEY.to_owned(), secret: Some(SECRET.into()), ..Options::default() };
        let story = Self { engine, variables: BTreeMap::new(), limit: NO_LIMIT, places: false, create_timeout: CREATE_TIMEOUT, vapi };
        story.with("VAPI_WEBHOOK_SECRET", SECRET).with("VAPI_API_KEY", KEY)
    }

    pub(crate) fn new() -> Self {
        Self::on(Engine::Memory)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// Vapi is asked as often as in life.
    pub(crate) fn limited(self) -> Self {
        Self { limit: 5, ..self }
    }

    /// Calls are placed, and Vapi has a second for its answer.
    pub(crate) fn placing(self) -> Self {
        Self { places: true, ..self }
    }

    /// Vapi has as long for a placing as in life, which a busy machine may need for many at once.
    pub(crate) fn patient(self) -> Self {
        Self { create_timeout: Duration::from_secs(30), ..self }
    }

    /// The fake Vapi behaves so.
    pub(crate) fn with_vapi(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.vapi);
        self
    }

    /// The service, and the fake Vapi beside it.
    pub(crate) async fn begin(mut self) -> TestApp {
        let clock = Clock::manual(START);
        let options = Options { clock: clock.clone(), ..self.vapi.clone() };
        let vapi = FakeVapi::start(options).await.expect("a free port");
        let folder = TempDir::new().expect("a folder");
        let url = match self.engine {
            Engine::Memory => "memory:".to_owned(),
            Engine::Sqlite => format!("sqlite:{}", folder.path().join("ringback.db").display()),
            Engine::Postgres => postgres::database().await.expect("PostgreSQL is to be tested").url(),
            Engine::Redis => redis::database().expect("Redis is to be tested").url(),
        };
        self.variables.entry("DATABASE_URL".to_owned()).or_insert(url);
        self.variables.entry("VAPI_API_URL".to_owned()).or_insert_with(|| vapi.url().to_owned());
        let app = built(&self, &clock).await.expect("it starts");
        TestApp { story: self, app, clock, vapi, folder, seen: Mutex::default(), guard: Unfinished }
    }

    fn config(&self) -> Result<Config, ConfigError> {
        let mut config = Config::from_env(|name| self.variables.get(name).cloned())?;
        config.vapi.requests_per_second = self.limit;
        config.vapi.create_timeout = self.create_timeout;
        Ok(config)
    }
}

async fn built(story: &Story, clock: &Clock) -> Result<App, StartError> {
    let app = App::build(story.config().expect("a configuration"), clock.clone()).await?;
    let (registry, lifecycle) = (app.api().registry.clone(), app.lifecycle().clone());
    lifecycle.spawn("follow", follow(registry, lifecycle.clone()));
    Ok(app)
}

/// A running service. Every story ends it with [`TestApp::finish`].
pub(crate) struct TestApp {
    story: Story,
    app: App,
    clock: Clock,
    pub(crate) vapi: FakeVapi,
    folder: TempDir,
    seen: Mutex<Seen>,
    guard: Unfinished,
}

struct Unfinished;

impl Drop for Unfinished {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a story ends with finish()");
    }
}

impl TestApp {
    /// What the service is made of.
    pub(crate) fn api(&self) -> &Api {
        self.app.api()
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// What was seen of the calls so far.
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request from this machine.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        Ask::new(self, method, path)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).send().await
    }

    /// The status of `/readyz`, past the moment for which it remembers what it saw. Its word fits.
    pub(crate) async fn ready(&self) -> u16 {
        tokio::time::sleep(Duration::from_millis(550)).await;
        let answer = self.get("/readyz").await;
        assert_eq!(answer.json()["status"], if answer.status == 200 { "ok" } else { "unavailable" });
        answer.status
    }

    /// `GET /calls/{id}`.
    pub(crate) async fn poll(&self, id: &str) -> Answer {
        self.get(&format!("/api/v1/vapi/calls/{id}")).await
    }

    /// The call as `/result` shows it now, done or not.
    pub(crate) async fn call(&self, id: &str) -> Value {
        let answer = self.get(&format!("/api/v1/vapi/calls/{id}/result")).await;
        assert!(matches!(answer.status, 200 | 202), "{}", answer.text());
        answer.json()["data"].take()
    }

    /// Posts a webhook with the secret as its proof.
    pub(crate) async fn post_webhook(&self, body: &Value) -> Answer {
        self.ask("POST", "/api/v1/vapi/webhook").header("x-vapi-secret", SECRET).body(body.to_string()).send().await
    }

    /// A webhook comes in and is taken.
    pub(crate) async fn hears(&self, body: &Value) -> Value {
        let answer = self.post_webhook(body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// The end-of-call report of this script comes in.
    pub(crate) async fn hears_report(&self, script: &CallScript) {
        self.hears(&bodies::end_of_call_report(script, self.clock.now())).await;
    }

    /// A status-update of this script comes in.
    pub(crate) async fn hears_status(&self, script: &CallScript, stage: Stage) {
        self.hears(&bodies::status_update(script, stage, self.clock.now())).await;
    }

    /// From now on Vapi's REST tells the call so, as changed last at this moment.
    pub(crate) fn vapi_knows(&self, script: &CallScript, stage: Stage) {
        self.vapi.put_call(bodies::rest_call(script, stage, self.clock.now()));
    }

    /// How often Vapi was asked for the call.
    pub(crate) fn fetches(&self, id: &str) -> usize {
        self.vapi.count("GET", &format!("/call/{id}"))
    }

    /// When Vapi was asked for the call, in seconds since the story began.
    pub(crate) fn fetch_times(&self, id: &str) -> Vec<f64> {
        let path = format!("/call/{id}");
        let asked = self.vapi.requests().into_iter().filter(|request| request.path == path);
        asked.map(|request| seconds(request.at.since(START))).collect()
    }

    /// Time goes by at once; then what has fallen due is done.
    pub(crate) async fn advance(&self, seconds: f64) {
        self.clock.advance(milliseconds(seconds));
        self.work().await;
    }

    /// Does what is due now.
    pub(crate) async fn work(&self) {
        for _ in 0..MOST_STEPS {
            let fetched = self.api().enricher.step().await.expect("the store answers");
            let looked = Box::pin(self.api().dialer.step()).await.expect("the store answers");
            if fetched + looked == 0 {
                return;
            }
        }
        panic!("there is always something due");
    }

    /// Time goes by second by second, as in life.
    pub(crate) async fn live_through(&self, seconds: u32) {
        for _ in 0..seconds {
            self.advance(1.0).await;
        }
    }

    /// The store is gone for good.
    pub(crate) async fn lose_store(&self) {
        self.api().registry.store().close().await.expect("it closes");
    }

    /// Serves on a port of this machine, to which Vapi's webhooks go from now on. Returns its address.
    pub(crate) async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let lifecycle = self.app.lifecycle().clone();
        lifecycle.spawn("http", http::server::serve(listener, self.app.router(), lifecycle.clone()));
        self.vapi.deliver_to(&format!("{url}/api/v1/vapi/webhook"));
        url
    }

    /// Stops the service, runs it anew as `ringback serve` does while `meanwhile` is done at its address, and stops it in order.
    pub(crate) async fn run(self, meanwhile: impl AsyncFnOnce(String)) -> Self {
        self.run_with(async |url, _api| meanwhile(url).await).await
    }

    /// The same, done to what that service is made of.
    pub(crate) async fn run_with(self, meanwhile: impl AsyncFnOnce(String, Api)) -> Self {
        self.app.lifecycle().abort();
        self.lose_store().await;
        let app = built(&self.story, &self.clock).await.expect("it starts again");
        let lifecycle = app.lifecycle().clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let api = app.api().clone();
        let acting = async {
            meanwhile(url, api).await;
            lifecycle.stop();
        };
        let (code, ()) = tokio::join!(app.run(listener), acting);
        assert_eq!(code, 0, "it stops in order");
        let app = built(&self.story, &self.clock).await.expect("it starts once more");
        Self { app, ..self }
    }

    /// Another instance of the same service: the same store, clock and Vapi.
    pub(crate) async fn beside(&self) -> Self {
        self.beside_with(|story| story).await
    }

    /// The same, with other settings.
    pub(crate) async fn beside_with(&self, change: impl FnOnce(Story) -> Story) -> Self {
        let (story, clock) = (change(self.story.clone()), self.clock.clone());
        let app = built(&story, &clock).await.expect("it starts");
        let vapi = FakeVapi::start(story.vapi.clone()).await.expect("a free port");
        let folder = TempDir::new().expect("a folder");
        Self { story, app, clock, vapi, folder, seen: Mutex::default(), guard: Unfinished }
    }

    /// Stops the service and starts it anew, on the same file, with the same Vapi.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|story| story).await
    }

    /// The same, with other settings.
    pub(crate) async fn restart_with(self, change: impl FnOnce(Story) -> Story) -> Self {
        self.app.lifecycle().abort();
        self.lose_store().await;
        let Self { story, app, clock, vapi, folder, seen, guard } = self;
        drop(app);
        let story = change(story);
        let app = built(&story, &clock).await.expect("it starts again");
        Self { story, app, clock, vapi, folder, seen, guard }
    }

    /// The end of every story: nobody waits any more, nothing is left to do at this moment, and Vapi was asked for nothing but calls.
    pub(crate) async fn finish(self) {
        tokio::task::yield_now().await;
        let waiters = self.api().registry.waiters();
        assert_eq!((waiters.count(), waiters.calls()), (0, 0), "waiters are left over");
        if let Ok(left) = self.api().enricher.step().await {
            assert_eq!(left, 0, "work is left over");
        }
        for request in self.vapi.requests() {
            let expected = match request.method.as_str() {
                "GET" => request.path == "/call" || request.path.starts_with("/call/") || request.path.starts_with("/hipaa-recordings/"),
                "POST" => self.story.places && (request.path == "/call" || request.path.starts_with("/control/")),
                "DELETE" | "PATCH" => self.story.places && request.path.starts_with("/call/"),
                _ => false,
            };
            assert!(expected, "nobody expected {request:?}");
        }
        self.app.lifecycle().abort();
        // Clients that are still there hear the end of their streams.
        eventually("whoever listened has left", async || self.api().registry.streams().count() == 0).await;
        let Self { guard, .. } = self;
        std::mem::forget(guard);
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a story")]
fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / SECOND as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "seconds of a story")]
fn milliseconds(seconds: f64) -> i64 {
    (seconds * SECOND as f64).round() as i64
}
