-- How the inbox of every entity of these dossiers stands, and its changes for other systems. Only what is open and what is a
-- problem is read, by partial indexes.
WITH open AS (
    SELECT dossier_code, entity,
        count(*) AS open,
        count(*) FILTER (WHERE state = 'WAITING') AS waiting,
        min(received_at) AS oldest_at
    FROM flow.inbox
    WHERE dossier_code = ANY(CAST(:dossier_codes AS text[])) AND state IN ('NEW', 'WAITING')
    GROUP BY dossier_code, entity
), problem AS (
    SELECT dossier_code, entity,
        count(*) FILTER (WHERE state = 'REJECTED') AS rejected,
        count(*) FILTER (WHERE state = 'DEAD') AS dead,
        count(*) FILTER (WHERE state = 'REJECTED' AND error LIKE 'E-INT-001 %') AS rivals,
        count(*) FILTER (WHERE state = 'TRANSFORMED') AS warned,
        count(*) FILTER (WHERE state = 'TRANSFORMED' AND warning LIKE '%is not the sum%') AS totals_differ,
        min(coalesce(error, warning)) AS sample
    FROM flow.inbox
    WHERE dossier_code = ANY(CAST(:dossier_codes AS text[])) AND (state IN ('REJECTED', 'DEAD') OR warning IS NOT NULL)
        AND state <> 'SUPERSEDED'
    GROUP BY dossier_code, entity
), drift AS (
    SELECT d.dossier_code, d.stream, c.connector_code, string_agg(d.path, ', ' ORDER BY d.path) AS paths
    FROM flow.stream_drift AS d
    JOIN hub.connection AS c ON c.connection_code = d.connection_code
    WHERE d.dossier_code = ANY(CAST(:dossier_codes AS text[])) AND d.accepted_at IS NULL
    GROUP BY d.dossier_code, d.stream, c.connector_code
), drifted AS (
    SELECT drift.dossier_code, one.value -> 'map' ->> 'entity' AS entity, string_agg(drift.paths, ', ') AS drift
    FROM drift
    JOIN hub.connector AS c ON c.connector_code = drift.connector_code
    CROSS JOIN LATERAL jsonb_array_elements(c.definition -> 'entities') AS one (value)
    WHERE one.value ->> 'name' = drift.stream
    GROUP BY drift.dossier_code, one.value -> 'map' ->> 'entity'
), undecided AS (
    SELECT dossier_code, entity, count(*) AS conflicts
    FROM flow.field_conflict
    WHERE dossier_code = ANY(CAST(:dossier_codes AS text[])) AND closed_at IS NULL
    GROUP BY dossier_code, entity
), undelivered AS (
    SELECT dossier_code, entity, count(*) AS undelivered, min(created_at) AS planned_at, min(last_error) AS sample
    FROM flow.work_item
    WHERE dossier_code = ANY(CAST(:dossier_codes AS text[])) AND event = 'outbound' AND state IN ('QUEUED', 'LEASED', 'RETRY')
    GROUP BY dossier_code, entity
), untold AS (
    SELECT
        w.dossier_code,
        w.entity,
        count(*) FILTER (WHERE w.state = 'DEAD') AS given_up,
        count(*) FILTER (WHERE w.state = 'CONFLICT') AS forbidden,
        min(w.last_error) AS sample
    FROM flow.work_item AS w
    WHERE w.dossier_code = ANY(CAST(:dossier_codes AS text[]))
        AND w.event = 'outbound'
        AND w.state IN ('DEAD', 'CONFLICT')
        AND (
            w.state = 'DEAD'
            OR w.in_doubt
            OR NOT EXISTS (
                SELECT FROM flow.work_item AS later
                WHERE later.dossier_code = w.dossier_code
                    AND later.system_code = w.system_code
                    AND later.entity = w.entity
                    AND later.record_id = w.record_id
                    AND later.work_id > w.work_id
                    AND later.event = 'outbound'
            )
        )
    GROUP BY w.dossier_code, w.entity
)
SELECT
    dossier_code,
    entity,
    coalesce(open.open, 0) AS open,
    open.oldest_at,
    coalesce(open.waiting, 0) AS waiting,
    coalesce(problem.rejected, 0) AS rejected,
    coalesce(problem.dead, 0) AS dead,
    coalesce(problem.rivals, 0) AS rivals,
    coalesce(problem.warned, 0) AS warned,
    coalesce(problem.totals_differ, 0) AS totals_differ,
    problem.sample,
    drifted.drift,
    coalesce(undecided.conflicts, 0) AS conflicts,
    coalesce(undelivered.undelivered, 0) AS undelivered,
    undelivered.planned_at,
    coalesce(untold.given_up, 0) AS given_up,
    coalesce(untold.forbidden, 0) AS forbidden,
    coalesce(untold.sample, undelivered.sample) AS delivery_sample
FROM open
FULL JOIN problem USING (dossier_code, entity)
FULL JOIN drifted USING (dossier_code, entity)
FULL JOIN undecided USING (dossier_code, entity)
FULL JOIN undelivered USING (dossier_code, entity)
FULL JOIN untold USING (dossier_code, entity)
