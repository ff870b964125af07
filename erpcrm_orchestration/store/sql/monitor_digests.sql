-- Who is told of accounts without movement, and of which: a row for each address, with the first :most of its accounts as texts.
-- The row of address * is for those who are told of all accounts; they have no other, and its count ends with :most.
WITH told AS (
    SELECT customer_id, outcome, details, details ->> 'emailUserResp' AS address, details ->> 'nomUsuarResp' AS name
    FROM automation.order_result
    WHERE dossier_code = :dossier_code AND order_number = :order_number AND :tells_responsible AND details ? 'Seq'
    UNION ALL
    SELECT customer_id, outcome, details, details ->> 'emailUsuarTransf', details ->> 'nomUsuarTransf'
    FROM automation.order_result
    WHERE dossier_code = :dossier_code AND order_number = :order_number AND :tells_new AND details ? 'Seq' AND outcome = 'changed'
    UNION ALL
    (SELECT customer_id, outcome, details, '*', NULL
     FROM automation.order_result
     WHERE dossier_code = :dossier_code AND order_number = :order_number AND details ? 'Seq'
         AND cardinality(CAST(:told_of_all AS text[])) > 0
     ORDER BY customer_id
     LIMIT :most)
), ranked AS (
    SELECT
        lower(address) AS person, min(address) AS address, min(name) AS name, customer_id, min(outcome) AS outcome,
        row_number() OVER (PARTITION BY lower(address) ORDER BY customer_id) AS place,
        count(*) OVER (PARTITION BY lower(address)) AS accounts
    FROM told
    WHERE address IS NOT NULL AND lower(address) <> ALL(CAST(:told_of_all AS text[]))
    GROUP BY lower(address), customer_id
)
SELECT
    min(k.address) AS address, min(k.name) AS name, max(k.accounts) AS accounts,
    array_agg(
        concat_ws(' ', r.details ->> 'codPessoaErp', r.details ->> 'nomRazao')
        || CASE
            WHEN k.outcome = 'changed'
                THEN format(' (%s → %s)', coalesce(r.details ->> 'nomUsuarResp', '-'), r.details ->> 'nomUsuarTransf')
            ELSE coalesce(' (' || nullif(r.details ->> 'nomUsuarResp', '') || ')', '')
        END
        ORDER BY k.place
    ) AS shown
FROM ranked k
JOIN automation.order_result r
    ON r.dossier_code = :dossier_code AND r.order_number = :order_number AND r.customer_id = k.customer_id
WHERE k.place <= :most
GROUP BY k.person
ORDER BY k.person
