//! How the work on a batch ends.

use tracing::{debug, info};

use super::{
    LEASE, Parts,
    shift::{Shift, Stop},
};
use crate::{batch::letter, call::time::Millis, dial::promise::before, store::DocumentKind};

impl Shift {
    /// Everything is done: that is noted first, then told, then what is not needed any more goes. Until all of that happened the batch is due.
    pub(super) async fn finish(&mut self) -> Result<(), Stop> {
        let (id, now) = (self.batch.document.id.clone(), self.batches.now());
        let finished_at = *self.batch.says.finished_at.get_or_insert(now);
        self.save(Some(now.plus(LEASE))).await?;
        self.batches.wake(&id, self.batch.document.revision).await;
        let Parts { registry, push, keep_ms, .. } = self.batches.parts();
        if self.batch.says.called_back {
            push.tell_scope(&id, letter::event(&id, finished_at)).await?;
        }
        registry.store().drop_document(DocumentKind::Orders, &id).await?;
        let ends: Option<Millis> = keep_ms.map(|keep| finished_at.plus(keep));
        self.batch.document.expires_at = ends;
        let due = ends.filter(|_| self.batch.says.called_back).map(before);
        self.save(due).await?;
        info!(batch_id = id, calls = self.batch.says.entries.len(), canceled = self.batch.says.canceled, "A batch is done");
        Ok(())
    }

    /// Its time is nearly over: nobody is told of it any more.
    pub(super) async fn release(&mut self) -> Result<(), Stop> {
        self.batches.parts().push.call_off(&self.batch.document.id).await?;
        self.save(None).await
    }

    /// The service stops: another instance, or this one when it is back, goes on at once.
    pub(super) async fn hand_over(&mut self) -> Result<(), Stop> {
        debug!(batch_id = self.batch.document.id, "A batch is handed over");
        self.save(Some(self.batches.now())).await
    }
}
