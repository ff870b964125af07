-- Writes where the automaton left the datasets of a batch.
UPDATE flow.hub_dataset AS dataset SET
    state_number = moved.state_number,
    state_group = moved.state_group,
    last_error = moved.last_error,
    updated_at = :now
FROM jsonb_to_recordset(CAST(:moves AS jsonb)) AS moved (
    dossier_code text, dataset_number bigint, state_number integer, state_group text, last_error text
)
WHERE dataset.dossier_code = moved.dossier_code AND dataset.dataset_number = moved.dataset_number
