//! What a shift waits for: calls that are being placed, that go on, that are hung up.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{
    Batches, Parts, STORE_PAUSE,
    trouble::{failed, trouble},
};
use crate::{
    batch::{Ending, GIVE_UP, Trouble},
    call::{
        id::CallId,
        record::FetchReason,
        time::Millis,
        view::{View, status},
    },
    dial::{DialError, Named, Order, Outcome, is_placement_id},
    registry::{Known, woken},
    store::StoreError,
    vapi::client::Canceled,
};

/// A call is looked at this often though nobody said that anything happened to it.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Vapi did not hang up: waits double from here.
const FIRST_HANG_UP_PAUSE: Duration = Duration::from_secs(2);
/// And grow no longer than this.
const LONGEST_HANG_UP_PAUSE: Duration = Duration::from_mins(1);
/// Vapi is asked to hang up so often, about an hour long; then the call comes to its own end.
pub(super) const MOST_HANG_UPS: u32 = 64;

/// Something that happened to a call of a batch, by its index.
pub(super) enum Event {
    /// It was placed, or not.
    Placed(usize, Result<Outcome, DialError>),
    /// Its placing became this call.
    Found(usize, CallId),
    /// It was not placed after all.
    Unplaced(usize),
    /// There is nothing left to wait for.
    Ended(usize, Ending),
    /// It was never placed, and the batch is canceled.
    Unbegun(usize),
    /// Vapi was asked to hang it up.
    HungUp(HangUp),
}

/// What came of asking Vapi to hang up a call.
pub(super) struct HangUp {
    pub(super) index: usize,
    pub(super) id: CallId,
    /// Tries so far.
    pub(super) tries: u32,
    pub(super) result: Result<(), Trouble>,
}

/// Places a call, when it is its turn.
pub(super) async fn placed(batches: Batches, index: usize, order: Order) -> Event {
    let dialer = &batches.0.dialer;
    // What was placed before takes no turn: it may take a minute before anybody knows what came of it.
    let outcome = match dialer.recalled(&order).await {
        Ok(Some(named)) => Ok(Outcome { named, replayed: true }),
        Ok(None) => {
            let _turn = batches.0.turns.acquire().await;
            dialer.place(order).await
        }
        Err(error) => Err(error.into()),
    };
    Event::Placed(index, outcome)
}

/// What was placed for an entry of a canceled batch, if anything was.
pub(super) async fn recalled(batches: Batches, index: usize, order: Order) -> Event {
    match batches.0.dialer.recalled(&order).await {
        Ok(Some(named)) => Event::Placed(index, Ok(Outcome { named, replayed: true })),
        Ok(None) => Event::Unbegun(index),
        Err(error) => Event::Placed(index, Err(error.into())),
    }
}

/// Waits for the end of a call that was placed at a moment.
pub(super) async fn followed(batches: Batches, index: usize, id: CallId, placed_at: Millis) -> Event {
    if is_placement_id(id.as_str()) {
        match found(&batches, &id, placed_at).await {
            Some(Named::Call(call)) if call != id => return Event::Found(index, call),
            Some(Named::Nothing) => return Event::Unplaced(index),
            // It was lost: it has a record of its own.
            Some(Named::Call(_)) => {}
            Some(Named::Open(_)) | None => return Event::Ended(index, Ending::Overdue),
        }
    }
    Event::Ended(index, ended(&batches, &id, placed_at).await)
}

/// What became of a placing; `None` when nobody waits for that any more.
async fn found(batches: &Batches, id: &CallId, placed_at: Millis) -> Option<Named> {
    loop {
        match batches.0.dialer.named_within(id, LOOK_EVERY).await {
            Ok(Named::Call(call)) => return Some(Named::Call(call)),
            // So late not even that there is no such placing proves that nothing was placed: it may have outlived its time.
            _ if is_overdue(batches, placed_at) => return None,
            Ok(Named::Nothing) => return Some(Named::Nothing),
            Ok(Named::Open(_)) => {}
            Err(_) => sleep(STORE_PAUSE).await,
        }
        if batches.parts().lifecycle.is_soft_stopped() {
            // Then nothing is waited for any more: whoever asked goes.
            std::future::pending::<()>().await;
        }
    }
}

/// How a call ended, once it has.
async fn ended(batches: &Batches, id: &CallId, placed_at: Millis) -> Ending {
    let ticket = batches.parts().registry.waiters().register(id);
    loop {
        // Listen first, look second: what happens in between is not missed.
        let woken = woken(ticket.as_ref());
        let pause = match ending(batches, id).await {
            Ok(Some(ending)) => return ending,
            Ok(None) if is_overdue(batches, placed_at) => return Ending::Overdue,
            Ok(None) => LOOK_EVERY,
            Err(_) => STORE_PAUSE,
        };
        // No room among those who wait: then it is looked at more often.
        let pause = if ticket.is_some() { pause } else { pause.min(STORE_PAUSE) };
        let _ = timeout(pause, woken).await;
    }
}

async fn ending(batches: &Batches, id: &CallId) -> Result<Option<Ending>, StoreError> {
    let registry = &batches.parts().registry;
    Ok(match registry.look_up(id).await? {
        Known::Call(call) if call.done => registry.stored(id, 0).await?.map(|call| {
            let minutes = registry.rendered(&call, View::Summary).duration;
            Ending::Done { status: status(&call.record).to_owned(), minutes }
        }),
        Known::Call(call) if call.unknown_to_vapi => Some(failed("CALL_NOT_FOUND", "Vapi said twice that it knows no such call.")),
        Known::Deleted => Some(failed("CALL_DELETED", "The call was deleted here.")),
        Known::Call(_) | Known::Nothing => None,
    })
}

fn is_overdue(batches: &Batches, placed_at: Millis) -> bool {
    batches.now().since(placed_at) >= GIVE_UP
}

/// Asks Vapi once to hang up a call, or to unschedule it; after some time, if it was asked before.
pub(super) async fn hung_up(batches: Batches, index: usize, id: CallId, tries: u32) -> Event {
    if tries > 0 {
        sleep(hang_up_pause(tries)).await;
    }
    let Parts { client, registry, .. } = batches.parts();
    let canceled = match client {
        Some(client) => client.cancel(&id).await,
        None => Canceled::Denied,
    };
    let result = match canceled {
        Canceled::Done | Canceled::Ended => {
            // If that fails, its record hears of it by webhook, or when Vapi is asked next.
            let _ = registry.ask_now(&id, FetchReason::Manual).await;
            Ok(())
        }
        Canceled::Unknown => Err(trouble("CALL_NOT_FOUND", "Vapi knows no such call".to_owned())),
        Canceled::Denied => Err(trouble("VAPI_ACCOUNT", "there is no VAPI_API_KEY, or Vapi refuses it".to_owned())),
        Canceled::Failed(why) => Err(trouble("VAPI_UNAVAILABLE", why)),
    };
    Event::HungUp(HangUp { index, id, tries: tries + 1, result })
}

fn hang_up_pause(tries: u32) -> Duration {
    FIRST_HANG_UP_PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(LONGEST_HANG_UP_PAUSE)
}
