-- What admins say is a person's e-mail address. Nobody has verified it.
ALTER TABLE person ADD COLUMN email TEXT;
CREATE UNIQUE INDEX person_email ON person (email COLLATE NOCASE) WHERE email IS NOT NULL;
