-- Devices of people who asked to be told there (Web Push), and the key that says to push services who sends.

CREATE TABLE push (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    person   TEXT NOT NULL REFERENCES person (id),
    -- With which passkey they were signed in when they asked: it ends with that.
    passkey  INTEGER NOT NULL REFERENCES passkey (id),
    -- The entry of the session in which they asked, or of the one that followed it in the same browser.
    session  INTEGER NOT NULL,
    endpoint TEXT NOT NULL UNIQUE,
    key      BLOB NOT NULL CHECK (length(key) = 65),
    auth     BLOB NOT NULL CHECK (length(auth) = 16),
    device   TEXT NOT NULL,
    created  INTEGER NOT NULL,
    entry    INTEGER NOT NULL REFERENCES log_entry (idx)
) STRICT;
CREATE INDEX push_of_person ON push (person);
CREATE INDEX push_of_passkey ON push (passkey);
CREATE INDEX push_of_session ON push (session);

-- Wrapped by the master key; made where it is first needed.
CREATE TABLE push_key (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    wrapped TEXT NOT NULL,
    created INTEGER NOT NULL
) STRICT;
