-- Forgets the rejects whose rows were taken in this pass.
DELETE FROM flow.intake_reject AS reject
USING unnest(CAST(:dossier_codes AS text[]), CAST(:source_keys AS text[])) AS taken (dossier_code, source_key)
WHERE reject.dossier_code = taken.dossier_code
    AND reject.intake = :intake
    AND reject.source_key = taken.source_key
