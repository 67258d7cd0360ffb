//! A fake Vapi and a client for it.

use std::{num::NonZeroU32, time::Duration};

use ringback::{
    call::{id::CallId, time::Millis},
    clock::Clock,
    simulate::{FakeVapi, Options},
    vapi::client::{Settings, VapiClient},
};
use secrecy::SecretString;

/// 2026-09-26T11:18:02.411Z, when every story begins.
pub(crate) const START: Millis = Millis(1_790_421_482_411);
/// The call that most stories are about.
pub(crate) const CALL: &str = "01a0dd70-1c2b-7adb-95b3-91030e25a826";

/// A fake Vapi that plays a thousand times faster than life, at a clock that stands still.
pub(crate) fn quick() -> Options {
    Options { pace: 0.001, clock: Clock::manual(START), ..Options::default() }
}

/// A running fake Vapi.
pub(crate) async fn fake_vapi() -> FakeVapi {
    FakeVapi::start(quick()).await.expect("a free port")
}

/// What a client of this Vapi needs, with no limit to speak of and little patience.
pub(crate) fn settings(url: &str, key: &str) -> Settings {
    let many = NonZeroU32::new(10_000).expect("not zero");
    Settings { requests_per_second: many, timeout: Duration::from_millis(500), ..Settings::new(url, SecretString::from(key)) }
}

/// A client of this Vapi.
pub(crate) fn client_of(vapi: &FakeVapi) -> VapiClient {
    VapiClient::new(&settings(vapi.url(), vapi.key()), Clock::manual(START)).expect("a usable address and key")
}

/// A call id.
pub(crate) fn id(text: &str) -> CallId {
    CallId::parse(text).expect("a call id")
}
