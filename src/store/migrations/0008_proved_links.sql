-- Proof by pipeline: a person's code, what a job brought it with, and what the person signed.

-- The code is never stored, only its SHA-256. What a job brought is kept until the person signs it or it is too late.
CREATE TABLE link_code (
    code_sha256 BLOB PRIMARY KEY CHECK (length(code_sha256) = 32),
    person      TEXT NOT NULL REFERENCES person (id),
    made        INTEGER NOT NULL,
    brought     INTEGER,
    user        TEXT,
    shown       TEXT,
    token       TEXT,
    issuer_keys INTEGER REFERENCES log_entry (idx)
) STRICT, WITHOUT ROWID;
CREATE INDEX link_code_of_person ON link_code (person, made);
CREATE INDEX link_code_made ON link_code (made);

-- One table a kind of ceremony: a challenge of one kind is never found by the other.
CREATE TABLE link_ceremony (
    id        TEXT PRIMARY KEY,
    session   BLOB NOT NULL,
    statement BLOB NOT NULL,
    started   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX link_ceremony_session ON link_ceremony (session, started);
CREATE INDEX link_ceremony_started ON link_ceremony (started);

-- It excludes its person where a job of this user asks, and names nobody as the starter: that is what `link` is for.
CREATE TABLE proved_link (
    issuer  TEXT NOT NULL,
    user_id TEXT NOT NULL,
    person  TEXT NOT NULL REFERENCES person (id),
    entry   INTEGER NOT NULL REFERENCES log_entry (idx),
    PRIMARY KEY (issuer, user_id, person)
) STRICT, WITHOUT ROWID;
CREATE INDEX proved_link_of_person ON proved_link (person);

-- A proof ends the requests that wait: they are found without a look at those that are over.
CREATE INDEX request_live ON request (issuer, use_by) WHERE state IN ('open', 'contested');
