-- What grows with every token grows at its end: a commit touches the last page of a table, not pages all over it.
-- Of an exchange, one row alone stands in random order: that a job token's `jti` is in use.

-- A hash stands where it came into being: with the last leaf that it covers.
CREATE TABLE tree_hash (
    leaf  INTEGER NOT NULL CHECK (leaf > 0),
    level INTEGER NOT NULL CHECK (level > 0),
    hash  BLOB    NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (leaf, level)
) STRICT, WITHOUT ROWID;
INSERT INTO tree_hash (leaf, level, hash)
    SELECT ((n + 1) << level) - 1, level, hash FROM log_hash ORDER BY 1, 2;
DROP TABLE log_hash;
ALTER TABLE tree_hash RENAME TO log_hash;
CREATE TRIGGER log_hash_stays BEFORE UPDATE ON log_hash
BEGIN SELECT RAISE(ABORT, 'a hash of the log never changes'); END;
CREATE TRIGGER log_hash_remains BEFORE DELETE ON log_hash
BEGIN SELECT RAISE(ABORT, 'a hash of the log is never deleted'); END;

-- A document that one entry alone names is found by that entry; only the others are found by their digest.
-- Erased evidence keeps its digest and loses salt and bytes.
CREATE TABLE document (
    digest    BLOB NOT NULL CHECK (length(digest) = 32),
    entry     INTEGER,
    kind      TEXT NOT NULL,
    salt      BLOB CHECK (length(salt) = 32),
    bytes     BLOB CHECK (length(bytes) <= 65536),
    person_id TEXT,
    CHECK ((salt IS NULL) = (bytes IS NULL))
) STRICT;
INSERT INTO document (digest, kind, salt, bytes, person_id)
    SELECT digest, kind, salt, bytes, person_id FROM evidence ORDER BY rowid;
DROP TABLE evidence;
ALTER TABLE document RENAME TO evidence;
CREATE UNIQUE INDEX evidence_of_many ON evidence (digest) WHERE entry IS NULL;
CREATE UNIQUE INDEX evidence_of_one ON evidence (entry, digest) WHERE entry IS NOT NULL;
CREATE INDEX evidence_of_person ON evidence (person_id) WHERE person_id IS NOT NULL;

-- What people sign ends with the job token that asked.
ALTER TABLE request ADD COLUMN token_exp INTEGER NOT NULL DEFAULT 0;
UPDATE request SET token_exp = coalesce((
    SELECT exp FROM token_use
    WHERE lower(hex(token_sha256)) = json_extract(CAST(request.request AS TEXT), '$.job.token_sha256')
), 0);

-- A job token in use: its `jti` is bound to a list of audiences. Lives until the token's `exp` + leeway; its id is never
-- used again, and stays with what was issued for it.
CREATE TABLE binding (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    issuer       TEXT NOT NULL,
    jti          TEXT NOT NULL,
    token_sha256 BLOB NOT NULL,
    audiences    TEXT NOT NULL,
    request      TEXT REFERENCES request (id),
    collector    BLOB,
    exp          INTEGER NOT NULL,
    UNIQUE (issuer, jti)
) STRICT;
-- What was issued for a job token that is forgotten already needs the id alone.
INSERT INTO binding (issuer, jti, token_sha256, audiences, exp)
    SELECT issuer, token_jti, zeroblob(32), '[]', 0 FROM issued GROUP BY issuer, token_jti ORDER BY min(entry);
INSERT INTO binding (issuer, jti, token_sha256, audiences, request, collector, exp)
    SELECT issuer, jti, token_sha256, audiences, request, collector, exp FROM token_use WHERE true
    ON CONFLICT (issuer, jti) DO UPDATE SET token_sha256 = excluded.token_sha256, audiences = excluded.audiences,
        request = excluded.request, collector = excluded.collector, exp = excluded.exp;

-- INVARIANT(one token an audience): one row for a job token and an audience, one for a request and an audience.
CREATE TABLE token (
    entry     INTEGER PRIMARY KEY REFERENCES log_entry (idx),
    jti       TEXT NOT NULL,
    binding   INTEGER NOT NULL,
    audience  TEXT NOT NULL,
    request   TEXT REFERENCES request (id),
    collector BLOB,
    claims    BLOB NOT NULL,
    kid       TEXT NOT NULL,
    exp       INTEGER NOT NULL
) STRICT;
INSERT INTO token (entry, jti, binding, audience, request, collector, claims, kid, exp)
    SELECT entry, issued.jti, binding.id, audience, issued.request, issued.collector, claims, kid, issued.exp
    FROM issued JOIN binding ON binding.issuer = issued.issuer AND binding.jti = issued.token_jti ORDER BY entry;
DROP TABLE issued;
ALTER TABLE token RENAME TO issued;
CREATE UNIQUE INDEX issued_once_a_token ON issued (binding, audience);
CREATE UNIQUE INDEX issued_once_a_request ON issued (request, audience) WHERE request IS NOT NULL;

DELETE FROM binding WHERE exp = 0;
DROP TABLE token_use;
ALTER TABLE binding RENAME TO token_use;
