-- People, their passkeys, the requests that wait for them, and what was issued.
-- Every row that proves something names the log entry that recorded it.

CREATE TABLE person (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    user_handle BLOB NOT NULL UNIQUE CHECK (length(user_handle) = 16),
    admin       INTEGER NOT NULL CHECK (admin IN (0, 1)),
    created     INTEGER NOT NULL,
    suspended   INTEGER,
    entry       INTEGER NOT NULL REFERENCES log_entry (idx)
) STRICT;

CREATE TABLE membership (
    group_name TEXT NOT NULL,
    person     TEXT NOT NULL REFERENCES person (id),
    entry      INTEGER NOT NULL REFERENCES log_entry (idx),
    PRIMARY KEY (group_name, person)
) STRICT, WITHOUT ROWID;

CREATE TABLE link (
    issuer  TEXT NOT NULL,
    user_id TEXT NOT NULL,
    person  TEXT NOT NULL REFERENCES person (id),
    entry   INTEGER NOT NULL REFERENCES log_entry (idx),
    PRIMARY KEY (issuer, user_id)
) STRICT, WITHOUT ROWID;

-- The secret of a link is never stored, only its SHA-256.
CREATE TABLE invitation (
    secret_sha256  BLOB PRIMARY KEY CHECK (length(secret_sha256) = 32),
    person         TEXT NOT NULL REFERENCES person (id),
    invited_by     TEXT NOT NULL,
    expires        INTEGER NOT NULL,
    ended          INTEGER,
    session_sha256 BLOB,
    session_until  INTEGER,
    entry          INTEGER NOT NULL REFERENCES log_entry (idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE passkey (
    id                INTEGER PRIMARY KEY,
    person            TEXT NOT NULL REFERENCES person (id),
    credential_id     BLOB NOT NULL UNIQUE,
    public_key_sha256 BLOB NOT NULL UNIQUE CHECK (length(public_key_sha256) = 32),
    credential        TEXT NOT NULL,
    registered        TEXT NOT NULL,
    name              TEXT NOT NULL,
    added             INTEGER NOT NULL,
    last_used         INTEGER,
    suspended         INTEGER,
    entry             INTEGER NOT NULL REFERENCES log_entry (idx)
) STRICT;
CREATE INDEX passkey_person ON passkey (person);

-- One table a kind of ceremony: a challenge of one kind is never found by the other.
CREATE TABLE approval_ceremony (
    id        TEXT PRIMARY KEY,
    request   TEXT NOT NULL,
    statement BLOB NOT NULL,
    started   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX approval_ceremony_request ON approval_ceremony (request, started);

CREATE TABLE registration_ceremony (
    id         TEXT PRIMARY KEY,
    invitation BLOB NOT NULL,
    statement  BLOB NOT NULL,
    started    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX registration_ceremony_invitation ON registration_ceremony (invitation, started);

CREATE TABLE request (
    id             TEXT PRIMARY KEY,
    issuer         TEXT NOT NULL,
    job_project_id TEXT NOT NULL,
    job_id         TEXT NOT NULL,
    environment    TEXT,
    rule_name      TEXT NOT NULL,
    rule_sha256    BLOB NOT NULL,
    rule           BLOB NOT NULL,
    request        BLOB NOT NULL,
    display        TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('open', 'collected', 'denied', 'contested', 'voided', 'expired')),
    created        INTEGER NOT NULL,
    use_by         INTEGER NOT NULL,
    entry          INTEGER NOT NULL REFERENCES log_entry (idx),
    state_entry    INTEGER
) STRICT;
CREATE INDEX request_job ON request (issuer, job_id);
CREATE INDEX request_project ON request (issuer, job_project_id, environment, created);
CREATE INDEX request_open ON request (rule_name) WHERE state = 'open';

-- An audience is in at most one request of a job, however that ends.
CREATE TABLE request_audience (
    issuer   TEXT NOT NULL,
    job_id   TEXT NOT NULL,
    audience TEXT NOT NULL,
    request  TEXT NOT NULL REFERENCES request (id),
    PRIMARY KEY (issuer, job_id, audience)
) STRICT, WITHOUT ROWID;

CREATE TABLE decision (
    request           TEXT NOT NULL REFERENCES request (id),
    person            TEXT NOT NULL REFERENCES person (id),
    choice            TEXT NOT NULL CHECK (choice IN ('approve', 'deny')),
    passkey           INTEGER NOT NULL REFERENCES passkey (id),
    public_key_sha256 BLOB NOT NULL,
    statement_sha256  BLOB NOT NULL,
    facts             TEXT NOT NULL,
    reason            TEXT,
    at                INTEGER NOT NULL,
    entry             INTEGER NOT NULL REFERENCES log_entry (idx),
    PRIMARY KEY (request, person, choice)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX decision_key ON decision (request, public_key_sha256, choice);

-- A job token in use: its `jti` is bound to a list of audiences. Lives until the token's `exp` + leeway.
CREATE TABLE token_use (
    issuer       TEXT NOT NULL,
    jti          TEXT NOT NULL,
    token_sha256 BLOB NOT NULL UNIQUE,
    audiences    TEXT NOT NULL,
    request      TEXT REFERENCES request (id),
    collector    BLOB,
    exp          INTEGER NOT NULL,
    PRIMARY KEY (issuer, jti)
) STRICT, WITHOUT ROWID;
CREATE INDEX token_use_exp ON token_use (exp);

-- INVARIANT(one token an audience): one row for a job token and an audience, one for a request and an audience.
CREATE TABLE issued (
    jti        TEXT PRIMARY KEY,
    issuer     TEXT NOT NULL,
    token_jti  TEXT NOT NULL,
    audience   TEXT NOT NULL,
    request    TEXT REFERENCES request (id),
    collector  BLOB,
    claims     BLOB NOT NULL,
    kid        TEXT NOT NULL,
    issued_at  INTEGER NOT NULL,
    exp        INTEGER NOT NULL,
    entry      INTEGER NOT NULL UNIQUE REFERENCES log_entry (idx)
) STRICT;
CREATE UNIQUE INDEX issued_once_a_token ON issued (issuer, token_jti, audience);
CREATE UNIQUE INDEX issued_once_a_request ON issued (request, audience) WHERE request IS NOT NULL;

CREATE TABLE signing_key (
    kid     TEXT PRIMARY KEY,
    alg     TEXT NOT NULL,
    public  TEXT NOT NULL,
    wrapped TEXT NOT NULL,
    created INTEGER NOT NULL,
    entry   INTEGER NOT NULL REFERENCES log_entry (idx)
) STRICT;

CREATE TABLE issuer_keys (
    issuer   TEXT PRIMARY KEY,
    document BLOB NOT NULL,
    entry    INTEGER NOT NULL REFERENCES log_entry (idx)
) STRICT;

CREATE TABLE rules_in_force (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    sha256 BLOB NOT NULL,
    entry  INTEGER NOT NULL REFERENCES log_entry (idx)
) STRICT;
