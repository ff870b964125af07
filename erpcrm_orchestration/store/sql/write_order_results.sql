-- What became of single accounts of an order; `rows` is a JSON array.
INSERT INTO automation.order_result (dossier_code, order_number, customer_id, outcome, message, details)
SELECT :dossier_code, :order_number, r.customer_id, r.outcome, r.message, coalesce(r.details, '{}')
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (customer_id bigint, outcome text, message text, details jsonb)
ON CONFLICT (dossier_code, order_number, customer_id) DO UPDATE
SET outcome = excluded.outcome, message = excluded.message, details = excluded.details
