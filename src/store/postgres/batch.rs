//! What a group of commits comes to, given what stands in the store: decided here, without asking anybody, as if each had come alone.
//!
//! The locks of all their calls are held from before the looking until after the writing, so that nothing changes in between.

use std::collections::{HashMap, HashSet};

use super::commit::{APP, EncodedCommit, EncodedEvent, EncodedWrite};
use crate::{
    call::{event::Keep, news::NewsItem},
    store::{Committed, Due, tombstone::TombstoneHash},
};

/// What the store holds of what a group is about.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) buried: HashSet<TombstoneHash>,
    /// Events, by id.
    pub(super) events: HashMap<String, Known>,
    /// Calls, by id.
    pub(super) calls: HashMap<String, StandingCall>,
    /// Length of the longest event of a call and source.
    pub(super) longest: HashMap<(String, String), i64>,
}

/// An event that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) folded: bool,
    /// The release that tried last, if it could not be read.
    pub(super) app: Option<String>,
}

/// A call that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StandingCall {
    pub(super) revision: u64,
    pub(super) due: Option<Due>,
}

/// What is to be written, and how each commit ended.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    pub(super) outcomes: Vec<Committed>,
    /// Call and source of events that give way to longer ones.
    pub(super) displaced: Vec<(&'a str, &'a str)>,
    /// Events that must be new.
    pub(super) causes: Vec<&'a EncodedEvent>,
    /// Events that may be there already.
    pub(super) more: Vec<&'a EncodedEvent>,
    /// Events that stand there since a release that could not read them.
    pub(super) read: Vec<&'a EncodedEvent>,
    /// Ids of events that this release can't read either.
    pub(super) tried: Vec<&'a str>,
    pub(super) repeats: Vec<&'a EncodedEvent>,
    /// The last write of each call.
    pub(super) writes: Vec<&'a EncodedWrite>,
    /// What there is to tell, of each call.
    pub(super) news: Vec<(&'a str, &'a NewsItem)>,
    /// Calls whose due time is another one now.
    pub(super) dues: Vec<(&'a str, Option<Due>)>,
}

/// Decides about each commit, in order.
pub(super) fn plan<'a>(standing: Standing, commits: &[&'a EncodedCommit]) -> Plan<'a> {
    let mut deciding = Deciding { now: standing, before: HashMap::new(), plan: Plan::default() };
    for commit in commits {
        let outcome = deciding.decide(commit);
        deciding.plan.outcomes.push(outcome);
    }
    deciding.finish()
}

struct Deciding<'a> {
    /// The store as it will be.
    now: Standing,
    /// Due times of written calls as they were at first.
    before: HashMap<&'a str, Option<Due>>,
    plan: Plan<'a>,
}

impl<'a> Deciding<'a> {
    fn decide(&mut self, commit: &'a EncodedCommit) -> Committed {
        if commit.tombstone.is_some_and(|hash| self.now.buried.contains(&hash)) {
            return Committed::Deleted;
        }
        let known = self.now.events.get(commit.cause.id()).cloned();
        if let Some(known) = &known
            && (known.folded || !commit.cause.event.folded)
        {
            self.repeat(&commit.cause, known);
            return Committed::Duplicate;
        }
        if let Some(write) = &commit.write
            && self.now.calls.get(write.id()).map(|call| call.revision) != write.expected
        {
            return Committed::Conflict;
        }
        if known.is_some() {
            self.plan.read.push(&commit.cause);
            self.now.events.insert(commit.cause.id().to_owned(), Known { folded: true, app: None });
        } else if self.stays(&commit.cause) {
            self.plan.causes.push(&commit.cause);
        }
        for event in &commit.more {
            if !self.now.events.contains_key(event.id()) && self.stays(event) {
                self.plan.more.push(event);
            }
        }
        if let Some(write) = &commit.write {
            self.write(write);
        }
        Committed::Done
    }

    fn repeat(&mut self, cause: &'a EncodedEvent, known: &Known) {
        if !known.folded && known.app.as_deref() != Some(APP) {
            // No delivery: this release tried what an earlier one had stored.
            self.plan.tried.push(cause.id());
            self.now.events.insert(cause.id().to_owned(), Known { app: Some(APP.to_owned()), ..known.clone() });
        } else {
            self.plan.repeats.push(cause);
        }
    }

    /// Is the event stored? Then it is known from now on. One that replaces others is only if none of them is longer, and they give way.
    fn stays(&mut self, event: &'a EncodedEvent) -> bool {
        match (event.event.keep, event.call_id()) {
            (Keep::Nothing, _) => return false,
            (Keep::Whole, _) | (Keep::Replacing, None) => {}
            (Keep::Replacing, Some(call)) => {
                let rivals = (call.to_owned(), event.event.source.clone());
                let longest = self.now.longest.get(&rivals).copied();
                if longest.is_some_and(|longest| longest > event.length) {
                    return false;
                }
                self.now.longest.insert(rivals, event.length);
                if longest.is_some() {
                    self.displace(call, &event.event.source);
                }
            }
        }
        let app = (!event.event.folded).then(|| APP.to_owned());
        self.now.events.insert(event.id().to_owned(), Known { folded: event.event.folded, app });
        true
    }

    fn displace(&mut self, call: &'a str, source: &'a str) {
        let Self { now, plan, .. } = self;
        for planned in [&mut plan.causes, &mut plan.more] {
            planned.retain(|event| {
                let stays = event.call_id() != Some(call) || event.event.source != source;
                if !stays {
                    now.events.remove(event.id());
                }
                stays
            });
        }
        if !plan.displaced.contains(&(call, source)) {
            plan.displaced.push((call, source));
        }
    }

    fn write(&mut self, write: &'a EncodedWrite) {
        let standing = StandingCall { revision: write.call.revision, due: write.call.due };
        let before = self.now.calls.insert(write.id().to_owned(), standing);
        if self.before.contains_key(write.id()) {
            self.plan.writes.retain(|earlier| earlier.id() != write.id());
        } else {
            self.before.insert(write.id(), before.and_then(|call| call.due));
        }
        self.plan.writes.push(write);
        self.plan.news.extend(write.news.iter().map(|item| (write.id(), item)));
    }

    fn finish(self) -> Plan<'a> {
        let Self { before, mut plan, .. } = self;
        // A lease goes on as long as the due time stays.
        let moved = plan.writes.iter().filter(|write| before.get(write.id()).copied().flatten() != write.call.due);
        plan.dues = moved.map(|write| (write.id(), write.call.due)).collect();
        plan
    }
}
