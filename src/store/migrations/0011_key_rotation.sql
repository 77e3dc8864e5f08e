-- Signing keys have a life: published, signing, retired, removed or revoked. A key that is gone keeps no private part.

CREATE TABLE signing_key_with_state (
    kid       TEXT PRIMARY KEY,
    alg       TEXT NOT NULL,
    public    TEXT NOT NULL,
    wrapped   TEXT NOT NULL,
    state     TEXT NOT NULL CHECK (state IN ('published', 'signing', 'retired', 'removed', 'revoked')),
    created   INTEGER NOT NULL,
    -- From when on its publication counts: it was off for a while, or this is `created`.
    published INTEGER NOT NULL,
    signs     INTEGER,
    retired   INTEGER,
    gone      INTEGER,
    entry     INTEGER NOT NULL REFERENCES log_entry (idx),
    CHECK (state NOT IN ('removed', 'revoked') OR wrapped = '')
) STRICT;

-- So far the newest key of an algorithm signed, and no other was published.
INSERT INTO signing_key_with_state (kid, alg, public, wrapped, state, created, published, signs, retired, entry)
    SELECT kid, alg, public, wrapped, CASE place WHEN 1 THEN 'signing' ELSE 'retired' END,
        created, created, created, CASE place WHEN 1 THEN NULL ELSE later END, entry
    FROM (SELECT *, row_number() OVER newest AS place, lag(created) OVER newest AS later FROM signing_key
          WINDOW newest AS (PARTITION BY alg ORDER BY created DESC, kid));
DROP TABLE signing_key;
ALTER TABLE signing_key_with_state RENAME TO signing_key;

-- One key of an algorithm signs, and at most one is to be the next.
CREATE UNIQUE INDEX signing_key_that_signs ON signing_key (alg) WHERE state = 'signing';
CREATE UNIQUE INDEX signing_key_that_is_next ON signing_key (alg) WHERE state = 'published';
