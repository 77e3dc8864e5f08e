-- Every kind of ceremony over a statement has a table of one shape; what registers a passkey lists none.
ALTER TABLE registration_ceremony ADD COLUMN listed TEXT;
ALTER TABLE addition_ceremony ADD COLUMN listed TEXT;
