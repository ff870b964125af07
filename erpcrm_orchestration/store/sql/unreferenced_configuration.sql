-- Codes that nothing in the tables refers to, by the section of the configuration that they stand in.
SELECT 'mail_groups' AS section, group_code AS code
FROM hub.mail_group AS g
WHERE NOT EXISTS (SELECT FROM automation.process AS p WHERE p.mail_group = g.group_code OR p.mail_group = ANY (g.aliases))
UNION ALL
SELECT 'mail_templates', template_code
FROM hub.mail_template AS t
WHERE NOT EXISTS (SELECT FROM automation.process AS p WHERE t.template_code IN (p.mail_template, p.recovery_template))
UNION ALL
SELECT 'call_targets', target_code
FROM hub.call_target AS t
WHERE NOT EXISTS (SELECT FROM hub.dossier AS d WHERE d.mobility_target = t.target_code)
  AND NOT EXISTS (SELECT FROM hub.source AS s WHERE s.definition #>> '{tasks,target}' = t.target_code)
  AND NOT EXISTS (SELECT FROM flow.inter_company_task AS i WHERE i.target_code = t.target_code)
  AND NOT EXISTS (SELECT FROM flow.outbound_call AS o WHERE o.target_code = t.target_code)
UNION ALL
SELECT 'dataset_types', type_code
FROM hub.dataset_type AS t
WHERE NOT EXISTS (SELECT FROM flow.hub_dataset AS h WHERE h.type_code = t.type_code)
  AND NOT EXISTS (
      SELECT FROM hub.source AS s, jsonb_array_elements(s.definition -> 'datasets') AS m WHERE m ->> 'type_code' = t.type_code
  )
UNION ALL
SELECT 'sources', source_code
FROM hub.source AS s
WHERE NOT EXISTS (SELECT FROM hub.dossier AS d WHERE d.source_code = s.source_code)
