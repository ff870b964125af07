-- Keeps what a routine that a company added did with each account; accounts of the slice that it did not return are unchanged.
WITH kept AS (
    INSERT INTO automation.order_result AS kept (dossier_code, order_number, customer_id, outcome, message)
    SELECT
        :dossier_code, :order_number, customer_id, outcome,
        CASE WHEN outcome = 'error' THEN format('E-ORD-046 account %s: %s', customer_id, coalesce(message, 'no reason was given'))
            ELSE message END
    FROM routine_outcome
    WHERE outcome IN ('changed', 'skipped', 'error')
    ON CONFLICT (dossier_code, order_number, customer_id) DO UPDATE SET outcome = excluded.outcome, message = excluded.message
), counted AS (
    SELECT
        count(*) FILTER (WHERE outcome = 'changed') AS changed,
        count(*) FILTER (WHERE outcome = 'skipped') AS skipped,
        count(*) FILTER (WHERE outcome = 'error') AS errors
    FROM routine_outcome
)
SELECT changed, (SELECT count(*) FROM scope) - changed - skipped - errors AS unchanged, skipped, errors FROM counted
