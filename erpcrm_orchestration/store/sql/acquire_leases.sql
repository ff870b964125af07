-- Take free or expired leases without waiting: SKIP LOCKED leaves a row that another acquirer or a committing writer holds.
-- A lease that ends later than any of now is from before our clock went back: a living holder would have renewed it.
WITH wanted AS (
    SELECT DISTINCT unnest(CAST(:dossier_codes AS text[])) AS dossier_code
),
new_rows AS (
    INSERT INTO flow.lease (dossier_code, work, epoch, holder, acquired_at, expires_at)
    SELECT w.dossier_code, :work, 1, :holder, :now, :expires_at
    FROM wanted w
    WHERE NOT EXISTS (SELECT FROM flow.lease l WHERE l.dossier_code = w.dossier_code AND l.work = :work)
    ORDER BY w.dossier_code
    ON CONFLICT DO NOTHING
    RETURNING dossier_code, epoch
),
free AS (
    SELECT l.dossier_code
    FROM flow.lease l
    JOIN wanted w USING (dossier_code)
    WHERE l.work = :work
        AND (l.holder IS NULL OR l.expires_at <= :now OR l.expires_at > CAST(:expires_at AS timestamptz) + interval '1 minute')
    FOR UPDATE OF l SKIP LOCKED
),
taken AS (
    UPDATE flow.lease l
    SET epoch = l.epoch + 1, holder = :holder, acquired_at = :now, expires_at = :expires_at
    FROM free
    WHERE l.dossier_code = free.dossier_code AND l.work = :work
    RETURNING l.dossier_code, l.epoch
)
SELECT dossier_code, epoch FROM new_rows
UNION ALL
SELECT dossier_code, epoch FROM taken
