-- What does not fit together in the tables, one line each; `config apply` refuses all of it, hand-written rows may hold it.
SELECT format('dossier %s: mail group %s does not exist', p.dossier_code, p.mail_group) AS problem
FROM automation.process p
WHERE NOT EXISTS (SELECT FROM hub.mail_group g WHERE g.group_code = p.mail_group OR p.mail_group = ANY (g.aliases))
UNION ALL
SELECT format('dossier %s: mail template %s does not exist', p.dossier_code, wanted.template_code)
FROM automation.process p
CROSS JOIN LATERAL (VALUES (p.mail_template), (p.recovery_template)) AS wanted (template_code)
WHERE wanted.template_code IS NOT NULL
  AND NOT EXISTS (SELECT FROM hub.mail_template t WHERE t.template_code = wanted.template_code)
UNION ALL
SELECT format('dossier %s has no process', d.dossier_code)
FROM hub.dossier d
WHERE NOT EXISTS (SELECT FROM automation.process p WHERE p.dossier_code = d.dossier_code)
UNION ALL
SELECT format('dossier %s: time zone %s is unknown', d.dossier_code, d.time_zone)
FROM hub.dossier d
WHERE NOT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = d.time_zone)
UNION ALL
SELECT format('the common dossier %s must exist and be active', g.definition ->> 'common_dossier')
FROM hub.general_parameters g
WHERE g.definition ->> 'common_dossier' IS NOT NULL
  AND NOT EXISTS (SELECT FROM hub.dossier d WHERE d.dossier_code = g.definition ->> 'common_dossier' AND d.active)
ORDER BY problem
