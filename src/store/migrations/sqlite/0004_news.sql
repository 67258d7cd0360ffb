-- What was told of calls, in the order of commits; streams go on from there. `about` names a line or a tool call, without any words.
ALTER TABLE calls ADD COLUMN news INTEGER NOT NULL DEFAULT 0;
CREATE TABLE news (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    call_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    kind TEXT NOT NULL,
    about TEXT
) STRICT;
CREATE INDEX news_of_call ON news (call_id, n);

-- Up to where entries are gone. Positions begin at the microseconds since 1970: those of an earlier file are less.
CREATE TABLE news_gone (n INTEGER NOT NULL) STRICT;
INSERT INTO news_gone (n) VALUES (CAST(unixepoch('subsec') * 1000 AS INTEGER) * 1000);
INSERT INTO sqlite_sequence (name, seq) SELECT 'news', n FROM news_gone;
