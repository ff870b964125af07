-- Close the open ticks of the dossiers that this evaluation covers: all that were due when it read the data.
UPDATE flow.tick t
SET state = :state, reason = closing.reason, run_id = :run_id, closed_at = :now
FROM unnest(CAST(:dossier_codes AS text[]), CAST(:reasons AS text[])) AS closing (dossier_code, reason)
WHERE t.dossier_code = closing.dossier_code AND t.process_code = :process_code AND t.state = 'REQUESTED' AND t.due_at <= :now
