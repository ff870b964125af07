-- The fence: lock what is still ours; ordered, so that two committing writers cannot wait for each other in a circle.
SELECT l.dossier_code
FROM unnest(CAST(:dossier_codes AS text[]), CAST(:epochs AS bigint[])) AS ours (dossier_code, epoch)
JOIN flow.lease l ON l.dossier_code = ours.dossier_code AND l.work = :work AND l.epoch = ours.epoch AND l.holder = :holder
ORDER BY l.dossier_code
FOR UPDATE OF l
