-- The accounts in `scope` whose birthday it is and that were not greeted this year, with what a greeting says of them.
SELECT
    c.customer_id,
    nullif(trim(c.email), '') AS email,
    coalesce(nullif(c.company, ''), nullif(concat_ws(' ', nullif(c.first_name, ''), nullif(c.last_name, '')), ''), c.code) AS name,
    c.first_name,
    c.language,
    e.name AS responsible_name
FROM scope s
JOIN hub.customer c ON c.dossier_code = :dossier_code AND c.customer_id = s.customer_id
LEFT JOIN hub.employee e ON e.dossier_code = :dossier_code AND e.employee_id = c.responsible_id
WHERE to_char(c.birth_date, 'MMDD') = ANY(CAST(:days AS text[]))
  AND NOT EXISTS (
      SELECT FROM automation.birthday_greeting g
      WHERE g.dossier_code = :dossier_code AND g.customer_id = c.customer_id AND g.year = :year)
ORDER BY c.customer_id
