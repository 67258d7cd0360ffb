//! The scripts by which everything is written: what belongs together happens together, or not at all.

use std::fmt;

use redis::{Script, ScriptInvocation};

use super::keys::PREFIX;

const COMMON: &str = include_str!("scripts/common.lua");
const DOCUMENTS: &str = include_str!("scripts/documents.lua");

/// All scripts, and the channel on which they tell what changed. The server keeps them by their hash, and is given them again when it forgot.
pub(super) struct Scripts {
    pub(super) channel: String,
    commit: Script,
    due: Script,
    lease: Script,
    delete: Script,
    purge: Script,
    leftovers: Script,
    bodies: Script,
    forget: Script,
    probe: Script,
    note: Script,
    reseal: Script,
    bury: Script,
    put_documents: Script,
    lease_documents: Script,
    drop_document: Script,
    forget_documents: Script,
    reseal_documents: Script,
}

impl fmt::Debug for Scripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripts").field("channel", &self.channel).finish_non_exhaustive()
    }
}

impl Scripts {
    /// For the database of this number: channels belong to the whole server.
    pub(super) fn new(db: i64) -> Self {
        let script = |code: &str| Script::new(&format!("{COMMON}\n{code}"));
        let of_documents = |code: &str| script(&format!("{DOCUMENTS}\n{code}"));
        Self {
            channel: format!("{PREFIX}{db}:news"),
            commit: script(include_str!("scripts/commit.lua")),
            due: script(include_str!("scripts/due.lua")),
            lease: script(include_str!("scripts/lease.lua")),
            delete: script(include_str!("scripts/delete.lua")),
            purge: script(include_str!("scripts/purge.lua")),
            leftovers: script(include_str!("scripts/leftovers.lua")),
            bodies: script(include_str!("scripts/bodies.lua")),
            forget: script(include_str!("scripts/forget.lua")),
            probe: script(include_str!("scripts/probe.lua")),
            note: script(include_str!("scripts/note.lua")),
            reseal: script(include_str!("scripts/reseal.lua")),
            bury: script(include_str!("scripts/bury.lua")),
            put_documents: of_documents(include_str!("scripts/put_documents.lua")),
            lease_documents: of_documents(include_str!("scripts/lease_documents.lua")),
            drop_document: of_documents(include_str!("scripts/drop_document.lua")),
            forget_documents: of_documents(include_str!("scripts/forget_documents.lua")),
            reseal_documents: of_documents(include_str!("scripts/reseal_documents.lua")),
        }
    }

    fn call<'a>(&self, script: &'a Script) -> ScriptInvocation<'a> {
        let mut call = script.key(PREFIX);
        call.arg(&self.channel);
        call
    }

    pub(super) fn commit(&self) -> ScriptInvocation<'_> {
        self.call(&self.commit)
    }

    pub(super) fn due(&self) -> ScriptInvocation<'_> {
        self.call(&self.due)
    }

    pub(super) fn lease(&self) -> ScriptInvocation<'_> {
        self.call(&self.lease)
    }

    pub(super) fn delete(&self) -> ScriptInvocation<'_> {
        self.call(&self.delete)
    }

    pub(super) fn purge(&self) -> ScriptInvocation<'_> {
        self.call(&self.purge)
    }

    pub(super) fn leftovers(&self) -> ScriptInvocation<'_> {
        self.call(&self.leftovers)
    }

    pub(super) fn bodies(&self) -> ScriptInvocation<'_> {
        self.call(&self.bodies)
    }

    pub(super) fn note(&self) -> ScriptInvocation<'_> {
        self.call(&self.note)
    }

    pub(super) fn reseal(&self) -> ScriptInvocation<'_> {
        self.call(&self.reseal)
    }

    pub(super) fn bury(&self) -> ScriptInvocation<'_> {
        self.call(&self.bury)
    }

    pub(super) fn put_documents(&self) -> ScriptInvocation<'_> {
        self.call(&self.put_documents)
    }

    pub(super) fn lease_documents(&self) -> ScriptInvocation<'_> {
        self.call(&self.lease_documents)
    }

    pub(super) fn drop_document(&self) -> ScriptInvocation<'_> {
        self.call(&self.drop_document)
    }

    pub(super) fn forget_documents(&self) -> ScriptInvocation<'_> {
        self.call(&self.forget_documents)
    }

    pub(super) fn reseal_documents(&self) -> ScriptInvocation<'_> {
        self.call(&self.reseal_documents)
    }

    pub(super) fn forget(&self) -> ScriptInvocation<'_> {
        self.call(&self.forget)
    }

    pub(super) fn probe(&self) -> ScriptInvocation<'_> {
        self.call(&self.probe)
    }
}

/// A word that nobody said before: by it a script knows that it is asked again.
pub(super) fn token() -> String {
    uuid::Uuid::new_v4().to_string()
}
