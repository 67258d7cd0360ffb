//! Documents.

use redis::{FromRedisValue, cmd, pipe};

use super::{
    PURGE_STEP, RedisStore,
    fault::Fault,
    keys::{WIDTH, key, moment},
    link::{Kind, Lines},
    scripts::{Scripts, token},
};
use crate::{
    call::{id::CallId, time::Millis},
    store::{
        Document, DocumentKind, DocumentPage, DocumentWrite, StoreError,
        document::{are_apart, readable, sealed},
        moving::{ResealStage, Resealed},
        pack::Packer,
        steps::Steps,
        vault::Place,
    },
};

/// More than this at once is the same as everything, and a number that the scripts can count to.
const MOST: usize = 1_000_000;
/// Documents that are looked through at once for those that are wanted.
const STEP: usize = 200;
/// What is read of a document.
const FIELDS: [&str; 6] = ["revision", "alias", "due", "created", "expires", "body"];

/// [`FIELDS`], nothing when there is no document.
type Fields = (Option<u64>, Option<String>, Option<String>, Option<i64>, Option<String>, Option<Vec<u8>>);

fn document_key(kind: DocumentKind, id: &str) -> String {
    key(&format!("doc:{}:{id}", kind.as_str()))
}

fn place(kind: DocumentKind, name: &str) -> String {
    key(&format!("docs:{name}:{}", kind.as_str()))
}

/// A document, if there is one.
fn read(kind: DocumentKind, id: String, fields: Fields) -> Option<Document> {
    let (Some(revision), alias, due, Some(created_at), expires_at, Some(body)) = fields else { return None };
    let at = |text: Option<String>| text.and_then(|text| text.parse().ok()).map(Millis);
    let alias = alias.filter(|alias| !alias.is_empty());
    Some(Document { kind, id, revision, alias, due: at(due), created_at: Millis(created_at), expires_at: at(expires_at), body })
}

async fn of_id(lines: &Lines, kind: DocumentKind, id: &str, now: Millis) -> Result<Option<Document>, Fault> {
    let fields = lines.one(Kind::Lookup, cmd("HMGET").arg(document_key(kind, id)).arg(&FIELDS[..])).await?;
    Ok(read(kind, id.to_owned(), fields).filter(|document| !document.is_over(now)))
}

/// By its id if there is one of that, else by its alias.
async fn find(lines: &Lines, kind: DocumentKind, name: &str, now: Millis) -> Result<Option<Document>, Fault> {
    if let Some(document) = of_id(lines, kind, name, now).await? {
        return Ok(Some(document));
    }
    let id = lines.one(Kind::Lookup, cmd("HGET").arg(place(kind, "aliases")).arg(name)).await?;
    let Some(id): Option<String> = id else { return Ok(None) };
    // It may have given its alias to another meanwhile.
    Ok(of_id(lines, kind, &id, now).await?.filter(|document| document.alias.as_deref() == Some(name)))
}

/// A moment, or nothing, as the scripts take it.
fn maybe(at: Option<Millis>) -> String {
    at.map(|at| at.0.to_string()).unwrap_or_default()
}

async fn put(lines: &Lines, scripts: &Scripts, writes: &[DocumentWrite], now: Millis) -> Result<bool, Fault> {
    let mut call = scripts.put_documents();
    call.arg(token()).arg(now.0).arg(writes.len());
    for DocumentWrite { document: it, expected } in writes {
        call.arg(it.kind.as_str()).arg(&it.id).arg(expected.map(|revision| revision.to_string()).unwrap_or_default()).arg(it.revision);
        call.arg(it.alias.as_deref().unwrap_or_default()).arg(maybe(it.due)).arg(it.created_at.0).arg(moment(it.created_at));
        call.arg(maybe(it.expires_at)).arg(&it.body[..]);
    }
    let done: Vec<u8> = lines.run(Kind::Lookup, &call).await?;
    Ok(done == [1])
}

async fn drop_one(lines: &Lines, scripts: &Scripts, kind: DocumentKind, id: &str) -> Result<bool, Fault> {
    let mut call = scripts.drop_document();
    call.arg(token()).arg(kind.as_str()).arg(id);
    let known: Vec<u8> = lines.run(Kind::Lookup, &call).await?;
    Ok(known == [1])
}

/// What is asked of the documents with these ids, of each one the same.
async fn of_all<T: FromRedisValue>(lines: &Lines, kind: DocumentKind, ids: &[&str], fields: &[&str]) -> Result<Vec<T>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut words = pipe();
    for id in ids {
        words.cmd("HMGET").arg(document_key(kind, id)).arg(fields);
    }
    lines.all(Kind::Lookup, &words).await
}

/// The id in a member of the list of all.
fn id_of(member: &str) -> Result<&str, Fault> {
    member.get(WIDTH..).ok_or_else(|| Fault::Refused("a list of documents is broken".to_owned()))
}

async fn page(
    lines: &Lines,
    kind: DocumentKind,
    after: Option<(Millis, String)>,
    (limit, now): (usize, Millis),
) -> Result<Vec<Document>, Fault> {
    let all = &place(kind, "all");
    let mut from = after.map_or_else(|| "+".to_owned(), |(at, id)| format!("({}{id}", moment(at)));
    let mut found = Vec::new();
    while found.len() < limit {
        let step = STEP.min(limit);
        let mut range = cmd("ZREVRANGEBYLEX");
        range.arg(all).arg(&from).arg("-").arg("LIMIT").arg(0).arg(step);
        let members: Vec<String> = lines.one(Kind::Lookup, &range).await?;
        let ids = members.iter().map(|member| id_of(member)).collect::<Result<Vec<_>, Fault>>()?;
        let rows: Vec<Fields> = of_all(lines, kind, &ids, &FIELDS).await?;
        let documents = ids.iter().zip(rows).filter_map(|(id, fields)| read(kind, (*id).to_owned(), fields));
        found.extend(documents.filter(|document| !document.is_over(now)));
        match members.last() {
            Some(last) if members.len() == step => from = format!("({last}"),
            _ => break,
        }
    }
    found.truncate(limit);
    Ok(found)
}

async fn lease(
    lines: &Lines,
    scripts: &Scripts,
    kind: DocumentKind,
    (now, until, limit): (Millis, Millis, usize),
) -> Result<Vec<Document>, Fault> {
    let mut call = scripts.lease_documents();
    call.arg(token()).arg(kind.as_str()).arg(now.0).arg(until.0).arg(limit.min(MOST)).arg(&FIELDS[..]);
    let rows: Vec<(String, Fields)> = lines.run(Kind::Lookup, &call).await?;
    Ok(rows.into_iter().filter_map(|(id, fields)| read(kind, id, fields)).collect())
}

async fn next(lines: &Lines, kind: DocumentKind) -> Result<Option<Millis>, Fault> {
    let mut words = pipe();
    for name in ["due", "leased"] {
        words.cmd("ZRANGE").arg(place(kind, name)).arg(0).arg(0).arg("WITHSCORES");
    }
    let firsts: Vec<Vec<(String, i64)>> = lines.all(Kind::Lookup, &words).await?;
    Ok(firsts.into_iter().flatten().map(|(_, at)| Millis(at)).min())
}

async fn forget(lines: &Lines, scripts: &Scripts, now: Millis, limit: usize) -> Result<usize, Fault> {
    let mut call = scripts.forget_documents();
    call.arg(now.0).arg(limit);
    lines.run(Kind::Scan, &call).await
}

/// Members of the list of all of a kind behind one of them, and of which kind they are: of the first kind from this one on that has any.
async fn members_from(lines: &Lines, (kind, member): (&str, &str), limit: usize) -> Result<Option<(DocumentKind, Vec<String>)>, Fault> {
    let first = DocumentKind::ALL.iter().position(|it| it.as_str() == kind).unwrap_or_default();
    let mut from = if member.is_empty() { "-".to_owned() } else { format!("({member}") };
    for kind in &DocumentKind::ALL[first..] {
        let mut range = cmd("ZRANGEBYLEX");
        range.arg(place(*kind, "all")).arg(&from).arg("+").arg("LIMIT").arg(0).arg(limit.min(MOST));
        let members: Vec<String> = lines.one(Kind::Scan, &range).await?;
        if !members.is_empty() {
            return Ok(Some((*kind, members)));
        }
        "-".clone_into(&mut from);
    }
    Ok(None)
}

/// Encrypts documents with the newest key, at most `limit` behind a place in the list of their kind.
pub(super) async fn reseal(
    lines: &Lines,
    scripts: &Scripts,
    (after, limit): ((&str, &str), usize),
    packer: &Packer,
) -> Result<Resealed, Fault> {
    let Some((kind, members)) = members_from(lines, after, limit).await? else { return Ok(Resealed::default()) };
    let ids = members.iter().map(|member| id_of(member)).collect::<Result<Vec<_>, Fault>>()?;
    let rows: Vec<(Option<String>, Option<Vec<u8>>)> = of_all(lines, kind, &ids, &["revision", "body"]).await?;
    let (mut call, mut written, kind) = (scripts.reseal_documents(), 0, kind.as_str());
    for (id, row) in ids.iter().zip(rows) {
        let (Some(revision), Some(body)) = row else { continue };
        if let Some(body) = packer.reseal(Place::Document(kind, id), &body)? {
            call.arg(kind).arg(*id).arg(revision).arg(body);
            written += 1;
        }
    }
    if written > 0 {
        let _: usize = lines.run(Kind::Scan, &call).await?;
    }
    Ok(Resealed {
        seen: members.len(),
        written,
        next: members.last().map(|last| ResealStage::Documents(kind.to_owned(), last.clone()).to_string()),
    })
}

impl RedisStore {
    pub(in crate::store) async fn document(&self, kind: DocumentKind, id: &str, now: Millis) -> Result<Option<Document>, StoreError> {
        let found = find(self.lines()?, kind, id, now).await?;
        found.map(|document| document.opened(&self.shared.packer)).transpose()
    }

    pub(in crate::store) async fn put_documents(&self, writes: Vec<DocumentWrite>, now: Millis) -> Result<bool, StoreError> {
        let lines = self.lines()?;
        let is_sound = are_apart(&writes);
        let writes = sealed(writes, &self.shared.packer)?;
        Ok(is_sound && put(lines, &self.shared.scripts, &writes, now).await?)
    }

    pub(in crate::store) async fn drop_document(&self, kind: DocumentKind, id: &str) -> Result<bool, StoreError> {
        Ok(drop_one(self.lines()?, &self.shared.scripts, kind, id).await?)
    }

    pub(in crate::store) async fn documents(
        &self,
        kind: DocumentKind,
        after: Option<(Millis, String)>,
        limit: usize,
        now: Millis,
    ) -> Result<DocumentPage, StoreError> {
        let found = page(self.lines()?, kind, after, (limit.saturating_add(1), now)).await?;
        Ok(DocumentPage::of(found.into_iter().map(|it| it.opened(&self.shared.packer)).collect::<Result<_, _>>()?, limit))
    }

    pub(in crate::store) async fn lease_documents(
        &self,
        kind: DocumentKind,
        now: Millis,
        until: Millis,
        limit: usize,
    ) -> Result<Vec<Document>, StoreError> {
        let taken = lease(self.lines()?, &self.shared.scripts, kind, (now, until, limit)).await?;
        Ok(readable(taken, &self.shared.packer))
    }

    pub(in crate::store) async fn next_document(&self, kind: DocumentKind) -> Result<Option<Millis>, StoreError> {
        Ok(next(self.lines()?, kind).await?)
    }

    pub(in crate::store) async fn tell(&self, id: &CallId, revision: u64) -> Result<(), StoreError> {
        let mut call = self.shared.scripts.tell();
        call.arg(format!("{id} {revision}"));
        let told: Result<i64, Fault> = self.lines()?.run(Kind::Lookup, &call).await;
        Ok(told.map(drop)?)
    }

    pub(in crate::store) async fn forget_documents(&self, now: Millis, limit: usize) -> Result<usize, StoreError> {
        let lines = self.lines()?;
        let mut steps = Steps::of(limit, PURGE_STEP);
        while let Some(step) = steps.next() {
            steps.took(forget(lines, &self.shared.scripts, now, step).await?);
        }
        Ok(steps.taken())
    }
}
