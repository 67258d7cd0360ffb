-- Everything of Ringback's own. Times are milliseconds since 1970. Blobs are zstd frames, unless said otherwise; with a
-- DATA_KEY they are encrypted, and columns that tell about people hold keyed hashes.
-- Whoever writes about a call holds its lock first: `pg_advisory_xact_lock` of the first 8 bytes of the hash that its tombstone would have.

-- Odds and ends of the store itself: `tombstone_key` (32 random bytes), `probe`.
CREATE TABLE ringback.meta (
    key text PRIMARY KEY,
    value bytea NOT NULL
);

-- A call: what lists filter and sort by, all its facts as JSON, and the words that `q` looks through.
-- `touched_at` is the server's clock at the last write of any kind; who missed signals asks for it.
CREATE TABLE ringback.calls (
    id text COLLATE "C" PRIMARY KEY,
    revision bigint NOT NULL,
    version bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    touched_at bigint NOT NULL,
    ended_at bigint,
    status text NOT NULL,
    call_status text NOT NULL,
    data_status text NOT NULL,
    assistant_id text,
    provider_id text,
    service_request_id text,
    correlation_id text,
    customer_digits text,
    provider_digits text,
    metadata jsonb,
    search text NOT NULL,
    record bytea NOT NULL
) WITH (fillfactor = 90);
ALTER TABLE ringback.calls ALTER COLUMN record SET STORAGE EXTERNAL;
CREATE INDEX calls_by_creation ON ringback.calls (created_at, id);
CREATE INDEX calls_by_update ON ringback.calls (updated_at, id);
CREATE INDEX calls_by_touch ON ringback.calls (touched_at);
CREATE INDEX calls_by_end ON ringback.calls (ended_at, id) WHERE ended_at IS NOT NULL;
CREATE INDEX calls_by_customer ON ringback.calls (customer_digits, created_at, id) WHERE customer_digits IS NOT NULL;
CREATE INDEX calls_by_provider ON ringback.calls (provider_digits, created_at, id) WHERE provider_digits IS NOT NULL;
CREATE INDEX calls_by_provider_id ON ringback.calls (provider_id) WHERE provider_id IS NOT NULL;
CREATE INDEX calls_by_service_request ON ringback.calls (service_request_id) WHERE service_request_id IS NOT NULL;
CREATE INDEX calls_by_correlation ON ringback.calls (correlation_id) WHERE correlation_id IS NOT NULL;

-- Calls that wait to be fetched. `reason`: 0 enrich, 1 manual, 2 check; the order in which they are taken.
CREATE TABLE ringback.dues (
    call_id text COLLATE "C" PRIMARY KEY,
    reason smallint NOT NULL,
    at bigint NOT NULL,
    lease_until bigint
);
CREATE INDEX dues_in_order ON ringback.dues (reason, at);

-- Everything heard, each event once. `changed` is a list with commas. `app` is the version that could not read it (`folded` is false).
CREATE TABLE ringback.events (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    call_id text COLLATE "C",
    kind text NOT NULL,
    source text NOT NULL,
    sent_at bigint,
    received_at bigint NOT NULL,
    proof text,
    changed text,
    version bigint,
    details text,
    folded boolean NOT NULL,
    app text,
    length bigint NOT NULL,
    body bytea
);
ALTER TABLE ringback.events ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX events_of_call ON ringback.events (call_id) WHERE call_id IS NOT NULL;
CREATE INDEX events_with_body ON ringback.events (received_at) WHERE body IS NOT NULL;
CREATE INDEX events_by_age ON ringback.events USING brin (received_at) WITH (pages_per_range = 16);
CREATE INDEX events_unfolded ON ringback.events (seq) WHERE NOT folded;

-- Deliveries of an event that was there before.
CREATE TABLE ringback.repeats (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event bigint NOT NULL,
    sent_at bigint,
    received_at bigint NOT NULL,
    proof text
);
CREATE INDEX repeats_of_event ON ringback.repeats (event);

-- Deleted calls, as HMAC-SHA256 of their id (raw bytes).
CREATE TABLE ringback.tombstones (
    hash bytea PRIMARY KEY,
    at bigint NOT NULL,
    touched_at bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000)::bigint
);
CREATE INDEX tombstones_by_age ON ringback.tombstones (at);
CREATE INDEX tombstones_by_touch ON ringback.tombstones (touched_at);

-- Long texts are read whole and seldom: where the server can, they are compressed by what costs a commit least.
DO $$
BEGIN
    -- As a text: servers that don't know the words would refuse the whole block before it can catch anything.
    EXECUTE 'ALTER TABLE ringback.calls ALTER COLUMN search SET COMPRESSION lz4';
EXCEPTION
    WHEN feature_not_supported OR syntax_error THEN NULL;
END
$$;
