//! Many calls at once over a bad road: each is placed once.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use ringback::simulate::Fault;

use super::{asking, id, request};
use crate::support::app::{Engine, Story, TestApp, on_every_engine};

on_every_engine! {
    of_two_hundred_calls_over_a_bad_road_each_is_placed_once
}

const CALLS: usize = 200;
/// How often a client sends a request that failed or was not answered for certain.
const TRIES: usize = 6;
/// Seconds after which everything is found that was lost, however often the list could not be read before.
const LOST: u32 = 120;

/// A client that sends again, as SDKs do, with the same key.
async fn insisting(app: &TestApp, key: usize) -> Option<String> {
    for _ in 0..TRIES {
        let answer = asking(app, &request()).header("idempotency-key", &format!("key-{key}")).send().await;
        if answer.status == 201 {
            return Some(id(&answer));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}

async fn of_two_hundred_calls_over_a_bad_road_each_is_placed_once(engine: Engine) {
    let app = Story::on(engine).placing().patient().with("DIAL_MAX_PER_MINUTE", "10000").begin().await;
    for number in 0..CALLS {
        app.vapi.fail_next(match number % 5 {
            0 => Fault::Page(502),
            1 => Fault::Cut,
            2 => Fault::Status(500),
            3 => Fault::RateLimited("1".to_owned()),
            _ => Fault::Slow(Duration::from_millis(5)),
        });
    }
    // A client that was slow has left faults behind, which the list would meet.
    app.vapi.recover();
    let mut ends = join_all((0..CALLS).map(|key| insisting(&app, key))).await;
    for _ in (0..LOST).step_by(5) {
        if ends.iter().all(Option::is_some) {
            break;
        }
        app.live_through(5).await;
        ends = join_all((0..CALLS).map(|key| insisting(&app, key))).await;
    }
    let named: BTreeSet<String> = ends.into_iter().map(|end| end.expect("there is a call by now")).collect();
    let made: BTreeSet<String> = app.vapi.calls().into_iter().collect();
    assert_eq!(made.len(), CALLS, "as many calls as keys");
    assert_eq!(named, made, "and each key has its own");
    app.advance(61.0).await;
    app.finish().await;
}
