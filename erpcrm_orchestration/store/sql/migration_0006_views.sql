-- What counts as purchase and quotation of an account: one definition for every routine. `value` is what it adds to what was bought.
CREATE VIEW automation.account_document AS
SELECT
    dossier_code, customer_id, document_id, type, number, document_date, total, currency,
    CASE type WHEN 'invoice' THEN total WHEN 'credit_note' THEN -abs(total) END AS value
FROM hub.document
WHERE customer_id IS NOT NULL
  AND deleted_at IS NULL
  AND type IN ('invoice', 'credit_note', 'quotation')
  AND state IS DISTINCT FROM 'cancelled'
;

-- What people see of the accounts of an order: its results, and what stands in the history of classes because it did it.
CREATE VIEW automation.order_detail AS
SELECT dossier_code, order_number, customer_id, outcome, message, details
FROM automation.order_result
UNION ALL
SELECT
    dossier_code, order_number, customer_id, 'changed', NULL,
    jsonb_build_object('from', from_class, 'to', to_class, 'rule', rule_code, 'metric_value', metric_value)
FROM automation.class_transition
