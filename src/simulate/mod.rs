//! A stateful fake Vapi on a loopback port: its REST interface, and the webhooks of the calls it plays.
//!
//! The same code serves `ringback simulate`, the tests and the benches. It runs as tasks of the runtime that started it, and stops
//! when its handle is dropped. It imitates what real captures show: a webhook's call is a stale snapshot, links are signed
//! afresh for each delivery, a report comes seconds after the end, nothing is sent twice unless the call's server has a `backoffPlan`.
//!
//! | Module | What it holds |
//! |---|---|
//! | [`script`] | what happens in one call, and when |
//! | [`bodies`] | the JSON that Vapi makes of a script: webhooks, REST objects |
//! | [`scenario`] | the stories that can be played |
//! | [`sign`] | the proofs a webhook carries |
//! | `settings` | assistants, phone numbers, the organisation |
//! | [`fault`] | what can go wrong on purpose when Vapi is asked |
//!
//! A call's time is that of the clock when it was placed, plus what its script says at the chosen pace; nothing in a body comes from anywhere else.

pub mod bodies;
mod chance;
mod deliver;
pub mod fault;
mod listing;
mod play;
mod rest;
pub mod scenario;
pub mod script;
mod settings;
pub mod sign;
mod world;

use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};

use secrecy::SecretString;
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc::UnboundedSender};
use tokio_util::sync::DropGuard;
use uuid::Uuid;

use crate::{clock::Clock, vapi::client};
use chance::Chance;
use deliver::{Post, Target};
use script::as_map;
use world::{Kept, World};

pub use bodies::Stage;
pub use fault::Fault;
pub use scenario::Scenario;
pub use script::CallScript;
pub use sign::Auth;
pub use world::{Delivery, Progress, Request};

/// The key of the fake Vapi unless another is set.
pub const KEY: &str = "sim-key";

/// Puts `things` into any order, another one each time.
pub fn shuffle<T>(things: &mut [T]) {
    Chance::new(Uuid::new_v4().as_u64_pair().0).shuffle(things);
}

/// How the fake Vapi behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The port on 127.0.0.1; 0 picks one.
    pub port: u16,
    /// The key that REST asks for.
    pub key: String,
    /// Where webhooks go when the call has no server of its own; `None`: nowhere.
    pub webhook_url: Option<String>,
    /// How webhooks are signed.
    pub auth: Auth,
    /// The secret they are signed with; without one they carry no proof.
    pub secret: Option<SecretString>,
    /// What calls are like.
    pub scenario: Scenario,
    /// The probability of each webhook to be sent twice, 0 to 1.
    pub duplicate: f64,
    /// Webhooks of a call go out in any order.
    pub shuffle: bool,
    /// The report of every so many calls is not sent; 1: none is sent, 0: all are.
    pub drop_report: u64,
    /// The report has no analysis; REST has it 5 s after the end.
    pub late_analysis: bool,
    /// How long before a new call is in the list; asked for by its id it is there at once.
    pub list_after: Duration,
    /// How long calls take: 1 as in life, 0.01 a hundred times faster.
    pub pace: f64,
    /// The same seed makes the same run.
    pub seed: u64,
    /// What time it is.
    pub clock: Clock,
    /// Who is told what happens.
    pub progress: Option<UnboundedSender<Progress>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            key: KEY.to_owned(),
            webhook_url: None,
            auth: Auth::Secret,
            secret: None,
            scenario: Scenario::Talk,
            duplicate: 0.0,
            shuffle: false,
            drop_report: 0,
            late_analysis: false,
            list_after: Duration::ZERO,
            pace: 1.0,
            seed: 0,
            clock: Clock::System,
            progress: None,
        }
    }
}

/// A running fake Vapi; stops when dropped.
#[derive(Debug)]
pub struct FakeVapi {
    world: Arc<World>,
    _stop: DropGuard,
}

impl FakeVapi {
    /// Opens the port and serves, as a task of the caller's runtime.
    ///
    /// # Errors
    /// When the port is taken, or TLS cannot be set up.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let http = client::plain_http().map_err(io::Error::other)?;
        let world = Arc::new(World::new(options, url, http));
        let serving = axum::serve(listener, rest::router(Arc::clone(&world))).with_graceful_shutdown(world.stop.clone().cancelled_owned());
        world.tasks.spawn(serving.into_future());
        let stop = world.stop.clone().drop_guard();
        Ok(Self { world, _stop: stop })
    }

    /// Its address, for `VAPI_API_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.world.url
    }

    /// The key that REST asks for, for `VAPI_API_KEY`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.world.options.key
    }

    /// From now on webhooks of calls without a server of their own go to `url`.
    pub fn deliver_to(&self, url: &str) {
        *self.world.webhook_url() = Some(url.to_owned());
    }

    /// Places a call as `POST /call` does with this request, and begins to play it; with an empty one, a call of a saved assistant.
    /// Returns its id.
    #[expect(clippy::must_use_candidate, reason = "placing is done for its effect")]
    pub fn place(&self, request: Value) -> String {
        play::place(&self.world, as_map(request)).id
    }

    /// Returns when every call placed so far has been played to its end.
    pub async fn played(&self) {
        // The sender lives as long as `self`.
        let _ = self.world.playing.subscribe().wait_for(|playing| *playing == 0).await;
    }

    /// Signs a webhook's body and posts it once, where calls without a server of their own go.
    pub async fn send(&self, body: &Value) -> Delivery {
        let call_id = body["message"]["call"]["id"].as_str().unwrap_or_default().to_owned();
        let kind = play::kind_of(body);
        let post = Post {
            call_id: call_id.clone(),
            message_id: self.world.chance().message_id(),
            kind: kind.clone(),
            body: body.to_string().into_bytes(),
        };
        let target = Target::of(&serde_json::Map::new(), self.world.webhook_url().as_deref());
        match target {
            Some(target) => self.world.deliver(&target, post).await,
            None => Delivery { call_id, kind, attempt: 0, status: None, answer: "no webhook address".to_owned() },
        }
    }

    /// From now on REST answers with this call, as it stands. Its id is `call.id`.
    pub fn put_call(&self, call: Value) {
        let id = call["id"].as_str().unwrap_or_default().to_owned();
        self.world.calls().insert(id, Kept::Put(call));
    }

    /// From now on REST knows no such call; one that is being played goes on.
    pub fn remove_call(&self, id: &str) {
        self.world.calls().remove(id);
    }

    /// The call as REST tells it now.
    #[must_use]
    pub fn call(&self, id: &str) -> Option<Value> {
        self.world.rest_call(id)
    }

    /// The ids of all calls, in the order of their ids.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.world.calls().keys().cloned().collect()
    }

    /// Spoils its settings: the only assistant, the only phone number, the organisation.
    pub fn spoil_settings(&self, spoil: impl FnOnce(&mut Value, &mut Value, &mut Value)) {
        let mut settings = self.world.settings();
        let (mut org, settings) = (settings.org.take().unwrap_or_default(), &mut *settings);
        spoil(&mut settings.assistants[0], &mut settings.phone_numbers[0], &mut org);
        settings.org = Some(org).filter(|org| !org.is_null());
    }

    /// The next answer of REST fails so. Faults queue up.
    pub fn fail_next(&self, fault: Fault) {
        self.world.faults().next(fault);
    }

    /// The next answer about this call fails so. Faults queue up, and come before those of [`Self::fail_next`].
    pub fn fail_next_of(&self, id: &str, fault: Fault) {
        self.world.faults().next_of(id, fault);
    }

    /// Every answer of REST for which no other fault is due fails so, until [`Self::recover`].
    pub fn fail_always(&self, fault: Fault) {
        self.world.faults().last(Some(fault));
    }

    /// Nothing fails any more.
    pub fn recover(&self) {
        self.world.faults().clear();
    }

    /// Every request taken, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.world.requests().clone()
    }

    /// How many requests were taken with this method and path.
    #[must_use]
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.world.requests().iter().filter(|request| request.method == method && request.path == path).count()
    }

    /// Every webhook sent, in order.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.world.deliveries().clone()
    }
}
