-- The moves of `class_move` as history and as classes of the accounts; those of a dry run, and errors, as results of the order.
WITH kept AS (
    INSERT INTO automation.class_transition (
        dossier_code, order_number, customer_id, from_class, to_class, rule_code, metric_value, on_date, at
    )
    SELECT :dossier_code, :order_number, customer_id, from_class, to_class, rule_code, metric_value, :run_date, :now
    FROM class_move
    WHERE fault IS NULL AND NOT :dry_run
), changed AS (
    UPDATE hub.customer c
    SET class_code = m.to_class, updated_at = :now
    FROM class_move m
    WHERE c.dossier_code = :dossier_code AND c.customer_id = m.customer_id AND m.fault IS NULL AND NOT :dry_run
), told AS (
    INSERT INTO automation.order_result AS kept (dossier_code, order_number, customer_id, outcome, message, details)
    SELECT
        :dossier_code, :order_number, customer_id,
        CASE WHEN fault IS NULL THEN 'changed' ELSE 'error' END,
        CASE WHEN fault IS NOT NULL THEN format('E-ORD-022 account %s: %s', customer_id, fault) END,
        CASE
            WHEN fault IS NULL
                THEN jsonb_build_object('from', from_class, 'to', to_class, 'rule', rule_code, 'metric_value', metric_value)
            ELSE '{}'
        END
    FROM class_move
    WHERE fault IS NOT NULL OR :dry_run
    ON CONFLICT (dossier_code, order_number, customer_id) DO UPDATE
    SET outcome = excluded.outcome, message = excluded.message, details = excluded.details
)
SELECT
    count(m.customer_id) FILTER (WHERE m.fault IS NULL) AS changed,
    count(*) FILTER (WHERE m.customer_id IS NULL) AS unchanged,
    0 AS skipped,
    count(m.customer_id) FILTER (WHERE m.fault IS NOT NULL) AS errors
FROM class_now n
LEFT JOIN class_move m USING (customer_id)
