-- What strangers begin is shared out by network, so that nobody's waiting sign-in goes for another's.

-- How many rows each payer has; all of a pool together stand under the empty name. Triggers keep it.
CREATE TABLE shared_out (
    pool  TEXT NOT NULL,
    payer TEXT NOT NULL,
    taken INTEGER NOT NULL,
    PRIMARY KEY (pool, payer)
) STRICT, WITHOUT ROWID;
CREATE INDEX shared_out_by_size ON shared_out (pool, taken);

-- `strangers`: what came from a network; `clients`: what clients pushed that proved who they are.
ALTER TABLE authorization_request ADD COLUMN pool TEXT NOT NULL DEFAULT 'strangers'
    CHECK (pool IN ('strangers', 'clients'));
ALTER TABLE authorization_request ADD COLUMN payer TEXT NOT NULL DEFAULT '0.0.0.0';
DROP INDEX authorization_request_created;
CREATE INDEX authorization_request_of_payer ON authorization_request (pool, payer, created);
CREATE INDEX authorization_request_of_pool ON authorization_request (pool, created);

ALTER TABLE sign_in_ceremony ADD COLUMN network TEXT NOT NULL DEFAULT '0.0.0.0';
-- The authorization request that the sign-in is made for, where it is made for one.
ALTER TABLE sign_in_ceremony ADD COLUMN request BLOB CHECK (request IS NULL OR length(request) = 32);
CREATE INDEX sign_in_ceremony_of_network ON sign_in_ceremony (network, started);

INSERT INTO shared_out (pool, payer, taken)
    SELECT pool, payer, count(*) FROM authorization_request GROUP BY pool, payer
    UNION ALL SELECT pool, '', count(*) FROM authorization_request GROUP BY pool
    UNION ALL SELECT 'sign_ins', network, count(*) FROM sign_in_ceremony GROUP BY network
    UNION ALL SELECT 'sign_ins', '', count(*) FROM sign_in_ceremony HAVING count(*) > 0;

CREATE TRIGGER authorization_request_comes AFTER INSERT ON authorization_request BEGIN
    INSERT INTO shared_out (pool, payer, taken) VALUES (NEW.pool, '', 1), (NEW.pool, NEW.payer, 1)
        ON CONFLICT (pool, payer) DO UPDATE SET taken = taken + 1;
END;
CREATE TRIGGER authorization_request_goes AFTER DELETE ON authorization_request BEGIN
    UPDATE shared_out SET taken = taken - 1 WHERE pool = OLD.pool AND payer IN ('', OLD.payer);
    DELETE FROM shared_out WHERE pool = OLD.pool AND payer IN ('', OLD.payer) AND taken <= 0;
END;
CREATE TRIGGER sign_in_ceremony_comes AFTER INSERT ON sign_in_ceremony BEGIN
    INSERT INTO shared_out (pool, payer, taken) VALUES ('sign_ins', '', 1), ('sign_ins', NEW.network, 1)
        ON CONFLICT (pool, payer) DO UPDATE SET taken = taken + 1;
END;
CREATE TRIGGER sign_in_ceremony_goes AFTER DELETE ON sign_in_ceremony BEGIN
    UPDATE shared_out SET taken = taken - 1 WHERE pool = 'sign_ins' AND payer IN ('', OLD.network);
    DELETE FROM shared_out WHERE pool = 'sign_ins' AND payer IN ('', OLD.network) AND taken <= 0;
END;

-- Whoever signs out tells every tool of the session, also those whose grant ended before.
CREATE INDEX oauth_grant_of_sid_ever ON oauth_grant (sid);
