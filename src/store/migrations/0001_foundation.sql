-- The log, its tree, what vouches for it, and the documents that its entries name.

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The hash stands before the entry, so that reading it touches no overflow page.
CREATE TABLE log_entry (
    idx       INTEGER NOT NULL PRIMARY KEY CHECK (idx >= 0),
    leaf_hash BLOB    NOT NULL CHECK (length(leaf_hash) = 32),
    entry     BLOB    NOT NULL CHECK (length(entry) <= 16384)
) STRICT;

-- Complete subtrees of two leaves and more; leaves are in log_entry.
CREATE TABLE log_hash (
    level INTEGER NOT NULL CHECK (level > 0),
    n     INTEGER NOT NULL CHECK (n >= 0),
    hash  BLOB    NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE log_checkpoint (
    size INTEGER NOT NULL PRIMARY KEY CHECK (size > 0),
    note TEXT    NOT NULL
) STRICT;

-- Erased evidence keeps its digest and loses salt and bytes.
CREATE TABLE evidence (
    digest    BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    kind      TEXT NOT NULL,
    salt      BLOB CHECK (length(salt) = 32),
    bytes     BLOB CHECK (length(bytes) <= 65536),
    person_id TEXT,
    CHECK ((salt IS NULL) = (bytes IS NULL))
) STRICT;

CREATE INDEX evidence_of_person ON evidence (person_id) WHERE person_id IS NOT NULL;

-- These stop our own mistakes; what stops an attacker is the signed tree.
CREATE TRIGGER log_entry_stays BEFORE UPDATE ON log_entry
BEGIN SELECT RAISE(ABORT, 'an entry of the log never changes'); END;
CREATE TRIGGER log_entry_remains BEFORE DELETE ON log_entry
BEGIN SELECT RAISE(ABORT, 'an entry of the log is never deleted'); END;
CREATE TRIGGER log_hash_stays BEFORE UPDATE ON log_hash
BEGIN SELECT RAISE(ABORT, 'a hash of the log never changes'); END;
CREATE TRIGGER log_hash_remains BEFORE DELETE ON log_hash
BEGIN SELECT RAISE(ABORT, 'a hash of the log is never deleted'); END;
CREATE TRIGGER log_checkpoint_stays BEFORE UPDATE ON log_checkpoint
BEGIN SELECT RAISE(ABORT, 'a checkpoint never changes'); END;
CREATE TRIGGER log_checkpoint_remains BEFORE DELETE ON log_checkpoint
BEGIN SELECT RAISE(ABORT, 'a checkpoint is never deleted'); END;
