-- The passkeys that a browser was told to look for, where a person gave a user name: JSON, as in `sign_in_ceremony`.
ALTER TABLE approval_ceremony ADD COLUMN listed TEXT;
ALTER TABLE change_ceremony ADD COLUMN listed TEXT;
ALTER TABLE link_ceremony ADD COLUMN listed TEXT;
