//! The service is killed at any moment of placing: before the placing is committed, before Vapi is asked, before it answers, before that is noted.
//!
//! No webhook comes, so what was on its way is found in Vapi's list, or nowhere. `PLACING_ROUNDS` says how often the service is killed (20).

use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};

use super::{House, Told, ask, fits_together, insist_on_all};
use crate::support::{random_below, road::Weather};

/// Kills in the ordinary suite.
const ROUNDS: u32 = 20;
/// Calls that are asked for at once in each round.
const AT_ONCE: usize = 4;
/// The kill comes at most this long after the calls were asked for, in milliseconds.
const LATEST_KILL: u64 = 500;
/// A request and its answer take a while each: most kills come in between.
const SLOW: Weather = Weather { delays: 1, longest: 150, cuts: 0, stalls: 0 };
/// What a killed process was sending is looked for after a minute, once or twice.
const FOUND_WITHIN: Duration = Duration::from_secs(70);

#[expect(clippy::disallowed_methods, reason = "a setting of this test, not of the program")]
fn rounds() -> u32 {
    std::env::var("PLACING_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("PLACING_ROUNDS is a number"))
}

#[test]
fn whenever_the_service_is_killed_each_placing_comes_to_one_call_or_to_none_and_everybody_is_told_the_same() {
    let house = House::new("--pace 0.01 --list-after 2", SLOW, SLOW);
    let mut told = BTreeMap::<String, Vec<Told>>::new();
    for round in 0..rounds() {
        let service = house.program().serve();
        let address = house.address();
        thread::scope(|scope| {
            let clients: Vec<_> = (0..AT_ONCE)
                .map(|number| format!("{round}-{number}"))
                .map(|key| scope.spawn(move || (Told::by(ask(address, &key)), key)))
                .collect();
            thread::sleep(Duration::from_millis(random_below(LATEST_KILL)));
            service.kill();
            for client in clients {
                let (answer, key) = client.join().expect("no panic");
                told.insert(key, vec![answer]);
            }
        });
    }
    let before = house.vapis_calls();
    let service = house.program().serve();
    let keys: Vec<String> = told.keys().cloned().collect();
    for (key, more) in insist_on_all(house.address(), &keys, Instant::now() + FOUND_WITHIN) {
        told.entry(key).or_default().extend(more);
    }
    let calls = fits_together(&service, &told, house.all_vapis_calls());
    let found = told.iter().filter(|(key, told)| told[0] == Told::Nothing && before.contains_key(*key)).count();
    let nowhere = told.values().filter(|told| matches!(told.last(), Some(Told::Open(_)))).count();
    eprintln!("{} calls; {found} were made without an answer and found, {nowhere} were written down and never made", calls.len());
    assert!(found >= 3, "hardly a kill came between the placing and its answer");
    assert_eq!(calls.len() + nowhere, told.len(), "whoever insists has a call, or an open placing");
    service.stop();
}
