-- What is proven of a passkey's model, and what it may carry at most. A passkey of before has no attestation.
ALTER TABLE passkey ADD COLUMN aaguid BLOB CHECK (length(aaguid) = 16);
ALTER TABLE passkey ADD COLUMN format TEXT;
ALTER TABLE passkey ADD COLUMN attestation TEXT;
ALTER TABLE passkey ADD COLUMN admitted TEXT;

-- The newest metadata that was ever in force: an older one is never taken again.
CREATE TABLE metadata_in_force (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL CHECK (number >= 0),
    sha256 BLOB    NOT NULL CHECK (length(sha256) = 32),
    entry  INTEGER NOT NULL REFERENCES log_entry (idx)
) STRICT;
