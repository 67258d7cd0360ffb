//! One who listens: first the log, as far as it is behind, then what is handed out.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::mpsc;
use tracing::warn;

use super::{Bulletin, Filter, Place, Ticket, bulletin};
use crate::{
    call::{
        id::CallId,
        news::{NewsEntry, NewsKind},
    },
    registry::Registry,
    store::StoreError,
};

/// Entries read at once.
const PAGE: usize = 100;

/// Where a reader was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Since {
    /// Nowhere: it begins now. Of one call, with how that stands.
    #[default]
    Now,
    /// It heard this event last.
    Event(String),
}

/// What a reader hears.
#[derive(Debug, Clone)]
pub enum Said {
    /// Something happened.
    News(Arc<Bulletin>),
    /// Something may be missing here: an event as JSON.
    Gap(String),
    /// It hears no more, and why: an event as JSON.
    Dropped(String),
}

/// One who listens.
pub struct Reader {
    registry: Registry,
    scope: Option<CallId>,
    filter: Filter,
    close_when_done: bool,
    /// To be said next.
    ready: VecDeque<Said>,
    state: State,
    _ticket: Ticket,
}

enum State {
    Behind(Box<Behind>),
    Live(Seated),
    Over,
}

struct Seated {
    receiver: mpsc::Receiver<Arc<Bulletin>>,
    /// It has read the log up to here by itself: what is handed out up to here, it knows.
    known: u64,
    _place: Place,
}

/// Reads the log by itself.
struct Behind {
    entries: VecDeque<NewsEntry>,
    cursor: u64,
    more: bool,
    /// Its place, and up to where it reads before it takes that.
    seated: Option<(Seated, u64)>,
}

impl Registry {
    /// Lets somebody listen, to one call or to all; `None` when too many do.
    ///
    /// # Errors
    /// [`StoreError`] when the log can't be read.
    pub async fn listen(
        &self,
        scope: Option<CallId>,
        since: Since,
        filter: Filter,
        close_when_done: bool,
    ) -> Result<Option<Reader>, StoreError> {
        let Some(ticket) = self.0.streams.admit() else { return Ok(None) };
        let (registry, ready) = (self.clone(), VecDeque::new());
        let mut reader = Reader { registry, scope, filter, close_when_done, ready, state: State::Over, _ticket: ticket };
        reader.state = match since {
            Since::Now => State::Live(reader.begin().await?),
            Since::Event(last) => State::Behind(Box::new(reader.resume(&last).await?)),
        };
        Ok(Some(reader))
    }

    /// Has anything been told of this call after an event?
    ///
    /// # Errors
    /// [`StoreError`] when the log can't be read.
    pub async fn is_told_after(&self, id: &CallId, last: &str) -> Result<bool, StoreError> {
        let Some(position) = bulletin::position_of(last) else { return Ok(true) };
        let page = self.0.store.news(position, Some(id), 1).await?;
        Ok(position < page.gone || position > page.newest || page.until > position)
    }
}

impl Reader {
    async fn sit_down(&self) -> Result<(Seated, u64), StoreError> {
        let newest = match self.registry.0.streams.position() {
            Some(position) => position,
            None => self.registry.0.store.news(i64::MAX.unsigned_abs(), None, 1).await?.newest,
        };
        let (place, receiver, position) = self.registry.0.streams.join(self.scope.as_ref(), newest);
        Ok((Seated { receiver, known: position, _place: place }, position))
    }

    /// From now on. Who listens to one call is told first how it stands.
    async fn begin(&mut self) -> Result<Seated, StoreError> {
        let (seated, position) = self.sit_down().await?;
        if let Some(id) = self.scope.clone() {
            let (state, is_last) = self.last_state(&id, position).await?;
            let standing = match state {
                Some(entry) => self.registry.bulletin(&entry).await?,
                // Its log is gone, or it has none yet.
                None if is_last => self.standing(&id).await?,
                // What was told of it meanwhile is handed out.
                None => None,
            };
            self.ready.extend(standing.map(Said::News));
        }
        Ok(seated)
    }

    async fn standing(&self, id: &CallId) -> Result<Option<Arc<Bulletin>>, StoreError> {
        Ok(self.registry.0.store.load(id).await?.found().map(|call| self.registry.standing(&call)))
    }

    /// The latest entry up to a position that says how a call stands; and whether there are none behind that position.
    async fn last_state(&self, id: &CallId, position: u64) -> Result<(Option<NewsEntry>, bool), StoreError> {
        let (mut after, mut last) = (0, None);
        loop {
            let page = self.registry.0.store.news(after, Some(id), PAGE).await?;
            let states = page.entries.into_iter().filter(|entry| entry.item.kind.is_state() && entry.position <= position);
            last = states.last().or(last);
            if !page.more {
                return Ok((last, page.until <= position));
            }
            after = page.until;
        }
    }

    /// From an event on.
    async fn resume(&mut self, last: &str) -> Result<Behind, StoreError> {
        let stated = bulletin::position_of(last);
        let page = self.registry.0.store.news(stated.unwrap_or_default(), self.scope.as_ref(), PAGE).await?;
        let (gap, cursor) = match stated {
            // Never given out, or by a store that came later: nobody knows what is missing.
            None => (true, page.newest),
            Some(position) if position > page.newest => (true, page.newest),
            Some(position) => (position < page.gone, position.max(page.gone)),
        };
        if gap {
            self.ready.push_back(Said::Gap(bulletin::gap(last, self.registry.0.clock.now())));
            if let Some(id) = self.scope.clone()
                && page.entries.is_empty()
            {
                self.ready.extend(self.standing(&id).await?.map(Said::News));
            }
        }
        Ok(Behind { entries: VecDeque::new(), cursor, more: true, seated: None })
    }

    /// What it hears next; `None` when there is no more to hear, or the service is about to stop.
    pub async fn next(&mut self) -> Option<Said> {
        let lifecycle = self.registry.0.lifecycle.clone();
        loop {
            if let Some(said) = self.ready.pop_front() {
                if let Some(said) = self.wanted(said) {
                    return Some(said);
                }
                continue;
            }
            if lifecycle.is_soft_stopped() {
                return None;
            }
            match &mut self.state {
                State::Over => return None,
                State::Live(seated) => tokio::select! {
                    bulletin = seated.receiver.recv() => {
                        let Some(bulletin) = bulletin else { return Some(self.slow()) };
                        let is_known = bulletin.position.is_some_and(|position| position <= seated.known);
                        self.ready.extend((!is_known).then_some(Said::News(bulletin)));
                    }
                    () = lifecycle.soft_stopped() => return None,
                },
                State::Behind(_) => {
                    // Boxed: most readers never do this again, and would carry the room for it.
                    if let Err(error) = Box::pin(self.read_on()).await {
                        warn!(%error, "A stream ended: the log of news can't be read");
                        return Some(self.over("store_unavailable", "The store can't be reached right now. Come back with Last-Event-ID."));
                    }
                }
            }
        }
    }

    /// If it is to be said, it is; what ends the stream ends it, wanted or not.
    fn wanted(&mut self, said: Said) -> Option<Said> {
        let Said::News(bulletin) = &said else { return Some(said) };
        let is_wanted = self.filter.wants(bulletin);
        if Filter::ends(bulletin.kind, self.close_when_done, self.scope.is_some()) {
            self.state = State::Over;
            self.ready.clear();
        }
        is_wanted.then_some(said)
    }

    /// Will it hear nothing more, because nothing more will come?
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    fn slow(&mut self) -> Said {
        self.over("too_slow", "Events came faster than they were taken. Come back with Last-Event-ID.")
    }

    fn over(&mut self, reason: &'static str, message: &'static str) -> Said {
        self.state = State::Over;
        Said::Dropped(bulletin::dropped(reason, message, self.registry.0.clock.now()))
    }

    /// One step through the log.
    async fn read_on(&mut self) -> Result<(), StoreError> {
        let State::Behind(behind) = &mut self.state else { return Ok(()) };
        if let Some(entry) = behind.entries.pop_front() {
            let bulletin = self.registry.bulletin(&entry).await?;
            self.ready.extend(bulletin.map(Said::News));
            return Ok(());
        }
        if behind.more {
            let page = self.registry.0.store.news(behind.cursor, self.scope.as_ref(), PAGE).await?;
            let end = behind.seated.as_ref().map(|(_, end)| *end);
            behind.entries = page.entries.into_iter().filter(|entry| end.is_none_or(|end| entry.position <= end)).collect();
            behind.cursor = page.until;
            behind.more = page.more && end.is_none_or(|end| page.until < end);
            return Ok(());
        }
        if let Some((seated, _)) = behind.seated.take() {
            self.state = State::Live(seated);
            return Ok(());
        }
        // It has caught up, nearly: it takes its place, and reads what was told meanwhile.
        let (mut seated, end) = self.sit_down().await?;
        if let State::Behind(behind) = &mut self.state {
            // Others may not have been told yet what it has read by itself.
            seated.known = end.max(behind.cursor);
            (behind.seated, behind.more) = (Some((seated, end)), true);
        }
        Ok(())
    }
}

impl Said {
    /// The `type` of the event.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::News(bulletin) => bulletin.kind.as_str(),
            Self::Gap(_) => "stream.gap",
            Self::Dropped(_) => "stream.dropped",
        }
    }

    /// The event's `id`, if it has one: where to go on.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        let Self::News(bulletin) = self else { return None };
        bulletin.position.map(bulletin::id_of)
    }

    /// The event as JSON, on one line.
    #[must_use]
    pub fn json(&self) -> &str {
        match self {
            Self::News(bulletin) => &bulletin.json,
            Self::Gap(json) | Self::Dropped(json) => json,
        }
    }

    /// Was the call done by then?
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Self::News(bulletin) if bulletin.kind == NewsKind::Done)
    }
}
