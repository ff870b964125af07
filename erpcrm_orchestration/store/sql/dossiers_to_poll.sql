-- Active dossiers with a source that nobody has looked at, successfully or not, for the source's poll interval.
-- One that was looked at later than now is due: our clock went back.
SELECT d.dossier_code
FROM hub.dossier d
JOIN hub.source s USING (source_code)
WHERE d.active
  AND NOT EXISTS (
      SELECT FROM flow.source_cursor c
      WHERE c.dossier_code = d.dossier_code AND c.source_code = d.source_code
        AND greatest(c.last_success_at, c.last_failure_at)
            > CAST(:now AS timestamptz) - make_interval(secs => CAST(coalesce(s.definition ->> 'poll_interval_s', '60') AS integer))
        AND greatest(c.last_success_at, c.last_failure_at) <= :now
  )
ORDER BY d.dossier_code
