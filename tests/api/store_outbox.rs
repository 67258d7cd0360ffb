//! The outbox keeps its promises on every engine.

#![expect(clippy::unwrap_used, reason = "a story stops where it goes wrong")]

use futures_util::future::{join, join_all};
use ringback::{
    call::time::Millis,
    store::{
        Attempt, Delivery, DeliveryFilter, DeliveryLease, DeliveryMark, DeliveryState, FanOut, Fate, GiveUp, OutgoingEvent, Redelivery,
        Retention, Store, StoredTarget,
    },
};

use crate::{
    store_contract::on_every_engine,
    store_support::{at, call_id, columns, put, stored},
};

on_every_engine! {
    targets_are_kept_as_they_are_and_change_by_compare_and_set
    changes_of_subscriptions_are_counted_and_those_of_callbacks_are_not
    fanning_out_happens_once_for_each_position
    what_is_there_already_or_has_nobody_to_go_to_is_left_out
    a_waiting_update_is_replaced_by_newer_news_unless_it_is_held
    the_latest_twenty_tries_are_kept
    deliveries_are_listed_newest_first_by_page
    settled_deliveries_are_forgotten_oldest_first
    what_waits_too_long_is_given_up_and_says_why
    an_erased_call_leaves_nothing_but_that_it_was
    a_purged_call_leaves_nothing
    a_dropped_target_leaves_nothing
    health_tells_what_is_pending_and_what_is_dead
}

pub(crate) fn target(id: &str, scope: Option<&str>, revision: u64) -> StoredTarget {
    StoredTarget { id: id.to_owned(), scope: scope.map(str::to_owned), revision, body: format!("body of {id} {revision}").into_bytes() }
}

/// Subscriptions, and calls that there may be news of.
pub(crate) async fn prepare(store: &Store, targets: &[&str], calls: &[&str]) {
    for id in targets {
        assert!(store.put_target(target(id, None, 1), None).await.unwrap());
    }
    for id in calls {
        put(store, &stored(id), columns()).await;
    }
}

pub(crate) fn event(id: &str, kind: &str, call: &str) -> OutgoingEvent {
    let call_id = (!call.is_empty()).then(|| call_id(call));
    let (sequence, about) = (call_id.as_ref().map(|_| 7), Some("a 'tool' \u{1f4de}".to_owned()));
    OutgoingEvent { id: id.to_owned(), kind: kind.to_owned(), call_id, sequence, at: at(-3), about }
}

/// A delivery to be made: whom to, the event's id, its call.
pub(crate) fn ended(target: &str, id: &str, call: &str) -> (String, OutgoingEvent) {
    (target.to_owned(), event(id, "call.ended", call))
}

/// The next step of fanning out, at a moment.
pub(crate) async fn fan_out_at(store: &Store, when: Millis, deliveries: Vec<(String, OutgoingEvent)>) {
    let state = store.outbox().await.unwrap();
    let step = FanOut { generation: state.generation, from: state.fanned, until: state.fanned + 1, at: when, deliveries };
    assert!(store.fan_out(step).await.unwrap());
}

pub(crate) async fn fan_out(store: &Store, deliveries: Vec<(String, OutgoingEvent)>) {
    fan_out_at(store, at(0), deliveries).await;
}

pub(crate) fn asking(now: i64, until: i64) -> DeliveryLease {
    DeliveryLease { now: at(now), until: at(until), limit: 100, per_target: 100, except: Vec::new() }
}

pub(crate) fn names(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| format!("{}:{}", delivery.target, delivery.event.id)).collect()
}

/// Leases whatever is ready; tells what, and when there is more.
pub(crate) async fn lease(store: &Store, now: i64, until: i64) -> (Vec<String>, Option<Millis>) {
    let leased = store.lease_deliveries(asking(now, until)).await.unwrap();
    (names(&leased.deliveries), leased.next)
}

pub(crate) fn tried(now: i64, error: Option<&str>) -> Attempt {
    Attempt { at: at(now), took_ms: 5, status: error.is_none().then_some(200), error: error.map(str::to_owned) }
}

pub(crate) fn marked(name: &str, lease: i64, now: i64, fate: Fate) -> DeliveryMark {
    let (target, event_id) = name.split_once(':').unwrap();
    let error = (fate != Fate::Delivered).then_some("it did not work");
    let (target, event_id) = (target.to_owned(), event_id.to_owned());
    DeliveryMark { target, event_id, lease: at(lease), at: at(now), fate, attempt: Some(tried(now, error)) }
}

pub(crate) async fn mark(store: &Store, name: &str, lease: i64, now: i64, fate: Fate) -> bool {
    store.mark_deliveries(vec![marked(name, lease, now, fate)]).await.unwrap() == [true]
}

pub(crate) async fn all(store: &Store) -> Vec<Delivery> {
    let mut all = store.deliveries(DeliveryFilter { limit: 1_000, ..DeliveryFilter::default() }).await.unwrap().deliveries;
    all.reverse();
    all
}

async fn targets_are_kept_as_they_are_and_change_by_compare_and_set(store: Store) {
    assert_eq!(store.targets(None).await.unwrap().targets, []);
    let (b, a, callback) = (target("b", None, 1), target("a", None, 1), target("c", Some("call-1"), 1));
    for target in [&b, &a, &callback] {
        assert!(store.put_target(target.clone(), None).await.unwrap());
        assert!(!store.put_target(target.clone(), None).await.unwrap(), "it is there");
    }
    assert_eq!(store.targets(None).await.unwrap().targets, [a.clone(), b.clone()]);
    assert_eq!(store.targets(Some("call-1")).await.unwrap().targets, std::slice::from_ref(&callback));
    assert_eq!(store.targets(Some("call-2")).await.unwrap().targets, []);
    assert_eq!(store.target("c").await.unwrap(), Some(callback));
    assert_eq!(store.target("d").await.unwrap(), None);

    let newer = target("a", None, 2);
    assert!(!store.put_target(newer.clone(), Some(7)).await.unwrap());
    assert!(!store.put_target(target("d", None, 2), Some(1)).await.unwrap(), "there is none");
    let both = join(store.put_target(newer.clone(), Some(1)), store.put_target(newer.clone(), Some(1))).await;
    assert_eq!([both.0.unwrap(), both.1.unwrap()].iter().filter(|done| **done).count(), 1);
    assert_eq!(store.target("a").await.unwrap(), Some(newer));
    assert!(store.drop_target("a").await.unwrap());
    assert!(!store.drop_target("a").await.unwrap());
    assert_eq!(store.targets(None).await.unwrap().targets, [b]);
}

async fn changes_of_subscriptions_are_counted_and_those_of_callbacks_are_not(store: Store) {
    let begin = store.outbox().await.unwrap();
    assert_eq!((begin.fanned, begin.subscriptions, begin.callbacks), (0, false, false));
    store.put_target(target("c", Some("call-1"), 1), None).await.unwrap();
    let state = store.outbox().await.unwrap();
    assert_eq!((state.generation, state.subscriptions, state.callbacks), (begin.generation, false, true));
    store.put_target(target("a", None, 1), None).await.unwrap();
    let made = store.outbox().await.unwrap();
    assert!(made.generation > begin.generation && made.subscriptions);
    store.put_target(target("a", None, 2), Some(9)).await.unwrap();
    assert_eq!(store.outbox().await.unwrap(), made, "nothing was changed");
    store.put_target(target("a", None, 2), Some(1)).await.unwrap();
    let changed = store.outbox().await.unwrap();
    assert!(changed.generation > made.generation);
    assert_eq!(store.targets(None).await.unwrap().generation, changed.generation);
    store.drop_target("a").await.unwrap();
    store.drop_target("c").await.unwrap();
    let gone = store.outbox().await.unwrap();
    assert!(gone.generation > changed.generation && !gone.subscriptions && !gone.callbacks);
}

async fn fanning_out_happens_once_for_each_position(store: Store) {
    prepare(&store, &["a"], &["x"]).await;
    let state = store.outbox().await.unwrap();
    let step =
        |from, until, id: &str| FanOut { generation: state.generation, from, until, at: at(0), deliveries: vec![ended("a", id, "x")] };
    let tries = (0..8).map(|number| store.fan_out(step(0, 50, &number.to_string())));
    let done: Vec<bool> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(done.iter().filter(|done| **done).count(), 1, "{done:?}");
    assert_eq!((all(&store).await.len(), store.outbox().await.unwrap().fanned), (1, 50));
    assert!(!store.fan_out(step(49, 60, "early")).await.unwrap());
    store.put_target(target("b", None, 1), None).await.unwrap();
    assert!(!store.fan_out(step(50, 60, "outdated")).await.unwrap(), "the subscriptions are others now");
    assert_eq!((all(&store).await.len(), store.outbox().await.unwrap().fanned), (1, 50));
    fan_out(&store, Vec::new()).await;
    assert_eq!(store.outbox().await.unwrap().fanned, 51);
}

async fn what_is_there_already_or_has_nobody_to_go_to_is_left_out(store: Store) {
    prepare(&store, &["a", "b"], &["x"]).await;
    let twice = [ended("a", "1", "x"), ended("a", "1", "x"), ended("b", "1", "x")];
    let erased = ("b".to_owned(), event("4", "call.deleted", "nobody"));
    let in_vain = [ended("nobody", "1", "x"), ended("a", "3", "nobody"), erased];
    fan_out(&store, [&twice[..], &in_vain].concat()).await;
    fan_out(&store, twice.to_vec()).await;
    let all = all(&store).await;
    assert_eq!(names(&all), ["a:1", "b:1", "b:4"]);
    let expected = Delivery {
        target: "a".to_owned(),
        event: event("1", "call.ended", "x"),
        state: DeliveryState::Pending,
        tries: 0,
        due: Some(at(0)),
        created_at: at(0),
        settled_at: None,
        attempts: Vec::new(),
    };
    assert_eq!(all[0], expected);
}

async fn a_waiting_update_is_replaced_by_newer_news_unless_it_is_held(store: Store) {
    prepare(&store, &["a", "b"], &["x", "y"]).await;
    let of = |target: &str, id: &str, kind: &str, call: &str| (target.to_owned(), event(id, kind, call));
    let updated = |id: &str| of("a", id, "call.updated", "x");
    fan_out(&store, vec![updated("1"), of("a", "t", "call.transcript", "x"), of("a", "y1", "call.updated", "y")]).await;
    fan_out(&store, vec![of("b", "1", "call.updated", "x"), updated("2"), updated("3")]).await;
    assert_eq!(names(&all(&store).await), ["a:t", "a:y1", "b:1", "a:3"]);
    assert_eq!(lease(&store, 0, 60).await.0, ["a:t", "a:y1", "b:1"], "whose turn it was is gone, and the next one's came");
    mark(&store, "a:t", 60, 1, Fate::Delivered).await;
    assert_eq!(lease(&store, 1, 60).await.0, ["a:3"]);
    fan_out_at(&store, at(2), vec![updated("4"), of("a", "5", "call.ended", "x"), of("a", "6", "call.tool", "x")]).await;
    assert_eq!(names(&all(&store).await), ["a:t", "a:y1", "b:1", "a:3", "a:5", "a:6"], "what is held stays");
    fan_out_at(&store, at(60), vec![of("a", "7", "call.done", "x")]).await;
    assert_eq!(names(&all(&store).await), ["a:t", "a:y1", "b:1", "a:5", "a:6", "a:7"], "until the lease is over");
    assert_eq!(lease(&store, 60, 90).await.0, ["a:y1", "b:1", "a:5"]);
}

async fn the_latest_twenty_tries_are_kept(store: Store) {
    prepare(&store, &["a"], &["x"]).await;
    fan_out(&store, vec![ended("a", "1", "x")]).await;
    for number in 0..23 {
        assert_eq!(lease(&store, number, number + 60).await.0.len(), 1);
        assert!(mark(&store, "a:1", number + 60, number, Fate::Again(at(number + 1))).await);
    }
    let delivery = all(&store).await.remove(0);
    assert_eq!((delivery.tries, delivery.attempts.len()), (23, 20));
    let moments: Vec<Millis> = delivery.attempts.iter().map(|attempt| attempt.at).collect();
    assert_eq!(moments, (3..23).map(at).collect::<Vec<_>>());
}

async fn deliveries_are_listed_newest_first_by_page(store: Store) {
    prepare(&store, &["a", "b"], &["x", "y"]).await;
    let mut made = Vec::new();
    for number in 0..12 {
        let id = number.to_string();
        made.extend([ended("a", &id, if number % 2 == 0 { "x" } else { "y" }), ended("b", &id, "x")]);
    }
    fan_out(&store, made).await;
    lease(&store, 0, 60).await;
    mark(&store, "a:0", 60, 1, Fate::Delivered).await;
    mark(&store, "b:0", 60, 1, Fate::Dead).await;
    let pages = async |filter: DeliveryFilter| {
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.deliveries(DeliveryFilter { cursor, ..filter.clone() }).await.unwrap();
            seen.push(names(&page.deliveries).join(" "));
            cursor = page.next;
            if cursor.is_none() {
                return seen;
            }
        }
    };
    let of = |target: &str, limit| DeliveryFilter { target: Some(target.to_owned()), limit, ..DeliveryFilter::default() };
    assert_eq!(pages(of("a", 5)).await, ["a:11 a:10 a:9 a:8 a:7", "a:6 a:5 a:4 a:3 a:2", "a:1 a:0"]);
    assert_eq!(pages(DeliveryFilter { state: Some(DeliveryState::Delivered), ..of("a", 5) }).await, ["a:0"]);
    assert_eq!(
        pages(DeliveryFilter { state: Some(DeliveryState::Pending), ..of("b", 6) }).await,
        ["b:11 b:10 b:9 b:8 b:7 b:6", "b:5 b:4 b:3 b:2 b:1"]
    );
    assert_eq!(
        pages(DeliveryFilter { call: Some(call_id("y")), limit: 4, ..DeliveryFilter::default() }).await,
        ["a:11 a:9 a:7 a:5", "a:3 a:1"]
    );
    assert_eq!(pages(DeliveryFilter { call: Some(call_id("x")), ..of("a", 9) }).await, ["a:10 a:8 a:6 a:4 a:2 a:0"]);
    let dead = DeliveryFilter { state: Some(DeliveryState::Dead), limit: 3, ..DeliveryFilter::default() };
    assert_eq!(pages(dead).await, ["b:0"]);
    assert_eq!(pages(of("nobody", 5)).await, [""]);
    assert_eq!(pages(DeliveryFilter { limit: 12, ..DeliveryFilter::default() }).await.len(), 2);
}

async fn settled_deliveries_are_forgotten_oldest_first(store: Store) {
    let calls = ["u", "v", "w", "x", "y"];
    prepare(&store, &["a"], &calls).await;
    fan_out(&store, calls.iter().map(|id| ended("a", id, id)).collect()).await;
    lease(&store, 0, 60).await;
    for (id, now) in [("a:v", 1), ("a:u", 2), ("a:w", 3), ("a:x", 4)] {
        mark(&store, id, 60, now, if id == "a:w" { Fate::Dead } else { Fate::Delivered }).await;
    }
    assert_eq!(store.forget_deliveries(at(1), 100).await.unwrap(), 0);
    assert_eq!(store.forget_deliveries(at(4), 1).await.unwrap(), 1);
    assert_eq!(names(&all(&store).await), ["a:u", "a:w", "a:x", "a:y"]);
    assert_eq!(store.forget_deliveries(at(4), 100).await.unwrap(), 2);
    assert_eq!(names(&all(&store).await), ["a:x", "a:y"], "what is pending stays, however old");
    assert_eq!(store.redeliver("a", Redelivery::Events(vec!["u".to_owned()]), at(5)).await.unwrap(), 0);
}

/// Whatever is on its way of calls `x` and `y`: pending, held and settled.
async fn with_much_on_its_way(store: &Store) {
    prepare(store, &["a", "b"], &["x", "y"]).await;
    assert!(store.put_target(target("c", Some("x"), 1), None).await.unwrap());
    assert!(store.put_target(target("d", Some("y"), 1), None).await.unwrap());
    fan_out(store, vec![ended("a", "1", "x"), ended("a", "2", "x"), ended("b", "1", "x"), ended("c", "1", "x")]).await;
    fan_out(store, vec![ended("a", "3", "y"), ended("b", "3", "y"), ended("d", "3", "y")]).await;
    lease(store, 0, 60).await;
    mark(store, "b:1", 60, 1, Fate::Delivered).await;
    mark(store, "b:3", 60, 1, Fate::Dead).await;
}

async fn an_erased_call_leaves_nothing_but_that_it_was(store: Store) {
    with_much_on_its_way(&store).await;
    fan_out(&store, vec![("a".to_owned(), event("earlier", "call.deleted", "x"))]).await;
    assert!(store.delete(&call_id("x"), at(5), false).await.unwrap());
    assert_eq!(names(&all(&store).await), ["a:3", "b:3", "d:3", "a:earlier"]);
    assert_eq!((store.target("c").await.unwrap(), store.target("d").await.unwrap().is_some()), (None, true));
    assert!(!mark(&store, "a:1", 60, 6, Fate::Delivered).await, "who had it finds it gone");
    let told = ("b".to_owned(), event("4", "call.deleted", "x"));
    fan_out(&store, vec![ended("a", "late", "x"), told]).await;
    assert_eq!(names(&all(&store).await), ["a:3", "b:3", "d:3", "a:earlier", "b:4"], "news from before come too late");
    let mut leased = lease(&store, 6, 70).await.0;
    leased.sort_unstable();
    assert_eq!(leased, ["a:earlier", "b:4"], "what is left has its turn");
    let both = join(
        store.delete(&call_id("y"), at(7), false),
        store.fan_out(FanOut {
            generation: store.outbox().await.unwrap().generation,
            from: store.outbox().await.unwrap().fanned,
            until: u64::MAX >> 1,
            at: at(7),
            deliveries: vec![ended("a", "5", "y")],
        }),
    )
    .await;
    assert!(both.0.unwrap() && both.1.unwrap());
    assert_eq!(names(&all(&store).await), ["a:earlier", "b:4"], "whoever comes first");
}

async fn a_purged_call_leaves_nothing(store: Store) {
    with_much_on_its_way(&store).await;
    let retention = Retention { records_before: Some(at(1)), bodies_before: None };
    assert_eq!(store.purge(retention, 1).await.unwrap().len(), 1);
    assert_eq!(names(&all(&store).await), ["a:3", "b:3", "d:3"]);
    assert_eq!(store.purge(retention, 10).await.unwrap().len(), 1);
    assert_eq!((all(&store).await, lease(&store, 100, 200).await), (Vec::new(), (Vec::new(), None)));
    assert!(store.target("d").await.unwrap().is_none() && store.target("a").await.unwrap().is_some());
}

async fn what_waits_too_long_is_given_up_and_says_why(store: Store) {
    prepare(&store, &["a", "b"], &["x", "y"]).await;
    fan_out_at(&store, at(0), vec![ended("a", "1", "x"), ended("a", "2", "x"), ended("a", "3", "y"), ended("b", "1", "x")]).await;
    fan_out_at(&store, at(0), vec![("a".to_owned(), event("4", "subscription.disabled", ""))]).await;
    fan_out_at(&store, at(5), vec![ended("a", "5", "x")]).await;
    let held = store.lease_deliveries(DeliveryLease { limit: 1, ..asking(1, 60) }).await.unwrap();
    assert_eq!(names(&held.deliveries), ["a:1"]);
    let note = || Attempt { at: at(9), took_ms: 0, status: None, error: Some("it waited too long".to_owned()) };
    let give_up = async |before, limit| {
        store.give_up_deliveries(GiveUp { target: "a".to_owned(), before: at(before), note: note(), limit }).await.unwrap()
    };
    assert_eq!((give_up(0, 100).await, give_up(5, 1).await), (0, 1));
    assert_eq!((give_up(5, 100).await, give_up(5, 100).await), (2, 0), "one is held");
    let dead: Vec<_> = all(&store).await.into_iter().filter(|it| it.state == DeliveryState::Dead).collect();
    assert_eq!(names(&dead), ["a:2", "a:3", "a:4"]);
    for it in &dead {
        assert_eq!((&it.attempts[..], it.tries, it.due, it.settled_at), (&[note()][..], 0, None, Some(at(9))), "{it:?}");
    }
    let health = store.health().await.unwrap();
    assert_eq!((health.push_pending, health.push_dead), (3, 3));
    assert!(mark(&store, "a:1", 60, 10, Fate::Delivered).await);
    assert_eq!(lease(&store, 11, 90).await.0, ["b:1", "a:5"], "the next of its call");
    assert_eq!(store.redeliver("a", Redelivery::Since(at(0), Some(DeliveryState::Dead)), at(70)).await.unwrap(), 3);
    assert_eq!(store.forget_deliveries(at(100), 100).await.unwrap(), 1, "the others are on their way again");
}

async fn a_dropped_target_leaves_nothing(store: Store) {
    with_much_on_its_way(&store).await;
    assert!(store.drop_target("a").await.unwrap());
    assert_eq!(names(&all(&store).await), ["b:1", "c:1", "b:3", "d:3"]);
    assert!(!mark(&store, "a:1", 60, 6, Fate::Delivered).await);
    assert!(store.put_target(target("a", None, 1), None).await.unwrap());
    fan_out(&store, vec![ended("a", "1", "x")]).await;
    assert_eq!(lease(&store, 6, 70).await.0, ["a:1"]);
}

async fn health_tells_what_is_pending_and_what_is_dead(store: Store) {
    let counts = async || store.health().await.map(|health| (health.push_pending, health.push_dead)).unwrap();
    assert_eq!(counts().await, (0, 0));
    with_much_on_its_way(&store).await;
    assert_eq!(counts().await, (5, 1));
    store.redeliver("b", Redelivery::Since(at(0), Some(DeliveryState::Dead)), at(9)).await.unwrap();
    assert_eq!(counts().await, (6, 0));
    store.delete(&call_id("y"), at(10), false).await.unwrap();
    assert_eq!(counts().await, (3, 0));
    store.drop_target("a").await.unwrap();
    assert_eq!(counts().await, (1, 0));
}
