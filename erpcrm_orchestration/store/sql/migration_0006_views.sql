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
