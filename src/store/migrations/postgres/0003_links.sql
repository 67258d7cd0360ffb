-- What is to be told to tables of other programs, `public.providers` (target 0) and `public.interaction_logs` (target 1), one row a call and
-- target. It stays when that is done, so that nothing is told twice. `stage`: 1 the call goes on, 2 its result is complete. `due_at`: the
-- server's time, in milliseconds since 1970, when it is tried next; null: done, or given up.
CREATE TABLE ringback.links (
    call_id text COLLATE "C" NOT NULL,
    target smallint NOT NULL,
    stage smallint NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    due_at bigint,
    PRIMARY KEY (call_id, target)
);
CREATE INDEX links_in_order ON ringback.links (due_at) WHERE due_at IS NOT NULL;
