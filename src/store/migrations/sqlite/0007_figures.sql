-- What is counted of a call: `marks` is a number that holds words and flags, durations and completions are seconds, costs US dollars.
-- `marks` is null while nothing is counted yet; `measured` is the revision it is of.
ALTER TABLE calls ADD COLUMN measured INTEGER;
ALTER TABLE calls ADD COLUMN marks INTEGER;
ALTER TABLE calls ADD COLUMN duration REAL;
ALTER TABLE calls ADD COLUMN cost REAL;
ALTER TABLE calls ADD COLUMN completion REAL;
ALTER TABLE calls ADD COLUMN fetches INTEGER;
ALTER TABLE calls ADD COLUMN score REAL;
-- Everything that analytics read, so that they read no rows.
CREATE INDEX calls_measured ON calls (created_at, assistant_id, provider_id, marks, duration, cost, completion, fetches, score);
CREATE INDEX calls_unmeasured ON calls (created_at) WHERE marks IS NULL;
-- An earlier release may go on writing here, and knows nothing of this.
CREATE TRIGGER calls_outdated AFTER UPDATE OF revision ON calls WHEN new.measured IS NOT new.revision AND new.marks IS NOT NULL
BEGIN
    UPDATE calls SET marks = NULL WHERE n = new.n;
END;

-- What was seen in an hour (since 1970), counted by each process for itself: `source` names the process.
CREATE TABLE tallies (
    hour INTEGER NOT NULL,
    source TEXT NOT NULL,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (hour, source, name)
) STRICT, WITHOUT ROWID;
