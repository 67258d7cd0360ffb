//! The task that reads the log and hands out what is new.

use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

use super::Streams;
use crate::{lifecycle::Lifecycle, registry::Registry, store::StoreError};

/// Entries read at once.
const PAGE: usize = 500;
/// Where others can write, the log is looked at this often though nobody told us to: a signal may be lost.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// After a failure the log is looked at again this much later.
const PAUSE: Duration = Duration::from_millis(500);

/// Hands out news until `lifecycle` stops it.
pub(in crate::registry) async fn tell(registry: Registry, lifecycle: Lifecycle) {
    let streams = registry.streams().clone();
    let has_others = registry.store().signals().is_some();
    let mut failing = false;
    loop {
        tokio::select! {
            () = streams.hinted() => {}
            () = sleep(LOOK_EVERY), if has_others => {}
            () = lifecycle.soft_stopped() => return,
        }
        let outcome = read_on(&registry, &streams).await;
        if let Err(error) = &outcome {
            if !failing {
                warn!(%error, "The log of news can't be read; those who listen hear nothing until it can");
            }
            streams.hint();
            sleep(PAUSE).await;
        }
        failing = outcome.is_err();
    }
}

/// Hands out everything that is new.
async fn read_on(registry: &Registry, streams: &Streams) -> Result<(), StoreError> {
    while let Some(after) = streams.position() {
        let page = registry.store().news(after, None, PAGE).await?;
        for entry in &page.entries {
            let wanted = streams.is_wanted(entry.call_id.as_ref());
            let mut bulletin = if wanted { registry.bulletin(entry).await? } else { None };
            if wanted && bulletin.is_none() {
                // Its call is gone: there is nothing to say.
                streams.looked_at(entry.position);
            }
            while !streams.send(entry.call_id.as_ref(), entry.position, bulletin.as_ref()) {
                bulletin = registry.bulletin(entry).await?;
                if bulletin.is_none() {
                    streams.looked_at(entry.position);
                }
            }
        }
        streams.looked_at(page.until);
        if !page.more {
            break;
        }
    }
    Ok(())
}
