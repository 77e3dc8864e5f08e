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
    page_sha256        BLOB CHECK (length(page_sha256) = 32),
    -- Of whose share of the table it is (`shared_out`): a network's, or a client's that proved who it is.
    pool               TEXT NOT NULL CHECK (pool IN ('devices', 'devices_of_clients')),
    payer              TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX device_request_code ON device_request (user_code_sha256);
CREATE UNIQUE INDEX device_request_page ON device_request (page_sha256) WHERE page_sha256 IS NOT NULL;
CREATE INDEX device_request_ends ON device_request (ends);
CREATE INDEX device_request_of_grant ON device_request (grant_entry);
CREATE INDEX device_request_of_payer ON device_request (pool, payer, created);
CREATE INDEX device_request_of_pool ON device_request (pool, created);
CREATE TRIGGER device_request_comes AFTER INSERT ON device_request BEGIN
    INSERT INTO shared_out (pool, payer, taken) VALUES (NEW.pool, '', 1), (NEW.pool, NEW.payer, 1)
        ON CONFLICT (pool, payer) DO UPDATE SET taken = taken + 1;
END;
CREATE TRIGGER device_request_goes AFTER DELETE ON device_request BEGIN
    UPDATE shared_out SET taken = taken - 1 WHERE pool = OLD.pool AND payer IN ('', OLD.payer);
    DELETE FROM shared_out WHERE pool = OLD.pool AND payer IN ('', OLD.payer) AND taken <= 0;
END;

-- A ceremony over what a device asks.
CREATE TABLE device_ceremony (
    id        TEXT PRIMARY KEY,
    session   BLOB NOT NULL CHECK (length(session) = 32),
    statement BLOB NOT NULL,
    listed    TEXT,
    started   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX device_ceremony_session ON device_ceremony (session, started);
CREATE INDEX device_ceremony_started ON device_ceremony (started);

-- What people gave to one client.
CREATE INDEX oauth_grant_of_client ON oauth_grant (client) WHERE ended IS NULL;

-- Whether a grant is a device's.
ALTER TABLE oauth_grant ADD COLUMN device INTEGER NOT NULL DEFAULT 0 CHECK (device IN (0, 1));
