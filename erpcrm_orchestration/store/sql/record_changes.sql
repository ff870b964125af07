-- Append what somebody changed to the audit trail, in the order given.
INSERT INTO audit.change (at, actor, object_kind, object_code, action, reason, before, after)
SELECT
    :now,
    :actor,
    change ->> 'kind',
    change ->> 'code',
    change ->> 'action',
    CAST(:reason AS text),
    nullif(change -> 'before', 'null'::jsonb),
    nullif(change -> 'after', 'null'::jsonb)
FROM jsonb_array_elements(CAST(:rows AS jsonb)) WITH ORDINALITY AS given (change, position)
ORDER BY position
