-- What was told of calls, in the order of commits; streams go on from there. `about` names a line or a tool call, without any words.
-- Whoever adds an entry holds the lock of the log until the commit, so that nobody sees a later one first.
ALTER TABLE ringback.calls ADD COLUMN news bigint NOT NULL DEFAULT 0;
CREATE TABLE ringback.news (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at bigint NOT NULL,
    call_id text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    kind text NOT NULL,
    about text
);
CREATE INDEX news_of_call ON ringback.news (call_id, n);

-- Up to where entries are gone. Positions begin at the microseconds since 1970: those of an earlier database are less.
CREATE TABLE ringback.news_gone (n bigint NOT NULL);
INSERT INTO ringback.news_gone (n) VALUES ((extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
SELECT setval(pg_get_serial_sequence('ringback.news', 'n'), n) FROM ringback.news_gone;
