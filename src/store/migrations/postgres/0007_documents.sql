-- Small things that are kept beside calls: placings, answers, batches, how far something came. Bodies are packed like all blobs.
-- `due`: when there is something to do; `lease_until`: held until then; `expires_at`: as good as gone from then on.
-- `written_by` names the last write: by it whoever asks again knows that the first time it was done.
CREATE TABLE ringback.documents (
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    alias text COLLATE "C",
    due bigint,
    lease_until bigint,
    created_at bigint NOT NULL,
    expires_at bigint,
    written_by text NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (kind, id)
);
CREATE INDEX documents_by_alias ON ringback.documents (kind, alias);
CREATE INDEX documents_by_age ON ringback.documents (kind, created_at, id);
CREATE INDEX documents_due ON ringback.documents (kind, due, id) WHERE due IS NOT NULL;
CREATE INDEX documents_over ON ringback.documents (expires_at) WHERE expires_at IS NOT NULL;
