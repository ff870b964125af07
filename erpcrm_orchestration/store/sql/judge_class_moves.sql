-- Which accounts of `class_now` a rule moves on the run date: of the rules that match, the first by priority. `rules` is a JSON
-- array. Accounts whose purchases cannot be added up have a fault instead of a move.
WITH rule AS MATERIALIZED (
    SELECT *
    FROM jsonb_to_recordset(CAST(:rules AS jsonb)) AS r (
        rule_code text, from_class text, to_class text, metric text, operator text, threshold numeric, threshold_to numeric,
        window_days integer, priority integer
    )
), bought AS MATERIALIZED (
    SELECT
        d.customer_id,
        coalesce(sum(d.value), 0) AS accumulated_value,
        count(*) FILTER (WHERE d.type = 'invoice') AS purchase_count,
        max(d.document_date) FILTER (WHERE d.type = 'invoice') AS last_purchase_date,
        min(d.document_id) FILTER (WHERE d.total IS NULL OR d.document_date IS NULL) AS incomplete,
        min(d.currency) AS one_currency,
        max(d.currency) AS other_currency
    FROM class_now n
    JOIN automation.account_document d ON d.dossier_code = :dossier_code AND d.customer_id = n.customer_id
    WHERE d.customer_id BETWEEN :first AND :last
      AND d.type <> 'quotation'
      AND (d.document_date IS NULL OR d.document_date <= :run_date)
    GROUP BY d.customer_id
), bought_in_window AS MATERIALIZED (
    SELECT
        d.customer_id, w.window_days,
        coalesce(sum(d.value), 0) AS value_in_window,
        count(*) FILTER (WHERE d.type = 'invoice') AS count_in_window
    FROM (SELECT DISTINCT window_days FROM rule WHERE window_days IS NOT NULL) w
    JOIN automation.account_document d
        ON d.dossier_code = :dossier_code
        AND d.customer_id BETWEEN :first AND :last
        AND d.document_date > :run_date - w.window_days
        AND d.document_date <= :run_date
    JOIN class_now n ON n.customer_id = d.customer_id
    WHERE d.type <> 'quotation'
    GROUP BY d.customer_id, w.window_days
), measured AS (
    SELECT
        n.customer_id, n.class_code, r.rule_code, r.to_class, r.priority, r.operator, r.threshold, r.threshold_to,
        CASE r.metric
            WHEN 'accumulated_value' THEN coalesce(b.accumulated_value, 0)
            WHEN 'purchase_count' THEN coalesce(b.purchase_count, 0)
            WHEN 'value_in_window' THEN coalesce(w.value_in_window, 0)
            WHEN 'count_in_window' THEN coalesce(w.count_in_window, 0)
            WHEN 'days_since_last_purchase' THEN :run_date - b.last_purchase_date
            WHEN 'days_in_class' THEN :run_date - n.since
        END AS metric_value
    FROM class_now n
    JOIN rule r ON (r.from_class IS NULL OR r.from_class = n.class_code) AND r.to_class IS DISTINCT FROM n.class_code
    LEFT JOIN bought b ON b.customer_id = n.customer_id
    LEFT JOIN bought_in_window w ON w.customer_id = n.customer_id AND w.window_days = r.window_days
), moved AS (
    SELECT DISTINCT ON (customer_id) customer_id, class_code, to_class, rule_code, metric_value
    FROM measured
    WHERE CASE operator
        WHEN '>=' THEN metric_value >= threshold
        WHEN '<=' THEN metric_value <= threshold
        ELSE metric_value BETWEEN threshold AND threshold_to
    END
    ORDER BY customer_id, priority, rule_code
), broken AS (
    SELECT
        customer_id,
        CASE
            WHEN incomplete IS NOT NULL THEN format('document %s has no date or no total', incomplete)
            ELSE format('documents in %s and %s', one_currency, other_currency)
        END AS fault
    FROM bought
    WHERE incomplete IS NOT NULL OR one_currency <> other_currency
)
INSERT INTO class_move (customer_id, from_class, to_class, rule_code, metric_value, fault)
SELECT m.customer_id, m.class_code, m.to_class, m.rule_code, m.metric_value, NULL
FROM moved m
WHERE NOT EXISTS (SELECT FROM broken b WHERE b.customer_id = m.customer_id)
UNION ALL
SELECT customer_id, NULL, NULL, NULL, NULL, fault FROM broken
