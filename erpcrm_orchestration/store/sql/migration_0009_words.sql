-- A person may drop a change, and a change is in doubt from the moment before it is sent.
COMMENT ON COLUMN mart.delivery.state IS 'QUEUED, LEASED (a run is at it), RETRY (it is tried again), DONE, DEAD (given up), SUPERSEDED (a newer change of the record took its place, nothing was left to tell, or a person dropped it) or CONFLICT (the system forbids it: a person decides).';
COMMENT ON COLUMN mart.delivery.in_doubt IS 'True when an attempt was sent and may have been carried out without our knowing; while it is LEASED, that it is being sent.';
