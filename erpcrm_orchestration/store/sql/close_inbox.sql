UPDATE flow.inbox SET state = :state, closed_at = :now, error = NULL, warning = NULL, run_id = :run_id
WHERE dossier_code = :dossier_code AND message_id = ANY(CAST(:ids AS bigint[]))
