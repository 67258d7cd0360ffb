//! Asks Vapi, once, and notes what came of it.

use serde_json::Value;
use tracing::{info, warn};

use super::{
    DialError, Dialer, MOST_CONFLICTS, Named, Outcome, Parts, open,
    placing::{Placing, State},
    promise::release_at,
    search,
};
use crate::{
    call::{
        event::CallEvent,
        id::CallId,
        time::{Millis, SECOND},
    },
    registry::{Applied, Change},
    store::{Document, REMEMBERED, StoreError, document::Read},
    vapi::{
        self,
        client::{Created, Refusal},
    },
};

/// A placed call of which nothing was heard by then is worth a warning.
const HEARD_WITHIN: i64 = 60 * SECOND;

impl Dialer {
    /// Asks Vapi for the call of a placing that was written down just now.
    pub(super) async fn send(&self, id: &str, mut body: Value) -> Result<Outcome, DialError> {
        let Parts { client, writer, .. } = &self.0.parts;
        let Some(client) = client else { return Err(DialError::NoKey) };
        writer.seal(&mut body);
        let outcome = match client.create(&body).await {
            Created::Call { id: call, body } => {
                let answer = vapi::call::read(&body, &call, self.0.parts.clock.now()).map(|answer| answer.event);
                let told = self.in_time(self.tell_record(id, &call, answer)).await;
                self.note_later(id, &call, told);
                Ok(Named::Call(call))
            }
            Created::Refused(mut refusal) => {
                writer.hide(&mut refusal.details);
                if let Err(error) = self.note_refusal(id, &refusal).await {
                    warn!(%error, placement_id = id, "A refused placing could not be noted; its call will be looked for in vain");
                }
                Err(DialError::Refused(refusal))
            }
            Created::Unknown(why) => {
                warn!(why, placement_id = id, "Nobody knows whether a call was placed; it is looked for in Vapi's list");
                if let Err(error) = self.note_unknown(id).await {
                    warn!(%error, placement_id = id, "That could not be stored; the search begins within a minute");
                }
                Ok(open(id))
            }
        };
        self.wake(id);
        outcome.map(|named| Outcome { named, replayed: false })
    }

    /// Whoever waits for this placing looks again.
    pub(super) fn wake(&self, id: &str) {
        if let Ok(id) = CallId::parse(id) {
            self.0.parts.registry.waiters().wake(&id);
        }
    }

    /// A placing became this call: its record hears of it first, then the placing says so.
    pub(super) async fn note_call(&self, id: &str, call: &CallId, answer: Option<CallEvent>) -> Result<(), StoreError> {
        match self.tell_record(id, call, answer).await? {
            Some(at) => self.note_placed(id, call, at).await,
            None => Ok(()),
        }
    }

    /// The record of a call hears that it was placed, and by which placing; tells when, if there is a placing that is to say so too.
    async fn tell_record(&self, id: &str, call: &CallId, answer: Option<CallEvent>) -> Result<Option<Millis>, StoreError> {
        let Parts { registry, clock, writer, .. } = &self.0.parts;
        let placing = self.placing(id).await;
        if matches!(&placing, Ok(Some(placing)) if placing.says.state == State::Lost) {
            return Ok(None);
        }
        // Also when the store can't be asked any more: there is a call.
        self.0.known.insert(id.to_owned(), call.clone());
        let Some(placing) = placing? else { return Ok(None) };
        let at = clock.now();
        if placing.says.state != State::Placed {
            let mut event = vapi::call::placed(&placing.says.asked, event_id(id), call, at);
            // Whoever sends its messages to us owes a report, heard of or not.
            event.facts.owed = writer.is_told_of(&event.facts);
            let more = answer.into_iter().collect();
            let change = Change { more, ..Change::of(event) };
            if registry.apply_change(change).await? == Applied::Deleted {
                return registry.bury_placing(id).await.map(|()| None);
            }
        }
        Ok(Some(at))
    }

    /// After its record was told, the placing of a call says so too: nobody has to wait for that. Should we die before, the search finds the record.
    fn note_later(&self, id: &str, call: &CallId, told: Result<Option<Millis>, StoreError>) {
        let (dialer, id, call) = (self.clone(), id.to_owned(), call.clone());
        let noting = async move {
            let noted = match told {
                Ok(Some(at)) => dialer.note_placed(&id, &call, at).await,
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = noted {
                warn!(%error, placement_id = id, call_id = call.as_str(), "A call was placed, but that could not be stored yet");
            }
        };
        self.0.parts.lifecycle.spawn_quiet(noting);
    }

    async fn note_placed(&self, id: &str, call: &CallId, at: Millis) -> Result<(), StoreError> {
        self.change(id, |says, document| {
            if says.state == State::Placed {
                return false;
            }
            says.state = State::Placed;
            says.known_at.get_or_insert(at);
            says.call_id = Some(call.clone());
            says.asked.clear();
            document.alias = Some(call.as_str().to_owned());
            document.due = Some(at.plus(HEARD_WITHIN));
            true
        })
        .await?;
        info!(placement_id = id, call_id = call.as_str(), "A call was placed");
        self.0.due.announce(at.plus(HEARD_WITHIN));
        Ok(())
    }

    /// It is certain that there is no call of a placing. Once it was taken for one of unknown outcome, people were told that it is open: it ends as
    /// lost for them.
    pub(super) async fn note_refusal(&self, id: &str, refusal: &Refusal) -> Result<(), StoreError> {
        for _ in 0..MOST_CONFLICTS {
            let Some(Read { says, .. }) = self.placing(id).await? else { return Ok(()) };
            match says.state {
                State::Sending if self.refuse(id, &says, refusal).await? => return Ok(()),
                State::Sending => {}
                State::Unknown | State::Lost if !says.is_refused() => {
                    let words = format!("{} (asked for at {})", refusal.words(), says.sent_at);
                    self.lose(id, &says, words, Some(refusal)).await?;
                }
                State::Unknown | State::Lost | State::Placed | State::Refused => return Ok(()),
            }
        }
        Err(StoreError::contended("the placing"))
    }

    /// A placing of which nobody was told yet was refused; tells whether it stood so. Whoever was to be told goes last: a search may find meanwhile
    /// that nobody knows what came of it, and then they are told of that. Should we die before they are gone, they go with the placing.
    async fn refuse(&self, id: &str, says: &Placing, refusal: &Refusal) -> Result<bool, StoreError> {
        let ends = self.0.parts.clock.now().plus(REMEMBERED);
        let refused = self.change(id, |says, document| {
            if says.state != State::Sending {
                return false;
            }
            says.state = State::Refused;
            says.refusal = Some(refusal.clone());
            says.asked.clear();
            document.expires_at = Some(ends);
            document.due = release_at(says, document);
            true
        });
        let is_refused = refused.await?;
        if is_refused
            && says.called_back
            && let Err(error) = self.release(id).await
        {
            warn!(%error, placement_id = id, "Whoever was to be told of a refused placing could not be dropped; they go with it");
        }
        Ok(is_refused)
    }

    /// Nobody knows what came of a placing; unless somebody else does by now.
    pub(super) async fn note_unknown(&self, id: &str) -> Result<(), StoreError> {
        let now = self.0.parts.clock.now();
        let due = now.plus(search::wait(0));
        self.change(id, |says, document| {
            let is_new = says.state == State::Sending;
            if is_new {
                says.state = State::Unknown;
                says.known_at.get_or_insert(now);
                document.due = Some(due);
            }
            is_new
        })
        .await?;
        self.0.due.announce(due);
        Ok(())
    }

    /// Changes a placing as it stands now, unless `change` says that there is nothing to change; tells whether it was changed.
    pub(super) async fn change(&self, id: &str, change: impl Fn(&mut Placing, &mut Document) -> bool) -> Result<bool, StoreError> {
        let Parts { registry, clock, .. } = &self.0.parts;
        for _ in 0..MOST_CONFLICTS {
            let Some(mut read) = self.placing(id).await? else { return Ok(false) };
            if !change(&mut read.says, &mut read.document) {
                return Ok(false);
            }
            if self.in_time(registry.store().put_documents(vec![read.write()], clock.now())).await? {
                return Ok(true);
            }
        }
        Err(StoreError::contended("the placing"))
    }

    /// Warns about a placed call of which nothing was heard for a while. It is still waited for, and Vapi is asked.
    pub(super) async fn remind(&self, id: &str, call: &CallId) -> Result<(), StoreError> {
        if let Some(stored) = self.0.parts.registry.store().load(call).await?.found()
            && stored.record.heard_at.is_none()
            && !stored.record.has_end()
        {
            warn!(
                placement_id = id,
                call_id = call.as_str(),
                "No webhook came about a call that was placed a minute ago: check its server URL; Vapi will be asked instead"
            );
        }
        self.rest(id).await
    }

    /// There is nothing left to do for a placing, but to forget in the end who was to be told.
    pub(super) async fn rest(&self, id: &str) -> Result<(), StoreError> {
        let now = self.0.parts.clock.now();
        let Some(placing) = self.placing(id).await? else { return Ok(()) };
        if release_at(&placing.says, &placing.document).is_some_and(|at| at <= now) {
            self.release(id).await?;
        }
        self.change(id, |says, document| {
            let next = release_at(says, document).filter(|at| *at > now);
            std::mem::replace(&mut document.due, next) != next
        })
        .await
        .map(drop)
    }
}

/// The event of a placing has the id that everybody would give it.
pub(super) fn event_id(placement_id: &str) -> &str {
    placement_id.split_once('_').map_or(placement_id, |(_, uuid)| uuid)
}

/// When this was, for whoever reads the record.
pub(super) fn lost_words(sent_at: Millis) -> String {
    format!("Vapi's answer to the placing at {sent_at} was lost, and Vapi's list does not have the call")
}
