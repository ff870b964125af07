-- Who was greeted this year, with the mail that does it.
INSERT INTO automation.birthday_greeting (dossier_code, order_number, customer_id, year, mail_id, greeted_at)
SELECT :dossier_code, :order_number, g.customer_id, :year, m.mail_id, :now
FROM unnest(CAST(:customer_ids AS bigint[]), CAST(:keys AS text[])) AS g (customer_id, idempotency_key)
LEFT JOIN flow.mail m ON m.idempotency_key = g.idempotency_key
