-- Who is to be told: subscriptions (`scope` is null), and whoever waits for one call. Bodies are packed like all blobs.
CREATE TABLE targets (
    id TEXT PRIMARY KEY,
    scope TEXT,
    revision INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX targets_of_scope ON targets (scope);

-- One row: changes of subscriptions counted, and the position in `news` up to which deliveries were made.
CREATE TABLE outbox (generation INTEGER NOT NULL, fanned INTEGER NOT NULL) STRICT;
INSERT INTO outbox (generation, fanned) VALUES (0, 0);

-- Events on their way, one row for each event and target, in the order in which they were made. `scoped`: the target is of one call.
-- `due` is null unless it is pending and its turn: of one target and call one row at a time has it. `held`: leased until then.
-- `attempts` is a JSON array.
CREATE TABLE deliveries (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    scoped INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    call_id TEXT,
    sequence INTEGER,
    at INTEGER NOT NULL,
    about TEXT,
    state TEXT NOT NULL,
    tries INTEGER NOT NULL,
    due INTEGER,
    held INTEGER,
    ready INTEGER AS (ifnull(held, due)) VIRTUAL,
    created_at INTEGER NOT NULL,
    settled_at INTEGER,
    attempts TEXT NOT NULL,
    UNIQUE (target, event_id)
) STRICT;
CREATE INDEX deliveries_ready ON deliveries (target, ready) WHERE due IS NOT NULL;
CREATE INDEX deliveries_ready_of_calls ON deliveries (ready) WHERE scoped = 1 AND due IS NOT NULL;
CREATE INDEX deliveries_turns ON deliveries (target, call_id) WHERE due IS NOT NULL;
CREATE INDEX deliveries_in_line ON deliveries (target, call_id) WHERE state = 'pending';
CREATE INDEX deliveries_of_call ON deliveries (call_id) WHERE call_id IS NOT NULL;
CREATE INDEX deliveries_by_state ON deliveries (state, target);
CREATE INDEX deliveries_settled ON deliveries (settled_at) WHERE settled_at IS NOT NULL;
