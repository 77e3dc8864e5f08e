-- Devices that ask (RFC 8628), and who allows them.
CREATE TABLE device_request (
    -- SHA-256 of the code that the device has, and of the one that a person types.
    device_code_sha256 BLOB PRIMARY KEY CHECK (length(device_code_sha256) = 32),
    user_code_sha256   BLOB NOT NULL CHECK (length(user_code_sha256) = 32),
    client             TEXT NOT NULL,
    -- What is asked, as JSON.
    request            BLOB NOT NULL,
    created            INTEGER NOT NULL,
    -- The last moment at which somebody may decide.
    ends               INTEGER NOT NULL,
    stage              TEXT NOT NULL DEFAULT 'waiting' CHECK (stage IN ('waiting', 'allowed', 'denied', 'fetched')),
    -- The grant that began where it was allowed.
    grant_entry        INTEGER REFERENCES oauth_grant (entry) ON DELETE SET NULL,
    -- The session in which its code was typed last, and SHA-256 of the id of its page there.
    session            BLOB CHECK (length(session) = 32),
    page_sha256        BLOB CHECK (length(page_sha256) = 32)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_request_code ON device_request (user_code_sha256);
CREATE UNIQUE INDEX device_request_page ON device_request (page_sha256) WHERE page_sha256 IS NOT NULL;
CREATE INDEX device_request_ends ON device_request (ends);
CREATE INDEX device_request_of_grant ON device_request (grant_entry);
CREATE INDEX device_request_client ON device_request (client, created);

-- A ceremony over what a device asks.
CREATE TABLE device_ceremony (
    id        TEXT PRIMARY KEY,
    session   BLOB NOT NULL CHECK (length(session) = 32),
    statement BLOB NOT NULL,
    started   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX device_ceremony_session ON device_ceremony (session, started);
CREATE INDEX device_ceremony_started ON device_ceremony (started);

-- What people gave to one client.
CREATE INDEX oauth_grant_of_client ON oauth_grant (client) WHERE ended IS NULL;

-- Whether a grant is a device's.
ALTER TABLE oauth_grant ADD COLUMN device INTEGER NOT NULL DEFAULT 0 CHECK (device IN (0, 1));
