-- What is counted of a call: `marks` is a number that holds words and flags, durations and completions are seconds, costs US dollars.
-- `measured` is the revision it is of: another one than that of the call, if a release wrote the call that knows nothing of this.
ALTER TABLE ringback.calls ADD COLUMN measured bigint;
ALTER TABLE ringback.calls ADD COLUMN marks bigint;
ALTER TABLE ringback.calls ADD COLUMN duration double precision;
ALTER TABLE ringback.calls ADD COLUMN cost double precision;
ALTER TABLE ringback.calls ADD COLUMN completion double precision;
ALTER TABLE ringback.calls ADD COLUMN fetches bigint;
ALTER TABLE ringback.calls ADD COLUMN score double precision;
-- Everything that analytics read, so that they read no rows.
CREATE INDEX calls_measured ON ringback.calls (created_at)
    INCLUDE (assistant_id, provider_id, marks, duration, cost, completion, fetches, score);
CREATE INDEX calls_unmeasured ON ringback.calls (created_at) WHERE measured IS DISTINCT FROM revision;

-- What was seen in an hour (since 1970), counted by each process for itself: `source` names the process.
CREATE TABLE ringback.tallies (
    hour bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (hour, source, name)
);
