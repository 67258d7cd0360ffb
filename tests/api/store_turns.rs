//! Whose turn it is in the outbox, on every engine.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a story stops where it goes wrong")]

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use ringback::store::{DeliveryLease, DeliveryMark, DeliveryState, Fate, Redelivery, Store};

use crate::{
    store_contract::on_every_engine,
    store_outbox::{all, asking, ended, event, fan_out, fan_out_at, lease, mark, marked, names, prepare, target, tried},
    store_support::at,
};

on_every_engine! {
    of_a_call_only_the_oldest_is_handed_out
    a_delivery_that_waits_for_its_next_try_holds_up_its_call_and_no_other
    news_about_no_call_wait_for_nobody
    a_lease_that_ran_out_is_free_and_who_had_it_can_not_mark_it
    two_who_lease_at_once_get_different_deliveries
    of_each_target_no_more_is_leased_than_was_asked_for
    excepted_targets_are_passed_over_and_tell_no_time
    what_was_given_up_is_made_again_in_its_old_place
    who_is_held_keeps_the_turn_while_an_older_one_is_made_again
    nothing_is_stuck_or_out_of_order_while_many_make_and_settle_deliveries
    a_flood_for_one_target_holds_up_no_other
}

async fn of_a_call_only_the_oldest_is_handed_out(store: Store) {
    prepare(&store, &["a", "b"], &["x", "y"]).await;
    let made = ["1", "2", "3"].map(|id| ended("a", id, "x"));
    fan_out(&store, [&made[..], &[ended("a", "4", "y"), ended("b", "1", "x")]].concat()).await;
    let dues: Vec<bool> = all(&store).await.iter().map(|delivery| delivery.due.is_some()).collect();
    assert_eq!(dues, [true, false, false, true, true]);
    assert_eq!(lease(&store, 0, 60).await.0, ["a:1", "a:4", "b:1"]);
    assert_eq!(lease(&store, 1, 61).await, (Vec::new(), Some(at(60))), "all that may be tried is held");
    assert!(mark(&store, "a:1", 60, 5, Fate::Delivered).await);
    let (leased, next) = lease(&store, 5, 65).await;
    assert_eq!((leased, next), (vec!["a:2".to_owned()], Some(at(60))));
    assert!(mark(&store, "a:2", 65, 6, Fate::Dead).await);
    assert_eq!(lease(&store, 6, 66).await.0, ["a:3"]);
    assert!(mark(&store, "a:3", 66, 7, Fate::Gone).await);
    let left = all(&store).await;
    assert_eq!(names(&left), ["a:1", "a:2", "a:4", "b:1"]);
    let told = left.iter().map(|it| (it.state, it.tries, it.due, it.settled_at)).collect::<Vec<_>>();
    assert_eq!(told[0], (DeliveryState::Delivered, 1, None, Some(at(5))));
    assert_eq!(told[1], (DeliveryState::Dead, 1, None, Some(at(6))));
    assert_eq!(left[1].attempts, [tried(6, Some("it did not work"))]);
    assert_eq!(left[0].attempts, [tried(5, None)]);
    fan_out_at(&store, at(8), vec![ended("a", "5", "x")]).await;
    assert_eq!(lease(&store, 8, 60).await.0, ["a:5"], "nobody stands before it any more");
}

async fn a_delivery_that_waits_for_its_next_try_holds_up_its_call_and_no_other(store: Store) {
    prepare(&store, &["a"], &["x", "y"]).await;
    fan_out(&store, vec![ended("a", "1", "x"), ended("a", "2", "x"), ended("a", "3", "y")]).await;
    lease(&store, 0, 60).await;
    let marks = vec![marked("a:1", 60, 1, Fate::Again(at(500))), marked("a:3", 60, 1, Fate::Delivered), marked("a:9", 60, 1, Fate::Gone)];
    assert_eq!(store.mark_deliveries(marks).await.unwrap(), [true, true, false]);
    assert_eq!(lease(&store, 499, 600).await, (Vec::new(), Some(at(500))));
    assert_eq!(lease(&store, 500, 600).await, (vec!["a:1".to_owned()], Some(at(600))));
    let not_tried = DeliveryMark { attempt: None, ..marked("a:1", 600, 501, Fate::Again(at(700))) };
    assert_eq!(store.mark_deliveries(vec![not_tried.clone(), not_tried]).await.unwrap(), [true, false], "a lease ends with its mark");
    let first = all(&store).await.remove(0);
    assert_eq!((first.tries, first.attempts.len(), first.due, first.state), (1, 1, Some(at(700)), DeliveryState::Pending));
}

async fn news_about_no_call_wait_for_nobody(store: Store) {
    prepare(&store, &["a"], &[]).await;
    let disabled = |id: &str| ("a".to_owned(), event(id, "subscription.disabled", ""));
    fan_out(&store, vec![disabled("1"), disabled("2")]).await;
    assert_eq!(lease(&store, 0, 60).await.0, ["a:1", "a:2"]);
    assert!(mark(&store, "a:1", 60, 1, Fate::Again(at(500))).await);
    fan_out(&store, vec![disabled("3")]).await;
    assert_eq!(lease(&store, 2, 60).await.0, ["a:3"]);
    let first = all(&store).await.remove(0);
    assert_eq!(first.event, event("1", "subscription.disabled", ""));
}

async fn a_lease_that_ran_out_is_free_and_who_had_it_can_not_mark_it(store: Store) {
    prepare(&store, &["a"], &["x", "y"]).await;
    fan_out(&store, vec![ended("a", "1", "x"), ended("a", "2", "y")]).await;
    lease(&store, 0, 60).await;
    assert!(!mark(&store, "a:2", 60, 60, Fate::Delivered).await, "it ran out, though nobody took it yet");
    assert_eq!(lease(&store, 60, 120).await.0, ["a:1", "a:2"]);
    assert!(!mark(&store, "a:1", 60, 61, Fate::Delivered).await);
    assert!(!mark(&store, "a:1", 119, 61, Fate::Delivered).await);
    assert!(mark(&store, "a:1", 120, 61, Fate::Delivered).await);
    assert!(!mark(&store, "a:1", 120, 61, Fate::Dead).await);
    assert_eq!(all(&store).await.iter().map(|it| it.state).collect::<Vec<_>>(), [DeliveryState::Delivered, DeliveryState::Pending]);
}

async fn two_who_lease_at_once_get_different_deliveries(store: Store) {
    let calls: Vec<String> = (0..60).map(|number| format!("call-{number}")).collect();
    prepare(&store, &["a", "b"], &calls.iter().map(String::as_str).collect::<Vec<_>>()).await;
    fan_out(&store, calls.iter().flat_map(|id| [ended("a", id, id), ended("b", id, id)]).collect()).await;
    let (mut taken, mut round) = (Vec::new(), 0);
    while taken.len() < 120 {
        let asked = (0..6).map(|holder| store.lease_deliveries(DeliveryLease { limit: 7, per_target: 5, ..asking(1, 1_000 + holder) }));
        let leased = join_all(asked).await;
        taken.extend(leased.into_iter().flat_map(|leased| names(&leased.unwrap().deliveries)));
        round += 1;
        assert!(round < 60, "some were never handed out: {}", taken.len());
    }
    taken.sort_unstable();
    taken.dedup();
    assert_eq!(taken.len(), 120);
}

async fn of_each_target_no_more_is_leased_than_was_asked_for(store: Store) {
    prepare(&store, &["a", "b"], &["u", "v", "w", "x", "y"]).await;
    assert!(store.put_target(target("c", Some("x"), 1), None).await.unwrap());
    fan_out_at(&store, at(1), ["u", "v", "w", "x"].map(|id| ended("a", id, id)).to_vec()).await;
    fan_out_at(&store, at(2), vec![ended("b", "u", "u"), ended("c", "x", "x"), ended("b", "v", "v")]).await;
    let few = |limit, per_target| DeliveryLease { limit, per_target, ..asking(10, 60) };
    let leased = store.lease_deliveries(few(4, 2)).await.unwrap();
    assert_eq!(names(&leased.deliveries), ["a:u", "a:v", "b:u", "c:x"], "the longest overdue first");
    assert_eq!(leased.next, Some(at(1)), "there is more than was asked for");
    assert_eq!(leased.deliveries[3].due, Some(at(2)));
    let leased = store.lease_deliveries(few(1, 2)).await.unwrap();
    assert_eq!(names(&leased.deliveries), ["a:w"]);
    assert_eq!(lease(&store, 10, 60).await, (vec!["a:x".to_owned(), "b:v".to_owned()], Some(at(60))));
}

async fn excepted_targets_are_passed_over_and_tell_no_time(store: Store) {
    prepare(&store, &["a", "b"], &["x"]).await;
    assert!(store.put_target(target("c", Some("x"), 1), None).await.unwrap());
    fan_out(&store, vec![ended("a", "1", "x"), ended("b", "1", "x"), ended("c", "1", "x")]).await;
    let but = |except: &[&str]| DeliveryLease { except: except.iter().copied().map(str::to_owned).collect(), ..asking(5, 60) };
    let leased = store.lease_deliveries(but(&["a", "b", "c"])).await.unwrap();
    assert_eq!((names(&leased.deliveries), leased.next), (Vec::new(), None));
    let leased = store.lease_deliveries(but(&["a", "c"])).await.unwrap();
    assert_eq!((names(&leased.deliveries), leased.next), (vec!["b:1".to_owned()], Some(at(60))));
    assert_eq!(lease(&store, 5, 70).await, (vec!["a:1".to_owned(), "c:1".to_owned()], Some(at(60))));
}

async fn what_was_given_up_is_made_again_in_its_old_place(store: Store) {
    prepare(&store, &["a", "b"], &["x", "y"]).await;
    fan_out(&store, vec![ended("a", "1", "x"), ended("a", "2", "x"), ended("a", "3", "x"), ended("b", "1", "x")]).await;
    fan_out_at(&store, at(2), vec![ended("a", "4", "y")]).await;
    lease(&store, 2, 60).await;
    mark(&store, "a:1", 60, 3, Fate::Dead).await;
    mark(&store, "a:4", 60, 3, Fate::Delivered).await;
    mark(&store, "b:1", 60, 3, Fate::Dead).await;
    lease(&store, 3, 60).await;
    mark(&store, "a:2", 60, 4, Fate::Again(at(9_000))).await;
    assert_eq!(store.redeliver("a", Redelivery::Since(at(1), Some(DeliveryState::Dead)), at(10)).await.unwrap(), 0);
    assert_eq!(store.redeliver("a", Redelivery::Events(vec!["2".to_owned(), "9".to_owned()]), at(10)).await.unwrap(), 0, "it is pending");
    assert_eq!(store.redeliver("a", Redelivery::Since(at(0), Some(DeliveryState::Dead)), at(10)).await.unwrap(), 1);
    assert_eq!(store.redeliver("a", Redelivery::Since(at(2), None), at(11)).await.unwrap(), 1);
    let states = store.delivery_states("a", &["4", "9", "2"].map(str::to_owned)).await.unwrap();
    assert_eq!(states, [Some(DeliveryState::Pending), None, Some(DeliveryState::Pending)]);
    assert_eq!(store.delivery_states("b", &["1".to_owned()]).await.unwrap(), [Some(DeliveryState::Dead)]);
    assert_eq!(store.delivery_states("b", &[]).await.unwrap(), []);
    let first = all(&store).await.remove(0);
    assert_eq!((first.state, first.tries, first.attempts.len()), (DeliveryState::Pending, 0, 1));
    assert_eq!((first.due, first.settled_at, first.created_at), (Some(at(10)), None, at(0)));
    assert_eq!(lease(&store, 11, 90).await.0, ["a:1", "a:4"], "before those that stood behind it");
    mark(&store, "a:1", 90, 12, Fate::Delivered).await;
    assert_eq!(lease(&store, 12, 90).await.0, ["a:2"], "and they come at once behind it");
    assert_eq!(store.redeliver("b", Redelivery::Events(vec!["1".to_owned()]), at(13)).await.unwrap(), 1);
    assert_eq!(lease(&store, 13, 90).await.0, ["b:1"]);
    assert_eq!(store.redeliver("nobody", Redelivery::Since(at(0), None), at(13)).await.unwrap(), 0);
}

async fn who_is_held_keeps_the_turn_while_an_older_one_is_made_again(store: Store) {
    prepare(&store, &["a"], &["x"]).await;
    fan_out(&store, vec![ended("a", "1", "x"), ended("a", "2", "x")]).await;
    lease(&store, 0, 60).await;
    mark(&store, "a:1", 60, 1, Fate::Dead).await;
    assert_eq!(lease(&store, 1, 61).await.0, ["a:2"]);
    assert_eq!(store.redeliver("a", Redelivery::Since(at(0), None), at(2)).await.unwrap(), 1);
    assert_eq!(lease(&store, 2, 62).await.0, Vec::<String>::new(), "two of a call are never on their way at once");
    assert!(mark(&store, "a:2", 61, 3, Fate::Again(at(900))).await);
    assert_eq!(lease(&store, 3, 63).await.0, ["a:1"]);
    assert!(mark(&store, "a:1", 63, 4, Fate::Delivered).await);
    assert_eq!(lease(&store, 4, 64).await.0, ["a:2"]);
}

/// Steps of fanning out beside those who deliver.
const STEPS: usize = 40;

/// Three deliver while others make deliveries; some tries fail, and some calls have to be made again.
async fn nothing_is_stuck_or_out_of_order_while_many_make_and_settle_deliveries(store: Store) {
    let (targets, calls) = (["a", "b"], ["x", "y", "z"]);
    prepare(&store, &targets, &calls).await;
    let all = STEPS * targets.len() * calls.len();
    let (sent, failed) = (std::cell::RefCell::new(Vec::new()), std::cell::RefCell::new(std::collections::HashSet::new()));
    let making = async {
        for step in 0..STEPS {
            let id = format!("{step:03}");
            fan_out(&store, targets.iter().flat_map(|target| calls.map(|call| ended(target, &format!("{call}{id}"), call))).collect())
                .await;
        }
    };
    let delivering = (0..3_i64).map(async |holder| {
        let begin = Instant::now();
        while sent.borrow().len() < all {
            assert!(begin.elapsed() < Duration::from_mins(1), "stuck at {} of {all}", sent.borrow().len());
            let until = 1_000 + holder;
            let leased = store.lease_deliveries(DeliveryLease { limit: 3, ..asking(10, until) }).await.unwrap();
            let tries = names(&leased.deliveries).into_iter().map(|name| {
                let fails = name.ends_with('7') && failed.borrow_mut().insert(name.clone());
                if !fails {
                    sent.borrow_mut().push(name.clone());
                }
                marked(&name, until, 10, if fails { Fate::Again(at(10)) } else { Fate::Delivered })
            });
            let marks: Vec<_> = tries.collect();
            let count = marks.len();
            assert_eq!(store.mark_deliveries(marks).await.unwrap(), vec![true; count]);
            tokio::task::yield_now().await;
        }
    });
    join(making, join_all(delivering)).await;
    let mut sent = sent.into_inner();
    for line in targets.iter().flat_map(|target| calls.map(|call| format!("{target}:{call}"))) {
        let of_line: Vec<_> = sent.iter().filter(|name| name.starts_with(&line)).collect();
        assert!(of_line.is_sorted_by(|a, b| a < b) && of_line.len() == STEPS, "{of_line:?}");
    }
    sent.sort_unstable();
    sent.dedup();
    assert_eq!((sent.len(), lease(&store, 5_000, 6_000).await), (all, (Vec::new(), None)));
}

/// Pending deliveries of the flood.
const FLOOD: usize = 100_000;
/// Deliveries of one step of it.
const STEP: usize = 5_000;
/// A lease beside the whole flood may take so many times as long as beside its first step. If it looked at each delivery, it would take 20.
const MOST_TIMES: u32 = 5;
/// What a clock and a busy machine add.
const NOISE: Duration = Duration::from_millis(1);
/// So often at the most it is tried: others keep the machine and the server busy, too, and a lease that is slow by itself is slow each time.
const TRIES: usize = 300;

/// How long two leases take, one of what is ready and one past the flood, whose target is full.
async fn leases(store: &Store, now: i64) -> Duration {
    let few = DeliveryLease { limit: 16, per_target: 4, ..asking(now, now + 1_000) };
    let full = DeliveryLease { except: vec!["a".to_owned()], ..few.clone() };
    let begin = Instant::now();
    let ready = store.lease_deliveries(few).await.unwrap();
    let past = store.lease_deliveries(full).await.unwrap();
    let took = begin.elapsed();
    assert_eq!((ready.deliveries.len(), ready.next), (4, Some(at(0))));
    assert_eq!((past.deliveries.len(), past.next), (0, Some(at(1_009))));
    took
}

async fn a_flood_for_one_target_holds_up_no_other(store: Store) {
    prepare(&store, &["a", "b"], &[]).await;
    let flood = async |first: usize| {
        let flood = (first..first + STEP).map(|number| ("a".to_owned(), event(&number.to_string(), "subscription.disabled", "")));
        fan_out(&store, flood.collect()).await;
    };
    flood(0).await;
    fan_out_at(&store, at(9), vec![("b".to_owned(), event("1", "subscription.disabled", ""))]).await;
    let leased = store.lease_deliveries(DeliveryLease { limit: 16, per_target: 4, ..asking(9, 1_009) }).await.unwrap();
    assert_eq!(names(&leased.deliveries), ["a:0", "a:1", "a:2", "a:3", "b:1"]);
    assert_eq!(leased.next, Some(at(0)));
    let mut beside_few = Duration::MAX;
    for now in 10..20 {
        beside_few = beside_few.min(leases(&store, now).await);
    }
    for first in (STEP..FLOOD).step_by(STEP) {
        flood(first).await;
    }
    let (mut beside_many, mut moments) = (Duration::MAX, (20..).take(TRIES));
    while beside_many > beside_few * MOST_TIMES + NOISE {
        let now = moments.next().unwrap_or_else(|| panic!("{beside_many:?} beside many, {beside_few:?} beside few"));
        beside_many = beside_many.min(leases(&store, now).await);
    }
    assert!(mark(&store, "a:2", 1_009, 500, Fate::Delivered).await);
    assert!(store.drop_target("a").await.unwrap());
    assert_eq!(names(&all(&store).await), ["b:1"]);
}
