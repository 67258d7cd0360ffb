//! What a reader wants to hear.

use super::Bulletin;
use crate::{
    call::{
        news::NewsKind,
        view::{metadata_text, status},
    },
    registry::columns::digits,
    store::StoredCall,
};

/// All types of events there are, those of later releases included: who asks for one of them may.
pub const TYPES: [&str; 8] =
    ["call.updated", "call.ended", "call.done", "call.recovered", "call.deleted", "call.transcript", "call.tool", "subscription.disabled"];

/// What a reader wants to hear; an empty list wants everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Types of events.
    pub types: Vec<String>,
    /// Assistants that talked.
    pub assistants: Vec<String>,
    /// Numbers, of customer or provider; only their digits count.
    pub phones: Vec<String>,
    /// How the call turned out.
    pub statuses: Vec<String>,
}

impl Filter {
    /// Is this wanted? Of a call that is erased nobody knows what it was: only who wants all calls hears of it, and of what is about
    /// no call.
    #[must_use]
    pub fn wants(&self, bulletin: &Bulletin) -> bool {
        let typed = self.types.is_empty() || self.types.iter().any(|word| word == bulletin.kind.as_str());
        typed && (self.is_open() || bulletin.call.as_deref().is_some_and(|call| self.fits(call)))
    }

    /// Is every call wanted?
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.assistants.is_empty() && self.phones.is_empty() && self.statuses.is_empty()
    }

    /// Is news of this call wanted, whatever it is?
    #[must_use]
    pub fn fits(&self, call: &StoredCall) -> bool {
        let record = &call.record;
        let any = |wanted: &[String], there: Option<&str>| {
            wanted.is_empty() || there.is_some_and(|there| wanted.iter().any(|wanted| wanted == there))
        };
        any(&self.assistants, record.assistant_id.as_ref().map(|it| it.value.as_str()))
            && any(&self.statuses, Some(status(record)))
            && (self.phones.is_empty() || self.calls_one(call))
    }

    fn calls_one(&self, call: &StoredCall) -> bool {
        let customer = call.record.customer_number.as_ref().and_then(|it| digits(&it.value));
        let provider = metadata_text(&call.record, "providerPhone").as_deref().and_then(digits);
        let wanted: Vec<_> = self.phones.iter().filter_map(|phone| digits(phone)).collect();
        [customer, provider].into_iter().flatten().any(|number| wanted.contains(&number))
    }

    /// Does hearing of this kind end what the reader waits for?
    pub(super) fn ends(kind: NewsKind, close_when_done: bool, of_one_call: bool) -> bool {
        (kind == NewsKind::Done && close_when_done) || (kind == NewsKind::Deleted && of_one_call)
    }
}
