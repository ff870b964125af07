-- Takes the staged records of one stream into the inbox: what is new to us becomes a message, what we have is only counted.
-- The newest version of a key is NEW; an older one is kept as SUPERSEDED and asked for anew: the system's clock may have gone
-- back, or a deletion that we have may be younger by our clock only. Other content with the version we have is refused and asked
-- for anew, unless it was asked for on demand, or cannot be: then it is what the source holds now. SHOWN is what we had before
-- a deletion: it is asked for too, because it may be there again.
WITH ranked AS (
    SELECT
        staged.*,
        row_number() OVER (PARTITION BY source_id ORDER BY fault IS NOT NULL, version_at DESC NULLS LAST, position) AS place,
        first_value(version_at) OVER (
            PARTITION BY source_id ORDER BY fault IS NOT NULL, version_at DESC NULLS LAST, position
        ) AS first_version,
        first_value(content_hash) OVER (
            PARTITION BY source_id ORDER BY fault IS NOT NULL, version_at DESC NULLS LAST, position
        ) AS first_hash
    FROM received_staging AS staged
), judged AS (
    SELECT
        ranked.*,
        head.external_id IS NOT NULL AS known,
        head.content_hash AS head_hash,
        head.refused_hash,
        CASE
            WHEN fault IS NOT NULL AND head.refused_hash = ranked.content_hash THEN 'SAME'
            WHEN fault IS NOT NULL THEN 'FAULT'
            WHEN place > 1 AND first_hash = ranked.content_hash THEN 'SAME'
            WHEN place = 1 AND head.content_hash IS NULL THEN 'NEW'
            WHEN ranked.deleted AND head.content_hash = 'deleted' THEN 'SAME'
            WHEN place = 1 AND head.content_hash = 'deleted' AND :complete THEN 'NEW'
            WHEN head.content_hash = ranked.content_hash
                AND (ranked.version_at IS NULL OR ranked.version_at IS NOT DISTINCT FROM head.version_at) THEN 'SAME'
            WHEN place = 1 AND (ranked.version_at IS NULL OR head.version_at IS NULL OR ranked.version_at > head.version_at)
                THEN 'NEW'
            WHEN place = 1 AND :via = 'on_demand' THEN 'NEW'
            WHEN EXISTS (
                SELECT FROM flow.inbox AS stored
                WHERE stored.dossier_code = :dossier_code
                    AND stored.system_code = :system_code
                    AND stored.entity = :entity
                    AND stored.source_id = ranked.source_id
                    AND stored.content_hash = ranked.content_hash
                    -- What stood before the content that we have, with the same version, may be what the source holds again.
                    AND (ranked.version_at < head.version_at OR stored.message_id > head.message_id)
            ) THEN CASE WHEN place = 1 AND head.content_hash = 'deleted' THEN 'SHOWN' ELSE 'SAME' END
            WHEN place = 1 AND :take_rivals THEN 'NEW'
            WHEN ranked.version_at IS NOT DISTINCT FROM CASE place WHEN 1 THEN head.version_at ELSE first_version END THEN 'RIVAL'
            ELSE 'OLD'
        END AS verdict
    FROM ranked
    LEFT JOIN LATERAL (
        SELECT * FROM hub.cross_reference
        WHERE dossier_code = :dossier_code
            AND system_code = :system_code
            AND entity = :entity
            AND external_id = ranked.source_id
        OFFSET 0
    ) AS head ON true
), wanted AS (
    SELECT judged.*
    FROM judged
    WHERE verdict NOT IN ('SAME', 'SHOWN')
), inserted AS (
    INSERT INTO flow.inbox (
        dossier_code, connection_code, system_code, stream, entity, source_id, version_at, content_hash, deleted, received_at,
        via, delivery_id, payload, state, error, closed_at, run_id
    )
    SELECT
        :dossier_code, :connection_code, :system_code, :stream, :entity, source_id, version_at, content_hash, deleted, :now,
        :via, :delivery_id, payload,
        CASE verdict WHEN 'NEW' THEN 'NEW' WHEN 'OLD' THEN 'SUPERSEDED' ELSE 'REJECTED' END,
        CASE verdict
            WHEN 'FAULT' THEN fault
            WHEN 'RIVAL' THEN 'E-INT-001 ' || source_id || ': same version different hash; it is fetched anew'
        END,
        CASE WHEN verdict <> 'NEW' THEN CAST(:now AS timestamptz) END,
        :run_id
    FROM wanted
    ORDER BY position
    RETURNING message_id, source_id, version_at, content_hash, state, deleted, error
), heads AS (
    SELECT
        source_id,
        max(message_id) FILTER (WHERE state = 'NEW') AS message_id,
        max(version_at) FILTER (WHERE state = 'NEW') AS version_at,
        max(content_hash) FILTER (WHERE state = 'NEW') AS content_hash,
        max(content_hash) FILTER (WHERE state = 'REJECTED') AS refused_hash
    FROM inserted
    WHERE state IN ('NEW', 'REJECTED')
    GROUP BY source_id
), moved AS (
    INSERT INTO hub.cross_reference AS head (
        dossier_code, system_code, entity, external_id, version_at, content_hash, message_id, refused_hash, first_received_at
    )
    SELECT :dossier_code, :system_code, :entity, source_id, version_at, content_hash, message_id, refused_hash, :now
    FROM heads
    ORDER BY source_id
    ON CONFLICT (dossier_code, system_code, entity, external_id) DO UPDATE SET
        version_at = CASE WHEN excluded.message_id IS NULL THEN head.version_at ELSE excluded.version_at END,
        content_hash = CASE WHEN excluded.message_id IS NULL THEN head.content_hash ELSE excluded.content_hash END,
        message_id = coalesce(excluded.message_id, head.message_id),
        refused_hash = excluded.refused_hash,
        first_received_at = coalesce(head.first_received_at, excluded.first_received_at)
), logged AS (
    -- What is fetched anew is no reject. A webhook has no run: its delivery is the synchronisation.
    INSERT INTO flow.logbook_entry (
        dossier_code, at, origin, entry_key, sync_id, program, action, outcome, message, run_id, recorded_at
    )
    SELECT
        :dossier_code, :now, 'connection:' || CAST(:connection_code AS text), CAST(message_id AS text),
        coalesce(CAST(:run_id AS text), :delivery_id), 'erpcrm', 'INTEGRATION', 'REJECT', error, :run_id, :now
    FROM inserted
    WHERE state = 'REJECTED' AND error NOT LIKE 'E-INT-001 %'
    ON CONFLICT DO NOTHING
)
SELECT
    count(*) FILTER (WHERE verdict = 'NEW') AS new,
    count(*) FILTER (WHERE verdict IN ('SAME', 'SHOWN')) AS same,
    count(*) FILTER (WHERE verdict = 'OLD') AS old,
    count(*) FILTER (WHERE verdict IN ('RIVAL', 'FAULT')) AS refused,
    coalesce(array_agg(DISTINCT source_id) FILTER (WHERE verdict IN ('RIVAL', 'OLD', 'SHOWN')), '{}') AS rivals,
    coalesce(array_agg(source_id) FILTER (WHERE verdict = 'NEW' AND known), '{}') AS renewed,
    -- Of what has a refused text: what shows that the source holds what we have, and what shows something else.
    coalesce(array_agg(source_id) FILTER (WHERE refused_hash IS NOT NULL AND is_ours), '{}') AS confirmed,
    coalesce(array_agg(source_id) FILTER (WHERE refused_hash IS NOT NULL AND is_ours IS NOT TRUE), '{}') AS disputed,
    count(*) FILTER (WHERE verdict = 'NEW' AND version_at < CAST(:watermark AS timestamptz) AND version_at >= CAST(:after AS timestamptz))
        AS late,
    coalesce(ceil(extract(epoch FROM CAST(:watermark AS timestamptz) - min(version_at) FILTER (
        WHERE verdict = 'NEW' AND version_at < CAST(:watermark AS timestamptz) AND version_at >= CAST(:after AS timestamptz)
    ))), 0)::integer AS max_lateness_s
FROM (SELECT *, verdict = 'SAME' AND fault IS NULL AND content_hash = head_hash AS is_ours FROM judged) AS told
