-- Active dossiers with a stream that nobody has read, successfully or not, for its interval; a stopped stream is not due.
-- One that was read later than now is due: our clock went back.
SELECT DISTINCT d.dossier_code
FROM unnest(
    CAST(:dossiers AS text[]), CAST(:sources AS text[]), CAST(:streams AS text[]), CAST(:intervals AS integer[])
) AS s (dossier_code, source_code, stream, every_s)
JOIN hub.dossier AS d ON d.dossier_code = s.dossier_code AND d.active
LEFT JOIN flow.source_cursor AS c
    ON c.dossier_code = s.dossier_code AND c.source_code = s.source_code AND c.stream = s.stream
WHERE c.stopped_at IS NULL
    AND (
        greatest(c.last_success_at, c.last_failure_at) > CAST(:now AS timestamptz) - make_interval(secs => s.every_s)
        AND greatest(c.last_success_at, c.last_failure_at) <= :now
    ) IS NOT TRUE
ORDER BY d.dossier_code
