-- Clients that are still to be told that a session ended (OpenID Connect Back-Channel Logout 1.0).
CREATE TABLE logout_notice (
    id      INTEGER PRIMARY KEY,
    client  TEXT NOT NULL,
    person  TEXT NOT NULL REFERENCES person (id),
    sid     TEXT NOT NULL,
    created INTEGER NOT NULL,
    -- When it is tried next.
    due     INTEGER NOT NULL,
    -- How often it was tried.
    tries   INTEGER NOT NULL DEFAULT 0,
    UNIQUE (client, sid)
) STRICT;
CREATE INDEX logout_notice_due ON logout_notice (due);
