//! When Vapi last answered, and when it last did not: what an operator wants to know who wonders why nothing is fetched.

use std::sync::{Mutex, PoisonError};

use super::VapiClient;
use crate::call::time::Millis;

/// What came of asking, lately. It is of this process, and begins anew with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contact {
    /// When Vapi last answered, whatever it said but that it failed.
    pub answered_at: Option<Millis>,
    /// When it last gave no whole answer, or a 5xx.
    pub failed_at: Option<Millis>,
    /// The last request failed.
    pub is_failing: bool,
}

impl Contact {
    /// With one more request, which had this status, or no whole answer.
    #[must_use]
    pub fn after(self, status: Option<u16>, now: Millis) -> Self {
        match status {
            Some(..500) => Self { answered_at: Some(now), is_failing: false, ..self },
            _ => Self { failed_at: Some(now), is_failing: true, ..self },
        }
    }
}

/// A contact that several requests change.
#[derive(Debug, Default)]
pub(super) struct Contacts(Mutex<Contact>);

impl Contacts {
    fn last(&self) -> Contact {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, status: Option<u16>, now: Millis) {
        let mut contact = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *contact = contact.after(status, now);
    }
}

impl VapiClient {
    /// When Vapi last answered this client and its clones, and when it last did not.
    #[must_use]
    pub fn contact(&self) -> Contact {
        self.shared.contacts.last()
    }

    /// Notes what came of a request, and tells the observer.
    pub(super) fn asked(&self, operation: &'static str, status: Option<u16>) {
        self.shared.contacts.note(status, self.shared.clock.now());
        self.counted(operation, status);
    }

    /// Tells the observer only: what was asked is not Vapi's REST.
    pub(super) fn counted(&self, operation: &'static str, status: Option<u16>) {
        if let Some(observer) = &self.observer {
            observer(operation, status);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Contact, Millis};

    #[test]
    fn what_answers_is_there_whatever_it_says_and_what_fails_is_not() {
        let mut contact = Contact::default();
        for (at, status, failing) in
            [(1, Some(200), false), (2, None, true), (3, Some(404), false), (4, Some(503), true), (5, Some(429), false)]
        {
            contact = contact.after(status, Millis(at));
            assert_eq!(contact.is_failing, failing, "{status:?}");
        }
        assert_eq!((contact.answered_at, contact.failed_at), (Some(Millis(5)), Some(Millis(4))));
    }
}
