-- Rules that admins sign: changes that concern nobody, and the sets of rules that such a change is about.

-- The same table, in which a change may concern nobody and may be withdrawn. What refers to it is judged at the commit.
PRAGMA defer_foreign_keys = ON;
CREATE TABLE change_of_before AS SELECT * FROM change;
DROP TABLE change;
CREATE TABLE change (
    id      TEXT PRIMARY KEY,
    kind    TEXT NOT NULL,
    person  TEXT CHECK ((person IS NULL) = (kind = 'rules')),
    record  BLOB NOT NULL,
    state   TEXT NOT NULL
            CHECK (state IN ('open', 'admitted', 'done', 'refused', 'failed', 'voided', 'withdrawn')),
    -- When it takes effect by itself, as its signatures stand.
    due     INTEGER,
    created INTEGER NOT NULL,
    entry   INTEGER NOT NULL REFERENCES log_entry (idx),
    ended   INTEGER REFERENCES log_entry (idx)
) STRICT, WITHOUT ROWID;
INSERT INTO change (id, kind, person, record, state, due, created, entry, ended)
    SELECT id, kind, person, record, state, due, created, entry, ended FROM change_of_before;
DROP TABLE change_of_before;
CREATE INDEX change_due ON change (due) WHERE due IS NOT NULL;
CREATE INDEX change_open ON change (created) WHERE state IN ('open', 'admitted');

-- The rules in force, and those of a change that waits: what was signed takes effect, whatever the files say meanwhile.
CREATE TABLE rule_set (
    -- SHA-256 over the digests of the rules, in the order in which they are asked.
    sha256   BLOB PRIMARY KEY CHECK (length(sha256) = 32),
    -- The canonical forms of the rules in that order, as a JSON list.
    document BLOB NOT NULL
) STRICT;
