//! The scripts by which everything is written: what belongs together happens together, or not at all.

use std::fmt;

use redis::{Script, ScriptInvocation};

use super::keys::PREFIX;

const COMMON: &str = include_str!("scripts/common.lua");
/// What scripts about targets and deliveries share, and those that erase calls.
const OUTBOX: &str = include_str!("scripts/outbox.lua");
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
    tell: Script,
    note: Script,
    reseal: Script,
    bury: Script,
    targets: Script,
    target: Script,
    untarget: Script,
    retarget: Script,
    fan_out: Script,
    take: Script,
    mark: Script,
    again: Script,
    give_up: Script,
    forget_deliveries: Script,
    put_documents: Script,
    lease_documents: Script,
    drop_document: Script,
    forget_documents: Script,
    reseal_documents: Script,
    tally: Script,
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
        let outbox = |code: &str| script(&format!("{OUTBOX}\n{code}"));
        let of_documents = |code: &str| script(&format!("{DOCUMENTS}\n{code}"));
        Self {
            channel: format!("{PREFIX}{db}:news"),
            commit: script(include_str!("scripts/commit.lua")),
            due: script(include_str!("scripts/due.lua")),
            lease: script(include_str!("scripts/lease.lua")),
            delete: outbox(include_str!("scripts/delete.lua")),
            purge: outbox(include_str!("scripts/purge.lua")),
            leftovers: script(include_str!("scripts/leftovers.lua")),
            bodies: script(include_str!("scripts/bodies.lua")),
            forget: script(include_str!("scripts/forget.lua")),
            probe: script(include_str!("scripts/probe.lua")),
            tell: script(include_str!("scripts/tell.lua")),
            note: script(include_str!("scripts/note.lua")),
            reseal: script(include_str!("scripts/reseal.lua")),
            bury: script(include_str!("scripts/bury.lua")),
            targets: outbox(include_str!("scripts/targets.lua")),
            target: outbox(include_str!("scripts/target.lua")),
            untarget: outbox(include_str!("scripts/untarget.lua")),
            retarget: outbox(include_str!("scripts/retarget.lua")),
            fan_out: outbox(include_str!("scripts/fan_out.lua")),
            take: outbox(include_str!("scripts/take.lua")),
            mark: outbox(include_str!("scripts/mark.lua")),
            again: outbox(include_str!("scripts/again.lua")),
            give_up: outbox(include_str!("scripts/give_up.lua")),
            forget_deliveries: outbox(include_str!("scripts/forget_deliveries.lua")),
            put_documents: of_documents(include_str!("scripts/put_documents.lua")),
            lease_documents: of_documents(include_str!("scripts/lease_documents.lua")),
            drop_document: of_documents(include_str!("scripts/drop_document.lua")),
            forget_documents: of_documents(include_str!("scripts/forget_documents.lua")),
            reseal_documents: of_documents(include_str!("scripts/reseal_documents.lua")),
            tally: script(include_str!("scripts/tally.lua")),
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

    pub(super) fn targets(&self) -> ScriptInvocation<'_> {
        self.call(&self.targets)
    }

    pub(super) fn target(&self) -> ScriptInvocation<'_> {
        self.call(&self.target)
    }

    pub(super) fn untarget(&self) -> ScriptInvocation<'_> {
        self.call(&self.untarget)
    }

    pub(super) fn retarget(&self) -> ScriptInvocation<'_> {
        self.call(&self.retarget)
    }

    pub(super) fn fan_out(&self) -> ScriptInvocation<'_> {
        self.call(&self.fan_out)
    }

    pub(super) fn take(&self) -> ScriptInvocation<'_> {
        self.call(&self.take)
    }

    pub(super) fn mark(&self) -> ScriptInvocation<'_> {
        self.call(&self.mark)
    }

    pub(super) fn again(&self) -> ScriptInvocation<'_> {
        self.call(&self.again)
    }

    pub(super) fn give_up(&self) -> ScriptInvocation<'_> {
        self.call(&self.give_up)
    }

    pub(super) fn forget_deliveries(&self) -> ScriptInvocation<'_> {
        self.call(&self.forget_deliveries)
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

    pub(super) fn tally(&self) -> ScriptInvocation<'_> {
        self.call(&self.tally)
    }

    pub(super) fn forget(&self) -> ScriptInvocation<'_> {
        self.call(&self.forget)
    }

    pub(super) fn tell(&self) -> ScriptInvocation<'_> {
        self.call(&self.tell)
    }

    pub(super) fn probe(&self) -> ScriptInvocation<'_> {
        self.call(&self.probe)
    }
}

/// A word that nobody said before: by it a script knows that it is asked again.
pub(super) fn token() -> String {
    uuid::Uuid::new_v4().to_string()
}
