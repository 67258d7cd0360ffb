-- What `q` reads before it looks at texts. Calls are in blocks of 1024 by their number; `slices` tells how many slices a block has (those without
-- any bit are left out), each a bit for every call. `live` is 0 while a block is being made, or is on its way out; `stale` counts calls of it that
-- are gone. `sieved` is the revision of the call that stands there.
ALTER TABLE calls ADD COLUMN sieved INTEGER;
CREATE INDEX calls_unsieved ON calls (n) WHERE sieved IS NOT revision;
CREATE TABLE sieve_blocks (
    build INTEGER PRIMARY KEY AUTOINCREMENT,
    block INTEGER NOT NULL,
    slices INTEGER NOT NULL,
    live INTEGER NOT NULL,
    stale INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX sieve_blocks_live ON sieve_blocks (live, block, build, slices, stale);
CREATE TABLE sieve (
    build INTEGER NOT NULL,
    slice INTEGER NOT NULL,
    calls BLOB NOT NULL,
    PRIMARY KEY (build, slice)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER calls_gone AFTER DELETE ON calls
BEGIN
    UPDATE sieve_blocks SET stale = stale + 1 WHERE live = 1 AND block = old.n / 1024;
END;
