-- Changes that admins sign, and what they leave behind.

CREATE TABLE change (
    id      TEXT PRIMARY KEY,
    kind    TEXT NOT NULL,
    person  TEXT NOT NULL,
    record  BLOB NOT NULL,
    state   TEXT NOT NULL CHECK (state IN ('open', 'admitted', 'done', 'refused', 'failed', 'voided')),
    -- When it takes effect by itself, as its signatures stand.
    due     INTEGER,
    created INTEGER NOT NULL,
    entry   INTEGER NOT NULL REFERENCES log_entry (idx),
    ended   INTEGER REFERENCES log_entry (idx)
) STRICT, WITHOUT ROWID;
CREATE INDEX change_due ON change (due) WHERE due IS NOT NULL;
CREATE INDEX change_of_person ON change (person);
CREATE INDEX change_open ON change (created) WHERE state IN ('open', 'admitted');

CREATE TABLE change_signature (
    change TEXT NOT NULL REFERENCES change (id),
    person TEXT NOT NULL REFERENCES person (id),
    choice TEXT NOT NULL CHECK (choice IN ('approve', 'deny')),
    at     INTEGER NOT NULL,
    entry  INTEGER NOT NULL REFERENCES log_entry (idx),
    -- What signed.
    passkey INTEGER REFERENCES passkey (id),
    -- What that proved: whoever is let in by it never carries more.
    proved TEXT NOT NULL,
    -- Its passkey or its person came into doubt or left: it does not count again when they come back.
    ended  INTEGER NOT NULL DEFAULT 0 CHECK (ended IN (0, 1)),
    PRIMARY KEY (change, person, choice)
) STRICT, WITHOUT ROWID;
CREATE INDEX change_signature_of_passkey ON change_signature (passkey);

-- One table a kind of ceremony: a challenge of one kind is never found by the other.
CREATE TABLE change_ceremony (
    id        TEXT PRIMARY KEY,
    change    TEXT NOT NULL,
    statement BLOB NOT NULL,
    started   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX change_ceremony_change ON change_ceremony (change, started);
CREATE INDEX change_ceremony_started ON change_ceremony (started);

ALTER TABLE person ADD COLUMN auditor INTEGER NOT NULL DEFAULT 0 CHECK (auditor IN (0, 1));
ALTER TABLE link ADD COLUMN bot INTEGER NOT NULL DEFAULT 0 CHECK (bot IN (0, 1));
-- A passkey made after a recovery approves nothing before this time.
ALTER TABLE passkey ADD COLUMN rests_until INTEGER;
-- What a suspended person or key signed does not count again when they come back.
ALTER TABLE decision ADD COLUMN ended INTEGER NOT NULL DEFAULT 0 CHECK (ended IN (0, 1));
-- 'console' or the change that lets a person in who lost every passkey.
ALTER TABLE invitation ADD COLUMN recovery TEXT;
-- The most that a passkey made with it may carry, where admins let the person in.
ALTER TABLE invitation ADD COLUMN admitted TEXT;
ALTER TABLE invitation ADD COLUMN created INTEGER NOT NULL DEFAULT 0;
