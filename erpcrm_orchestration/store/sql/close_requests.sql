-- Close the open refresh requests of these dossiers.
UPDATE flow.refresh_request r
SET state = CASE WHEN closing.reason IS NULL THEN 'DONE' ELSE 'FAILED' END,
    reason = closing.reason, run_id = :run_id, closed_at = :now
FROM unnest(CAST(:dossier_codes AS text[]), CAST(:reasons AS text[])) AS closing (dossier_code, reason)
WHERE r.dossier_code = closing.dossier_code AND r.state IN ('REQUESTED', 'RUNNING') AND r.requested_at <= :now
