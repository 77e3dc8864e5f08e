-- The provider: what people gave to clients, and the tokens that came of it.

-- What ties a session, its grants and its logout tokens together; it is kept when its person signs in again in the same
-- browser, for a stronger sign-in.
ALTER TABLE session ADD COLUMN sid TEXT NOT NULL DEFAULT '';
UPDATE session SET sid = lower(hex(randomblob(16)));
CREATE INDEX session_sid ON session (sid);

-- What one authorization began (RFC 6749 §1.3): a family of tokens.
CREATE TABLE oauth_grant (
    -- The entry that began it is its id.
    entry     INTEGER PRIMARY KEY REFERENCES log_entry (idx),
    client    TEXT NOT NULL,
    person    TEXT NOT NULL REFERENCES person (id),
    sid       TEXT NOT NULL,
    -- The entry of the session in which it was given.
    session   INTEGER NOT NULL,
    -- The passkey that signed in, what its authenticator said, and when.
    passkey   INTEGER NOT NULL REFERENCES passkey (id),
    facts     TEXT NOT NULL,
    auth_time INTEGER NOT NULL,
    -- The level that was demanded.
    acr       TEXT NOT NULL CHECK (acr IN ('phr', 'phrh')),
    scopes    TEXT NOT NULL,
    resources TEXT NOT NULL,
    dpop_jkt  TEXT,
    nonce     TEXT,
    claims    TEXT NOT NULL,
    offline   INTEGER NOT NULL CHECK (offline IN (0, 1)),
    created   INTEGER NOT NULL,
    ends      INTEGER NOT NULL,
    ended     INTEGER,
    why       TEXT
) STRICT;
CREATE INDEX oauth_grant_of_sid ON oauth_grant (sid) WHERE ended IS NULL;
CREATE INDEX oauth_grant_of_person ON oauth_grant (person, client) WHERE ended IS NULL;
CREATE INDEX oauth_grant_of_passkey ON oauth_grant (passkey) WHERE ended IS NULL;
CREATE INDEX oauth_grant_ends ON oauth_grant (ends);

-- A code stays after its use until its grant goes, so that a second use is recognised (RFC 6749 §4.1.2).
CREATE TABLE code (
    code_sha256    BLOB PRIMARY KEY CHECK (length(code_sha256) = 32),
    grant_entry    INTEGER NOT NULL REFERENCES oauth_grant (entry) ON DELETE CASCADE,
    client         TEXT NOT NULL,
    redirect_uri   TEXT NOT NULL,
    code_challenge TEXT NOT NULL,
    ends           INTEGER NOT NULL,
    used           INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX code_of_grant ON code (grant_entry);

-- One refresh token of a grant can be used. One of the same family that cannot is an old one: a replay.
CREATE TABLE refresh_token (
    family_sha256 BLOB PRIMARY KEY CHECK (length(family_sha256) = 32),
    grant_entry   INTEGER NOT NULL UNIQUE REFERENCES oauth_grant (entry) ON DELETE CASCADE,
    token_sha256  BLOB NOT NULL CHECK (length(token_sha256) = 32),
    issued        INTEGER NOT NULL,
    -- The one that was used last, and when: its answer may have been lost.
    before_sha256 BLOB CHECK (length(before_sha256) = 32),
    rotated       INTEGER
) STRICT, WITHOUT ROWID;

-- Access tokens that are not over: one that is not here was given back, or ended with its grant.
CREATE TABLE access_token (
    jti         TEXT PRIMARY KEY,
    grant_entry INTEGER REFERENCES oauth_grant (entry) ON DELETE CASCADE,
    ends        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX access_token_of_grant ON access_token (grant_entry);
CREATE INDEX access_token_ends ON access_token (ends);

-- Authorization requests that wait for a person, or were pushed and wait for their client (RFC 9126).
CREATE TABLE authorization_request (
    id_sha256 BLOB PRIMARY KEY CHECK (length(id_sha256) = 32),
    client    TEXT NOT NULL,
    request   BLOB NOT NULL,
    pushed    INTEGER NOT NULL CHECK (pushed IN (0, 1)),
    created   INTEGER NOT NULL,
    ends      INTEGER NOT NULL,
    taken     INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX authorization_request_created ON authorization_request (created);
CREATE INDEX authorization_request_ends ON authorization_request (ends);

-- What a person allowed a client, remembered until it asks for more.
CREATE TABLE consent (
    person TEXT NOT NULL REFERENCES person (id),
    client TEXT NOT NULL,
    scopes TEXT NOT NULL,
    entry  INTEGER NOT NULL REFERENCES log_entry (idx),
    PRIMARY KEY (person, client)
) STRICT, WITHOUT ROWID;

-- Assertions of clients that were used (RFC 7523 §3 `jti`).
CREATE TABLE client_assertion (
    client     TEXT NOT NULL,
    jti_sha256 BLOB NOT NULL CHECK (length(jti_sha256) = 32),
    ends       INTEGER NOT NULL,
    PRIMARY KEY (client, jti_sha256)
) STRICT, WITHOUT ROWID;
CREATE INDEX client_assertion_ends ON client_assertion (ends);

-- Decoration, for tools that key people by it; nobody verified it.
ALTER TABLE person ADD COLUMN email TEXT;

-- When a client last had a token, for whoever looks after them.
CREATE TABLE client_use (
    client TEXT PRIMARY KEY,
    used   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
