-- Active dossiers with a dataset that the automaton could move.
SELECT DISTINCT dataset.dossier_code
FROM flow.hub_dataset AS dataset
JOIN hub.dossier AS dossier ON dossier.dossier_code = dataset.dossier_code AND dossier.active
JOIN hub.automaton_state AS state
    ON state.type_code = dataset.type_code AND state.state_number = dataset.state_number
WHERE dataset.intake = 'data_hub'
    AND dataset.state_group <> 'CLOSED_OK'
    AND dataset.state_group NOT IN ('CLOSED_KO', 'ERROR')
    AND state.action = 'AUTOMATIC'
ORDER BY dataset.dossier_code
