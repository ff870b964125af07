-- Datasets of pivot files that stand in an automatic state, locked for this pass; one in ERROR there waits for a person.
SELECT
    dataset.dossier_code, dataset.dataset_number, dataset.type_code, dataset.state_number, dataset.attempts,
    dataset.fields, dataset.companions
FROM flow.hub_dataset AS dataset
JOIN hub.automaton_state AS state
    ON state.type_code = dataset.type_code AND state.state_number = dataset.state_number
WHERE dataset.dossier_code = ANY(:dossier_codes)
    AND dataset.intake = 'data_hub'
    AND dataset.state_group NOT IN ('CLOSED_OK', 'CLOSED_KO', 'ERROR')
    AND state.action = 'AUTOMATIC'
ORDER BY dataset.dataset_number
LIMIT :batch
FOR UPDATE OF dataset SKIP LOCKED
