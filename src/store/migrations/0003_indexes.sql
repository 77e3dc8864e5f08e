-- What every exchange reads is found without a walk, however many requests there ever were.

-- Only requests that still bother people are counted; whether one does is in the index.
DROP INDEX request_open;
CREATE INDEX request_open_of_rule ON request (rule_name, use_by) WHERE state = 'open';
CREATE INDEX request_open_of_project ON request (issuer, job_project_id, use_by) WHERE state = 'open';

CREATE INDEX request_audience_of_request ON request_audience (request);
CREATE INDEX membership_of_person ON membership (person);
CREATE INDEX link_of_person ON link (person);
CREATE INDEX invitation_of_person ON invitation (person);
CREATE INDEX approval_ceremony_started ON approval_ceremony (started);
CREATE INDEX registration_ceremony_started ON registration_ceremony (started);
