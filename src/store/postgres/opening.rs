//! Opening the store, and making sure that it is still the one that was opened: its schema may be dropped, or restored from another database, under a
//! running service; then it is opened anew.

use std::sync::{Arc, PoisonError};

use tracing::error;

use super::{
    Ready, Shared,
    condition::State,
    fault::Fault,
    link::Db,
    moving,
    published::Publisher,
    schema,
    writer::{Bells, Writers},
};
use crate::store::Signal;

impl Shared {
    /// The first time, brings the schema up to date and learns what it needs to know; later, makes sure that this still holds. A schema that was
    /// dropped, or restored from another database, is taken as at a start.
    pub(super) async fn prepare(&self, db: &Db) -> Result<(), Fault> {
        let known = self.known();
        if let Some(known) = &known {
            if schema::is_still(db, &known.tombstones).await? {
                return self.keep_keys(db).await;
            }
            error!(
                "Schema ringback was dropped, or restored from another database, under this service; nothing is taken until it is prepared anew"
            );
            self.condition.set(State::Down("its schema was dropped, or restored from another database".to_owned()));
            self.know(None);
            known.writers.close().await;
        }
        // Whoever has the wrong keys changes nothing.
        moving::refuse_strangers(db, self.packer.vault()).await?;
        let tombstones = schema::prepare(db, self.migrate, known.as_ref().map(|known| &known.tombstones)).await?;
        self.note_ring(moving::admit(db, self.packer.vault()).await?);
        let publisher = Arc::new(Publisher::look(db).await?);
        let bells =
            Bells { trouble: Arc::clone(&self.trouble), noted: Arc::clone(&self.noted), unpublished: Arc::clone(&self.unpublished) };
        let writers = Writers::start(&self.link, &publisher, &bells);
        self.know(Some(Ready { tombstones, publisher, writers }));
        if known.is_some() {
            // Whatever anybody remembers may be of the store that was.
            self.tell(Signal::Missed);
        }
        Ok(())
    }

    /// The note of the data keys stays true: what is written from here on is under our first key. A running service is not stopped by a key that it
    /// does not have; what is under that it can't read.
    async fn keep_keys(&self, db: &Db) -> Result<(), Fault> {
        match moving::admit(db, self.packer.vault()).await {
            Ok(ring) => self.note_ring(ring),
            Err(Fault::Unusable(why)) => {
                error!(why, "The store's keys are no longer those of this service: it goes on, and would not start");
                self.note_ring(moving::ring(db).await?);
            }
            Err(fault) => return Err(fault),
        }
        Ok(())
    }

    fn note_ring(&self, ring: Option<Vec<u8>>) {
        *self.ring.lock().unwrap_or_else(PoisonError::into_inner) = ring;
    }
}
