UPDATE hub.cross_reference AS x SET base = told.base
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS told (external_id text, base jsonb)
WHERE x.dossier_code = :dossier_code
    AND x.system_code = :system_code
    AND x.entity = :entity
    AND x.external_id = told.external_id
    AND x.base IS DISTINCT FROM told.base
