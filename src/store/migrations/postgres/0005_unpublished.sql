-- Results that could not be published when they were stored, for somebody sat on `public.vapi_call_results` or it refused them. `result`: the row
-- to come as JSON, null when it was published since; `report`: the event whose body is its raw payload, null: none. `due_at`: the server's time, in
-- milliseconds since 1970, when it is tried next. A call that is erased takes its note with it.
CREATE TABLE ringback.unpublished (
    call_id text COLLATE "C" PRIMARY KEY REFERENCES ringback.calls (id) ON DELETE CASCADE,
    result text,
    report text,
    tries integer NOT NULL DEFAULT 0,
    due_at bigint NOT NULL
);
CREATE INDEX unpublished_in_order ON ringback.unpublished (due_at);
