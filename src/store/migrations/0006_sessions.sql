-- Who is signed in, the ceremonies of signing in and of adding a passkey, and what became of passkeys.

-- The secret in the cookie is never stored, only its SHA-256.
CREATE TABLE session (
    secret_sha256 BLOB PRIMARY KEY CHECK (length(secret_sha256) = 32),
    person        TEXT NOT NULL REFERENCES person (id),
    passkey       INTEGER NOT NULL REFERENCES passkey (id),
    facts         TEXT NOT NULL,
    started       INTEGER NOT NULL,
    last_used     INTEGER NOT NULL,
    ends          INTEGER NOT NULL,
    ended         INTEGER,
    device        TEXT NOT NULL,
    entry         INTEGER NOT NULL UNIQUE REFERENCES log_entry (idx)
) STRICT, WITHOUT ROWID;
CREATE INDEX session_of_person ON session (person);

-- Its challenge is random: it is no statement, and no statement's ceremony is found here.
CREATE TABLE sign_in_ceremony (
    id        TEXT PRIMARY KEY,
    challenge BLOB NOT NULL CHECK (length(challenge) = 32),
    listed    TEXT,
    started   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sign_in_ceremony_started ON sign_in_ceremony (started);

-- A person who is signed in adds a passkey.
CREATE TABLE addition_ceremony (
    id        TEXT PRIMARY KEY,
    session   BLOB NOT NULL,
    statement BLOB NOT NULL,
    started   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX addition_ceremony_session ON addition_ceremony (session, started);
CREATE INDEX addition_ceremony_started ON addition_ceremony (started);

ALTER TABLE passkey ADD COLUMN admitted_by INTEGER REFERENCES passkey (id);
ALTER TABLE passkey ADD COLUMN suspended_why TEXT CHECK (suspended_why IN ('copied', 'reported', 'removed'));

CREATE INDEX decision_of_person ON decision (person, entry);
CREATE INDEX request_open_until ON request (use_by) WHERE state = 'open';

-- The key of the credential ids that a user name gets which nobody has. It protects nothing but who is here.
INSERT INTO meta (key, value) VALUES ('decoys', lower(hex(randomblob(32))));
