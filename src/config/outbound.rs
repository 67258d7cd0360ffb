//! Whom we may tell something: private places, and a Kestra.

use super::{KestraConfig, kestra::kestra, reader::Reader};
use crate::outbound::guard::Allowed;

/// Requests of ours to other people's addresses.
#[derive(Debug, Clone, Default)]
pub struct OutboundConfig {
    /// Private addresses that URLs given over the API may reach.
    pub allowed: Allowed,
    /// The Kestra whose executions are resumed, and whose flow places calls.
    pub kestra: Option<KestraConfig>,
}

impl OutboundConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self { allowed: allowed(reader), kestra: kestra(reader) }
    }
}

fn allowed(reader: &mut Reader<'_>) -> Allowed {
    let entries = reader.list("OUTBOUND_ALLOW");
    Allowed::parse(entries.iter().map(String::as_str)).unwrap_or_else(|place| {
        reader.problem(format!(
            "OUTBOUND_ALLOW: entry {place} must be a host, a *.suffix, an address or a range such as 10.0.0.0/8, each with an optional :port"
        ));
        Allowed::default()
    })
}
