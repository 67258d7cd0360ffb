-- Small things that are kept beside calls: placings, answers, batches, how far something came. Bodies are packed like all blobs.
-- `due`: when there is something to do; `lease_until`: held until then; `expires_at`: as good as gone from then on.
CREATE TABLE documents (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    alias TEXT,
    due INTEGER,
    lease_until INTEGER,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    body BLOB NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT;
CREATE INDEX documents_by_alias ON documents (kind, alias);
CREATE INDEX documents_by_age ON documents (kind, created_at, id);
CREATE INDEX documents_due ON documents (kind, due, id, lease_until, expires_at) WHERE due IS NOT NULL;
CREATE INDEX documents_over ON documents (expires_at) WHERE expires_at IS NOT NULL;
