//! Documents, in memory.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ops::Bound,
};

use super::MemoryStore;
use crate::{
    call::{id::CallId, time::Millis},
    store::{Document, DocumentKind, DocumentPage, DocumentWrite, StoreError, document::are_apart},
};

/// A document, and until when somebody holds it.
#[derive(Debug)]
struct Row {
    document: Document,
    held: Option<Millis>,
}

/// The documents of one kind: by id, and their ids by alias, and in the orders in which they are looked for.
#[derive(Debug, Default)]
struct Stack {
    rows: HashMap<String, Row>,
    aliases: HashMap<String, String>,
    by_age: BTreeSet<(Millis, String)>,
    /// Those that are due and free, by when they fell due.
    free: BTreeSet<(Millis, String)>,
    /// Those that are held, by the end of the lease.
    held: BTreeSet<(Millis, String)>,
    ends: BTreeSet<(Millis, String)>,
}

/// The first ones of an order, up to a moment.
fn until(order: &BTreeSet<(Millis, String)>, at: Millis) -> impl Iterator<Item = &String> {
    order.iter().take_while(move |entry| entry.0 <= at).map(|entry| &entry.1)
}

impl Stack {
    /// The document of this id, unless its time is over.
    fn live(&self, id: &str, now: Millis) -> Option<&Document> {
        self.rows.get(id).map(|row| &row.document).filter(|document| !document.is_over(now))
    }

    fn live_alias(&self, alias: &str, now: Millis) -> Option<&Document> {
        self.aliases.get(alias).and_then(|id| self.live(id, now))
    }

    fn remove(&mut self, id: &str) -> bool {
        let Some((id, Row { document, held })) = self.rows.remove_entry(id) else { return false };
        if let Some(alias) = document.alias.filter(|alias| self.aliases.get(alias) == Some(&id)) {
            self.aliases.remove(&alias);
        }
        let mut place = (document.created_at, id);
        self.by_age.remove(&place);
        for (order, at) in [(&mut self.free, document.due), (&mut self.held, held), (&mut self.ends, document.expires_at)] {
            if let Some(at) = at {
                place.0 = at;
                order.remove(&place);
            }
        }
        true
    }

    fn add(&mut self, document: Document) {
        let id = &document.id;
        if let Some(alias) = &document.alias {
            self.aliases.insert(alias.clone(), id.clone());
        }
        self.by_age.insert((document.created_at, id.clone()));
        self.free.extend(document.due.map(|at| (at, id.clone())));
        self.ends.extend(document.expires_at.map(|at| (at, id.clone())));
        self.rows.insert(id.clone(), Row { document, held: None });
    }

    fn page(&self, after: Option<(Millis, String)>, limit: usize, now: Millis) -> DocumentPage {
        let older = self.by_age.range((Bound::Unbounded, after.map_or(Bound::Unbounded, Bound::Excluded))).rev();
        let found = older.filter_map(|(_, id)| self.live(id, now)).take(limit.saturating_add(1)).cloned().collect();
        DocumentPage::of(found, limit)
    }

    /// Ends the leases that ran out.
    fn release(&mut self, now: Millis) {
        let ended: Vec<String> = until(&self.held, now).cloned().collect();
        for id in ended {
            let Some(row) = self.rows.get_mut(&id) else { continue };
            if let Some(until) = row.held.take() {
                self.held.remove(&(until, id.clone()));
            }
            self.free.extend(row.document.due.map(|at| (at, id)));
        }
    }

    fn lease(&mut self, now: Millis, until: Millis, limit: usize) -> Vec<Document> {
        self.release(now);
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some((at, id)) = self.free.first().filter(|place| place.0 <= now).cloned()
        {
            self.free.remove(&(at, id.clone()));
            // One whose time is over is not due any more.
            if let Some(row) = self.rows.get_mut(&id).filter(|row| !row.document.is_over(now)) {
                row.held = Some(until);
                taken.push(row.document.clone());
                self.held.insert((until, id));
            }
        }
        taken
    }

    fn forget(&mut self, now: Millis, limit: usize) -> usize {
        let gone: Vec<String> = until(&self.ends, now).take(limit).cloned().collect();
        gone.iter().filter(|id| self.remove(id)).count()
    }
}

/// All documents.
#[derive(Debug, Default)]
pub(super) struct Documents(HashMap<DocumentKind, Stack>);

impl Documents {
    fn stack(&mut self, kind: DocumentKind) -> &mut Stack {
        self.0.entry(kind).or_default()
    }

    fn find(&self, kind: DocumentKind, id: &str, now: Millis) -> Option<&Document> {
        let stack = self.0.get(&kind)?;
        stack.live(id, now).or_else(|| stack.live_alias(id, now))
    }

    fn put(&mut self, writes: Vec<DocumentWrite>, now: Millis) -> bool {
        let written: HashSet<(DocumentKind, &str)> = writes.iter().map(|it| (it.document.kind, it.document.id.as_str())).collect();
        let may_be_written = |DocumentWrite { document, expected }: &DocumentWrite| {
            let Some(stack) = self.0.get(&document.kind) else { return expected.is_none() };
            let holder = document.alias.as_ref().and_then(|alias| stack.live_alias(alias, now));
            stack.live(&document.id, now).map(|it| it.revision) == *expected
                && holder.is_none_or(|it| written.contains(&(it.kind, it.id.as_str())))
        };
        if !are_apart(&writes) || !writes.iter().all(may_be_written) {
            return false;
        }
        for DocumentWrite { document, .. } in &writes {
            self.stack(document.kind).remove(&document.id);
        }
        for DocumentWrite { document, .. } in writes {
            self.stack(document.kind).add(document);
        }
        true
    }

    fn forget(&mut self, now: Millis, limit: usize) -> usize {
        self.0.values_mut().fold(0, |gone, stack| gone + stack.forget(now, limit - gone))
    }
}

#[expect(clippy::unused_async, reason = "the verbs have the same shape on every engine")]
impl MemoryStore {
    pub(in crate::store) async fn document(&self, kind: DocumentKind, id: &str, now: Millis) -> Result<Option<Document>, StoreError> {
        Ok(self.open()?.documents.find(kind, id, now).cloned())
    }

    pub(in crate::store) async fn put_documents(&self, writes: Vec<DocumentWrite>, now: Millis) -> Result<bool, StoreError> {
        Ok(self.open()?.documents.put(writes, now))
    }

    pub(in crate::store) async fn drop_document(&self, kind: DocumentKind, id: &str) -> Result<bool, StoreError> {
        Ok(self.open()?.documents.stack(kind).remove(id))
    }

    pub(in crate::store) async fn documents(
        &self,
        kind: DocumentKind,
        after: Option<(Millis, String)>,
        limit: usize,
        now: Millis,
    ) -> Result<DocumentPage, StoreError> {
        Ok(self.open()?.documents.stack(kind).page(after, limit, now))
    }

    pub(in crate::store) async fn lease_documents(
        &self,
        kind: DocumentKind,
        now: Millis,
        until: Millis,
        limit: usize,
    ) -> Result<Vec<Document>, StoreError> {
        Ok(self.open()?.documents.stack(kind).lease(now, until, limit))
    }

    pub(in crate::store) async fn next_document(&self, kind: DocumentKind) -> Result<Option<Millis>, StoreError> {
        let mut state = self.open()?;
        let stack = state.documents.stack(kind);
        Ok([&stack.free, &stack.held].into_iter().filter_map(|order| order.first()).map(|place| place.0).min())
    }

    pub(in crate::store) async fn tell(&self, _id: &CallId, _revision: u64) -> Result<(), StoreError> {
        Ok(())
    }

    pub(in crate::store) async fn forget_documents(&self, now: Millis, limit: usize) -> Result<usize, StoreError> {
        Ok(self.open()?.documents.forget(now, limit))
    }
}
