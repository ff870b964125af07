-- The fence: keep what is still ours from being taken. Taking a lease locks its row FOR UPDATE, for which this is in the way;
-- two writers of one holder, and the prolonging of the lease, are not in each other's.
SELECT l.dossier_code
FROM unnest(CAST(:dossier_codes AS text[]), CAST(:epochs AS bigint[])) AS ours (dossier_code, epoch)
JOIN flow.lease l ON l.dossier_code = ours.dossier_code AND l.work = :work AND l.epoch = ours.epoch AND l.holder = :holder
ORDER BY l.dossier_code
FOR KEY SHARE OF l
