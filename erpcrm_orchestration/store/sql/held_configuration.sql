-- Call targets, dataset types and connections that data refers to, by the section of the configuration that they stand in.
SELECT 'call_targets' AS section, target_code AS code
FROM hub.call_target AS t
WHERE EXISTS (SELECT FROM flow.inter_company_task AS i WHERE i.target_code = t.target_code)
   OR EXISTS (SELECT FROM flow.outbound_call AS o WHERE o.target_code = t.target_code)
UNION ALL
SELECT 'dataset_types', type_code
FROM hub.dataset_type AS t
WHERE EXISTS (SELECT FROM flow.hub_dataset AS h WHERE h.type_code = t.type_code)
UNION ALL
SELECT 'servers', server_code
FROM automation.server AS t
WHERE EXISTS (SELECT FROM automation.execution_order AS o WHERE o.server_code = t.server_code)
UNION ALL
SELECT 'connections', connection_code
FROM hub.connection AS c
WHERE EXISTS (SELECT FROM flow.inbox AS i WHERE i.dossier_code = c.dossier_code AND i.system_code = c.system_code)
   OR EXISTS (SELECT FROM flow.work_item AS w WHERE w.dossier_code = c.dossier_code AND w.system_code = c.system_code)
