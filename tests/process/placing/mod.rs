//! Calls are placed by the real program at a simulated Vapi, over a bad road, while the service is killed again and again.

mod called_off;
mod killed;
mod many;

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use ringback::call::time::Millis;
use serde_json::{Value, json};

use crate::support::{
    SECRET,
    home::Home,
    program::{Program, Running},
    road::{Road, Weather},
    service::Service,
    soon,
    wire::{Answer, Wire},
};

const CALLS: &str = "/api/v1/vapi/calls";
/// The fake Vapi's list shows a call two seconds after it was made.
const LISTED_WITHIN: Duration = Duration::from_secs(3);
/// A client that got no certain answer sends again after this time.
const PAUSE: Duration = Duration::from_millis(200);

/// A service that can be started again and again at one address, and the Vapi it asks by way of a road.
struct House {
    home: Home,
    vapi: SocketAddr,
    port: u16,
    road: Road,
    _simulating: Running,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

impl House {
    /// `words`: how `simulate` behaves. `there`, `back`: the weather on the road to it.
    fn new(words: &str, there: Weather, back: Weather) -> Self {
        let (home, vapi, port) = (Home::new(), free_port(), free_port());
        // What is placed without a server of its own is told to nobody.
        let words = format!("simulate --port {vapi} --secret {SECRET} --webhook-url http://127.0.0.1:9/hook {words}");
        let simulating = Program::in_home(&home).with(words.split(' ')).begin();
        let vapi = SocketAddr::from(([127, 0, 0, 1], vapi));
        assert!(soon(Duration::from_secs(20), || std::net::TcpStream::connect(vapi).is_ok()), "simulate does not start");
        Self { road: Road::through(vapi.port(), there, back), home, vapi, port, _simulating: simulating }
    }

    fn program(&self) -> Program {
        Program::guarded(&self.home)
            .set("PORT", self.port.to_string())
            .set("VAPI_API_URL", format!("http://127.0.0.1:{}", self.road.port()))
            .set("VAPI_API_KEY", "sim-key")
            .set("DIAL_MAX_PER_MINUTE", "100000")
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// All the calls that Vapi has, by the keys under which they were asked for; those too that its list is late with.
    fn all_vapis_calls(&self) -> BTreeMap<String, Vec<Value>> {
        thread::sleep(LISTED_WITHIN);
        self.vapis_calls()
    }

    /// All the calls that Vapi has, by the keys under which they were asked for.
    fn vapis_calls(&self) -> BTreeMap<String, Vec<Value>> {
        let path = "/call?limit=1000";
        let answer = Wire::to(self.vapi).and_then(|mut wire| wire.ask("GET", path, &[("authorization", "Bearer sim-key")], b""));
        let Value::Array(calls) = answer.expect("Vapi answers").json() else { panic!("that is no list") };
        let mut by_key = BTreeMap::<String, Vec<Value>>::new();
        for call in calls {
            let key = call["assistant"]["metadata"]["serviceRequestId"].as_str().expect("a key").to_owned();
            by_key.entry(key).or_default().push(call);
        }
        by_key
    }
}

/// Asks for the call of this key, once.
fn ask(address: SocketAddr, key: &str) -> std::io::Result<Answer> {
    let request = json!({"providerName": "Hill Plumbing", "providerPhone": "+15551234567", "serviceNeeded": "a leaking tap",
        "serviceRequestId": key});
    Wire::to(address)?.ask("POST", CALLS, &[("idempotency-key", key)], request.to_string().as_bytes())
}

/// What a client was told about the call of its key: its id, or that of the placing while nobody knew.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Call(String),
    Open(String),
    Nothing,
}

impl Told {
    /// What an answer tells; a placing is refused by nothing but a busy Vapi or a stopping service.
    fn by(answer: std::io::Result<Answer>) -> Self {
        let Ok(answer) = answer else { return Self::Nothing };
        let body = answer.json();
        let id = || body["callId"].as_str().expect("it names something").to_owned();
        match answer.status {
            201 => Self::Call(id()),
            202 => Self::Open(id()),
            429 | 502 | 503 => Self::Nothing,
            status => panic!("{status}: {body}"),
        }
    }
}

/// A client that sends again, as SDKs do, until it knows its call or `until` passes. All that it was told, in order.
fn insist(address: SocketAddr, key: &str, until: Instant) -> Vec<Told> {
    let mut told = Vec::new();
    loop {
        told.push(Told::by(ask(address, key)));
        if matches!(told.last(), Some(Told::Call(_))) || Instant::now() >= until {
            return told;
        }
        thread::sleep(PAUSE);
    }
}

/// All keys at once, each by a client of its own.
fn insist_on_all(address: SocketAddr, keys: &[String], until: Instant) -> BTreeMap<String, Vec<Told>> {
    thread::scope(|scope| {
        let clients: Vec<_> = keys.iter().map(|key| (key, scope.spawn(move || insist(address, key, until)))).collect();
        clients.into_iter().map(|(key, client)| (key.clone(), client.join().expect("no panic"))).collect()
    })
}

/// What everybody was told fits what Vapi has: of each key there is at most one call, whoever was told of a call was told of that one, and who
/// knows of none to the end has none. Returns the calls.
fn fits_together(service: &Service, told: &BTreeMap<String, Vec<Told>>, mut vapis: BTreeMap<String, Vec<Value>>) -> Vec<Value> {
    let mut all = Vec::new();
    for (key, told) in told {
        let mut calls = vapis.remove(key).unwrap_or_default();
        assert!(calls.len() <= 1, "{key} was placed {} times: {told:?}", calls.len());
        let call = calls.pop();
        let id = call.as_ref().map(|call| call["id"].as_str().expect("an id").to_owned());
        assert!(id.is_none() || told.last() == id.clone().map(Told::Call).as_ref(), "{key}: Vapi has {id:?}, but {told:?}");
        for one in told {
            match one {
                Told::Call(named) => assert_eq!(Some(named), id.as_ref(), "{key}: {told:?}"),
                Told::Open(placement) => {
                    let now = service.read(&format!("{CALLS}/{placement}/result")).json()["callId"].clone();
                    let expected = id.as_ref().unwrap_or(placement);
                    assert_eq!(now, **expected, "{key}: {told:?}");
                }
                Told::Nothing => {}
            }
        }
        all.extend(call);
    }
    assert!(vapis.is_empty(), "nobody asked for {:?}", vapis.keys());
    all
}

/// The moment in this field.
fn moment(value: &Value) -> Millis {
    value.as_str().and_then(Millis::parse_rfc3339).unwrap_or_else(|| panic!("{value} is no moment"))
}
