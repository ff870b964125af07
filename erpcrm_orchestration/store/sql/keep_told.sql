-- What a system told stays; beside it stands the value of ours that it was told now.
UPDATE hub.cross_reference AS x SET base = (
    SELECT jsonb_object_agg(
        kept.key,
        CASE WHEN told.value IS NULL THEN kept.value
        ELSE jsonb_build_array(CASE jsonb_typeof(kept.value) WHEN 'array' THEN kept.value -> 0 ELSE kept.value END, told.value) END
    )
    FROM jsonb_each(x.base) AS kept
    LEFT JOIN jsonb_each(CAST(:told AS jsonb)) AS told USING (key)
)
WHERE x.dossier_code = :dossier_code
    AND x.system_code = :system_code
    AND x.entity = :entity
    AND x.external_id = :external_id
    AND x.base <> '{}'
