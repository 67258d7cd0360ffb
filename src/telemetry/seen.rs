//! What analytics tell besides what calls tell: webhooks let in and refused, and how long commits took. Counted since the process began; who
//! wants it kept writes it down from time to time.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// The least time that is told apart, in milliseconds.
const LEAST: f64 = 0.05;
/// Steps in which times double: a time is known to within a tenth.
const STEPS: f64 = 4.0;
/// The last step: 52 s and more.
const LAST: u8 = 80;
const REJECTED: &str = "rejected:";
const COMMIT: &str = "commit:";

/// Something that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// A webhook was let in.
    Received,
    /// A webhook was refused, for this reason.
    Rejected(&'static str),
    /// The store committed, in a time of this step.
    Committed(u8),
}

impl Seen {
    /// A commit that took so long.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
    pub(super) fn committed(took: Duration) -> Self {
        let steps = (took.as_secs_f64() * 1e3 / LEAST).log2() * STEPS;
        Self::Committed(steps.ceil().clamp(0.0, f64::from(LAST)) as u8)
    }

    /// Its name, as it is kept.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Received => "received".to_owned(),
            Self::Rejected(reason) => format!("{REJECTED}{reason}"),
            Self::Committed(step) => format!("{COMMIT}{step}"),
        }
    }
}

/// What a name of [`Seen::name`] says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Named<'a> {
    /// A webhook was let in.
    Received,
    /// A webhook was refused, for this reason.
    Rejected(&'a str),
    /// The store committed in about so many milliseconds.
    Committed(f64),
}

impl<'a> Named<'a> {
    /// Reads a name; `None` when only another release knows it.
    #[must_use]
    pub fn read(name: &'a str) -> Option<Self> {
        match name {
            "received" => Some(Self::Received),
            name if name.starts_with(REJECTED) => name.strip_prefix(REJECTED).map(Self::Rejected),
            name => {
                let step: u8 = name.strip_prefix(COMMIT)?.parse().ok()?;
                // The middle of the step, as times double.
                Some(Self::Committed(LEAST * ((f64::from(step) - 0.5) / STEPS).exp2()))
            }
        }
    }
}

/// How often each was seen since the process began.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<BTreeMap<Seen, u64>>);

impl Counts {
    pub(super) fn count(&self, seen: Seen) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(seen).or_default() += 1;
    }

    pub(super) fn all(&self) -> BTreeMap<Seen, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::{prop_assert, proptest};

    use super::{Named, Seen};

    proptest! {
        #[test]
        fn a_time_is_known_to_within_a_tenth(micros in 60_u64..40_000_000) {
            let Some(Named::Committed(told)) = Named::read(&Seen::committed(Duration::from_micros(micros)).name()) else { panic!("a time") };
            let took = Duration::from_micros(micros).as_secs_f64() * 1e3;
            prop_assert!((told / took - 1.0).abs() < 0.1, "{told} for {took}");
        }
    }

    #[test]
    fn names_are_read_as_they_were_written() {
        assert_eq!(Named::read(&Seen::Received.name()), Some(Named::Received));
        assert_eq!(Named::read(&Seen::Rejected("stale").name()), Some(Named::Rejected("stale")));
        assert_eq!(Named::read("of a later release"), None);
        for took in [Duration::ZERO, Duration::from_hours(1)] {
            assert!(matches!(Named::read(&Seen::committed(took).name()), Some(Named::Committed(_))), "{took:?}");
        }
    }
}
