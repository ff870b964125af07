-- Forgets the rejects whose rows were taken in this pass.
DELETE FROM flow.intake_reject
WHERE dossier_code = :dossier_code
    AND intake = :intake
    AND source_key = ANY(:source_keys)
