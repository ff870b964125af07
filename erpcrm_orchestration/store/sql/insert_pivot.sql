-- Gives every pivot file of the batch its dataset, once: a name that is known comes back with the hash of its first content.
WITH incoming AS (
    SELECT *
    FROM jsonb_to_recordset(CAST(:pivots AS jsonb)) AS r (
        source_key text, type_code text, origin text, category text, state_group text, last_error text, companions text[],
        payload text, fields jsonb, content_hash text
    )
), added AS (
    INSERT INTO flow.hub_dataset (
        dossier_code, type_code, category, origin, intake, source_key, state_number, state_group, created_at, updated_at,
        last_error, pivot_name, companions, payload, fields, content_hash
    )
    SELECT
        :dossier_code, type_code, category, origin, 'data_hub', source_key, :entry_state, state_group, :now, :now,
        last_error, source_key, companions, payload, fields, content_hash
    FROM incoming
    WHERE NOT EXISTS (
        SELECT FROM flow.hub_dataset AS known
        WHERE known.dossier_code = :dossier_code AND known.intake = 'data_hub' AND known.source_key = incoming.source_key
    )
    ORDER BY source_key
    ON CONFLICT (dossier_code, intake, source_key) DO NOTHING
    RETURNING source_key, dataset_number
)
SELECT source_key, dataset_number FROM added
