-- The last days of the alerts that a person may see: how many were open at the end of each day, opened and closed on it,
-- and the median seconds to repair of those closed. An alert of the installation is for those who may see everything.
SELECT d.day, c.open_alerts, c.opened, c.closed, c.median_repair_s
FROM generate_series(CAST(:first_day AS timestamptz), CAST(:now AS timestamptz), interval '1 day') AS d (day)
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE a.closed_at IS NULL OR a.closed_at >= d.day + interval '1 day') AS open_alerts,
        count(*) FILTER (WHERE a.opened_at >= d.day) AS opened,
        count(*) FILTER (WHERE a.closed_at < d.day + interval '1 day') AS closed,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM a.closed_at - a.opened_at))
            FILTER (WHERE a.closed_at < d.day + interval '1 day') AS median_repair_s
    FROM supervision.alert AS a
    WHERE a.opened_at < d.day + interval '1 day'
        AND (a.closed_at IS NULL OR a.closed_at >= d.day)
        AND EXISTS (
            SELECT FROM board.person_grant AS g
            WHERE g.person_id = :person_id AND g.dossier_code IN ('*', coalesce(a.dossier_code, '*')) AND g.access >= 'view'
        )
) AS c
ORDER BY d.day
