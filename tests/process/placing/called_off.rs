//! The service is killed at any moment of calling a call off: before Vapi is asked, before it answers, before that is noted.
//!
//! Nothing of it is remembered, and nothing has to be: whoever got no answer asks again, and is told what Vapi says.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use super::{CALLS, House, PAUSE, ask};
use crate::support::{
    road::Weather,
    soon,
    wire::{Answer, Wire},
};

/// Kills; each one comes a while later after the request than the one before.
const ROUNDS: u64 = 16;
const LATER: Duration = Duration::from_millis(3);
/// After a kill a placing may be looked for, for a minute.
const PATIENCE: Duration = Duration::from_secs(70);
const FAIR: Weather = Weather { delays: 0, longest: 0, cuts: 0, stalls: 0 };

fn call_off(address: SocketAddr, id: &str) -> std::io::Result<Answer> {
    Wire::to(address)?.ask("POST", &format!("{CALLS}/{id}/cancel"), &[], b"")
}

/// Asks until Vapi was told, or says that the call has ended; the status.
fn insist(address: SocketAddr, id: &str) -> u16 {
    let begun = Instant::now();
    loop {
        let answer = call_off(address, id).map(|answer| (answer.status, answer.json()));
        match answer {
            Ok((status @ (202 | 409), _)) => return status,
            other => assert!(begun.elapsed() < PATIENCE, "{id}: {other:?}"),
        }
        thread::sleep(PAUSE);
    }
}

#[test]
fn whenever_the_service_is_killed_while_a_call_is_called_off_asking_again_ends_it_and_places_nothing() {
    let house = House::new("--pace 1 --scenario talk", FAIR, FAIR);
    // Addresses for hanging up are taken from Vapi itself only.
    let program = house.program().set("VAPI_API_URL", format!("http://{}", house.vapi));
    let mut service = program.serve();
    let (mut unanswered, mut heard) = (0, Vec::new());
    for (round, wait) in (0..ROUNDS).zip((0_u32..).map(|round| LATER * round)) {
        let placed = ask(house.address(), &format!("off-{round}")).expect("it answers");
        assert_eq!(placed.status, 201, "{}", placed.json());
        let body = placed.json();
        let name = if round % 2 == 0 { &body["callId"] } else { &body["data"]["metadata"]["placementId"] };
        let name = name.as_str().expect("an id").to_owned();
        let first = thread::scope(|scope| {
            let asking = scope.spawn(|| call_off(house.address(), &name));
            thread::sleep(wait);
            service.kill();
            asking.join().expect("no panic").map(|answer| answer.status)
        });
        service = program.serve();
        let again = insist(house.address(), &name);
        match first {
            Ok(202) => assert_eq!(again, 409, "{name}: it was hung up before"),
            Ok(status) => panic!("{name}: {status}"),
            Err(_) => unanswered += 1,
        }
        heard.push(body["callId"].as_str().expect("an id").to_owned());
    }
    for call in &heard {
        let is_told = || {
            let data = service.read(&format!("{CALLS}/{call}/result")).json()["data"].take();
            (&data["endedReason"], &data["outcome"]["kind"]) == (&"manually-canceled".into(), &"canceled".into())
        };
        assert!(soon(PATIENCE, is_told), "{}", service.read(&format!("{CALLS}/{call}/result")).json());
    }
    let vapis = house.vapis_calls();
    assert_eq!(vapis.len(), heard.len());
    for calls in vapis.values() {
        let [call] = &calls[..] else { panic!("it was placed {} times", calls.len()) };
        assert_eq!((&call["status"], &call["endedReason"]), (&"ended".into(), &"manually-canceled".into()), "{call}");
    }
    eprintln!("{} calls were called off; {unanswered} times a kill came before the answer", heard.len());
    assert!(unanswered > 0, "no kill came in time");
    service.stop();
}
