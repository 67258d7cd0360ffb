-- Who is to be told: subscriptions (`scope` is null), and whoever waits for one call. Bodies are packed like all blobs.
CREATE TABLE ringback.targets (
    id text COLLATE "C" PRIMARY KEY,
    scope text COLLATE "C",
    revision bigint NOT NULL,
    body bytea NOT NULL
);
CREATE INDEX targets_of_scope ON ringback.targets (scope);

-- One row: changes of subscriptions counted, and the position in `news` up to which deliveries were made.
CREATE TABLE ringback.outbox (generation bigint NOT NULL, fanned bigint NOT NULL);
INSERT INTO ringback.outbox (generation, fanned) VALUES (0, 0);

-- Events on their way, one row for each event and target, in the order in which they were made. `scoped`: the target is of one call.
-- `due` is null unless it is pending and its turn: of one target and call one row at a time has it. `held`: leased until then.
-- Whoever makes deliveries, makes them pending again or drops those of a call or target holds the lock of the outbox exclusively; whoever
-- notes what came of tries shares it. So nobody gives a turn without seeing all who wait for it.
CREATE TABLE ringback.deliveries (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target text COLLATE "C" NOT NULL,
    scoped boolean NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    call_id text COLLATE "C",
    sequence bigint,
    at bigint NOT NULL,
    about text,
    state text NOT NULL DEFAULT 'pending',
    tries bigint NOT NULL DEFAULT 0,
    due bigint,
    held bigint,
    ready bigint GENERATED ALWAYS AS (coalesce(held, due)) STORED,
    created_at bigint NOT NULL,
    settled_at bigint,
    attempts text NOT NULL DEFAULT '[]',
    UNIQUE (target, event_id)
);
CREATE INDEX deliveries_ready ON ringback.deliveries (target, ready, n) WHERE due IS NOT NULL;
CREATE INDEX deliveries_ready_of_calls ON ringback.deliveries (ready, n) WHERE scoped AND due IS NOT NULL;
CREATE INDEX deliveries_turns ON ringback.deliveries (target, call_id) WHERE due IS NOT NULL;
CREATE INDEX deliveries_in_line ON ringback.deliveries (target, call_id, n) WHERE state = 'pending';
CREATE INDEX deliveries_of_call ON ringback.deliveries (call_id, n) WHERE call_id IS NOT NULL;
CREATE INDEX deliveries_by_state ON ringback.deliveries (state, target, n);
CREATE INDEX deliveries_settled ON ringback.deliveries (settled_at) WHERE settled_at IS NOT NULL;
