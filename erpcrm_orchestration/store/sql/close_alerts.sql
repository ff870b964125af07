-- Close the open alerts of the checked dossiers and checks that are not failing any more. '' stands for the installation.
UPDATE supervision.alert a
SET closed_at = :now
FROM unnest(CAST(:dossier_codes AS text[])) AS checked (dossier_code)
WHERE a.closed_at IS NULL
  AND coalesce(a.dossier_code, '') = checked.dossier_code
  AND a.check_name = ANY (CAST(:check_names AS text[]))
  AND NOT EXISTS (
      SELECT FROM unnest(CAST(:failing_dossiers AS text[]), CAST(:failing_checks AS text[])) AS f (dossier_code, check_name)
      WHERE f.dossier_code = coalesce(a.dossier_code, '') AND f.check_name = a.check_name
  )
