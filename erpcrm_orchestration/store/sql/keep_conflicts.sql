-- One open conflict for each field of a record and system; what both hold now replaces what they held.
INSERT INTO flow.field_conflict AS c (
    dossier_code, system_code, entity, record_id, field, base_value, our_value, their_value, opened_at
)
SELECT :dossier_code, :system_code, :entity, record_id, field, base_value, our_value, their_value, :now
FROM jsonb_to_recordset(CAST(:rows AS jsonb))
    AS found (record_id bigint, field text, base_value text, our_value text, their_value text)
ON CONFLICT (dossier_code, system_code, entity, record_id, field) WHERE closed_at IS NULL
DO UPDATE SET our_value = excluded.our_value, their_value = excluded.their_value
