-- Who is told of accounts without movement, and of which: a row for each address, with the first :most of its accounts as texts.
-- The row of address * is for those who are told of all accounts; they have no other, and its count ends with :most. The rows of
-- the order are read once and joined with nothing: they were written just now, and the planner knows nothing of them.
WITH listed AS MATERIALIZED (
    SELECT
        customer_id, outcome, details ->> 'emailUserResp' AS owner_email, details ->> 'nomUsuarResp' AS owner,
        details ->> 'emailUsuarTransf' AS new_email, details ->> 'nomUsuarTransf' AS new_owner,
        concat_ws(' ', details ->> 'codPessoaErp', details ->> 'nomRazao')
        || CASE
            WHEN outcome = 'changed' THEN format(' (%s → %s)', coalesce(details ->> 'nomUsuarResp', '-'), details ->> 'nomUsuarTransf')
            ELSE coalesce(' (' || nullif(details ->> 'nomUsuarResp', '') || ')', '')
        END AS shown
    FROM automation.order_result
    WHERE dossier_code = :dossier_code AND order_number = :order_number AND details ? 'Seq'
), told AS (
    SELECT customer_id, shown, owner_email AS address, owner AS name FROM listed WHERE :tells_responsible
    UNION ALL
    SELECT customer_id, shown, new_email, new_owner FROM listed WHERE :tells_new AND outcome = 'changed'
    UNION ALL
    (SELECT customer_id, shown, '*', NULL
     FROM listed
     WHERE cardinality(CAST(:told_of_all AS text[])) > 0
     ORDER BY customer_id
     LIMIT :most)
), ranked AS (
    SELECT
        lower(address) AS person, min(address) AS address, min(name) AS name, min(shown) AS shown,
        row_number() OVER (PARTITION BY lower(address) ORDER BY customer_id) AS place,
        count(*) OVER (PARTITION BY lower(address)) AS accounts
    FROM told
    WHERE address IS NOT NULL AND lower(address) <> ALL(CAST(:told_of_all AS text[]))
    GROUP BY lower(address), customer_id
)
SELECT
    min(address) AS address, min(name) AS name, max(accounts) AS accounts, array_agg(shown ORDER BY place) AS shown
FROM ranked
WHERE place <= :most
GROUP BY person
ORDER BY person
