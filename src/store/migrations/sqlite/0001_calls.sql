-- Times are milliseconds since 1970. Blobs are zstd frames, unless said otherwise; with a
-- DATA_KEY they are encrypted, and columns that tell about people hold keyed hashes.

-- Odds and ends of the store itself: `tombstone_key` (32 random bytes), `probe`.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What lists filter and sort by. Small rows, so that a list reads few pages.
CREATE TABLE calls (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    version INTEGER NOT NULL,
    fingerprint INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ended_at INTEGER,
    status TEXT NOT NULL,
    call_status TEXT NOT NULL,
    data_status TEXT NOT NULL,
    assistant_id TEXT,
    provider_id TEXT,
    service_request_id TEXT,
    correlation_id TEXT,
    customer_digits TEXT,
    provider_digits TEXT,
    metadata TEXT
) STRICT;
CREATE INDEX calls_by_creation ON calls (created_at);
CREATE INDEX calls_by_update ON calls (updated_at);
CREATE INDEX calls_by_end ON calls (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX calls_by_customer ON calls (customer_digits) WHERE customer_digits IS NOT NULL;
CREATE INDEX calls_by_provider ON calls (provider_digits) WHERE provider_digits IS NOT NULL;

-- All facts of a call as JSON, and the words that `q` looks through.
CREATE TABLE records (
    call INTEGER PRIMARY KEY,
    search BLOB NOT NULL,
    record BLOB NOT NULL
) STRICT;

-- Calls that wait to be fetched. `reason`: 0 enrich, 1 manual, 2 check; the order in which they are taken.
CREATE TABLE dues (
    call INTEGER PRIMARY KEY,
    reason INTEGER NOT NULL,
    at INTEGER NOT NULL,
    lease_until INTEGER
) STRICT;
CREATE INDEX dues_in_order ON dues (reason, at);

-- Everything heard, each event once. `changed` is a list with commas. `app` is the version that could not read it (`folded` is 0).
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    call_id TEXT,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    sent_at INTEGER,
    received_at INTEGER NOT NULL,
    proof TEXT,
    changed TEXT,
    version INTEGER,
    details TEXT,
    folded INTEGER NOT NULL,
    app TEXT,
    length INTEGER NOT NULL,
    has_body INTEGER NOT NULL,
    body BLOB
) STRICT;
CREATE INDEX events_of_call ON events (call_id) WHERE call_id IS NOT NULL;
CREATE INDEX events_by_age ON events (has_body, received_at);
CREATE INDEX events_unfolded ON events (seq) WHERE folded = 0;

-- Deliveries of an event that was there before.
CREATE TABLE repeats (
    n INTEGER PRIMARY KEY,
    event INTEGER NOT NULL,
    sent_at INTEGER,
    received_at INTEGER NOT NULL,
    proof TEXT
) STRICT;
CREATE INDEX repeats_of_event ON repeats (event);

-- Deleted calls, as HMAC-SHA256 of their id (raw bytes).
CREATE TABLE tombstones (
    hash BLOB PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_by_age ON tombstones (at);
