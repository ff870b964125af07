-- Close the open alerts of the checked dossiers and checks that are not failing any more.
UPDATE supervision.alert a
SET closed_at = :now
WHERE a.closed_at IS NULL
  AND a.check_name = ANY (CAST(:check_names AS text[]))
  AND (a.dossier_code = ANY (CAST(:dossier_codes AS text[])) OR (:installation AND a.dossier_code IS NULL))
  AND NOT EXISTS (
      SELECT FROM jsonb_to_recordset(CAST(:failing AS jsonb)) AS f (dossier_code text, check_name text)
      WHERE f.check_name = a.check_name AND f.dossier_code IS NOT DISTINCT FROM a.dossier_code
  )
