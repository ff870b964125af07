-- The nine fields of the complement for the accounts in `scope`, from invoices, credit notes and quotations up to the run date.
-- Rows are written only where something differs. One row of counts comes back; accounts with documents that cannot be added up
-- are errors, and keep what they have. The bounds of `scope` stand beside it, so that a slice reads its part of the index alone.
WITH told AS MATERIALIZED (
    SELECT
        d.customer_id,
        count(*) FILTER (WHERE d.type = 'invoice') AS purchase_count,
        min(d.document_date) FILTER (WHERE d.type = 'invoice') AS first_purchase_date,
        max(d.document_date) FILTER (WHERE d.type = 'invoice') AS last_purchase_date,
        max(d.document_date) FILTER (WHERE d.type = 'quotation') AS last_quotation_date,
        coalesce(sum(d.value), 0) AS accumulated_value,
        (array_agg(d.total ORDER BY d.document_date, d.document_id) FILTER (WHERE d.type = 'invoice'))[1] AS first_purchase_value,
        (array_agg(d.total ORDER BY d.document_date DESC, d.document_id DESC) FILTER (WHERE d.type = 'invoice'))[1]
            AS last_purchase_value,
        (array_agg(d.number ORDER BY d.document_date DESC, d.document_id DESC) FILTER (WHERE d.type = 'invoice'))[1]
            AS last_invoice_code,
        min(d.document_id) FILTER (WHERE d.type <> 'quotation' AND (d.total IS NULL OR d.document_date IS NULL)) AS incomplete,
        min(d.currency) FILTER (WHERE d.type <> 'quotation') AS one_currency,
        max(d.currency) FILTER (WHERE d.type <> 'quotation') AS other_currency
    FROM scope s
    JOIN automation.account_document d ON d.dossier_code = :dossier_code AND d.customer_id = s.customer_id
    WHERE d.customer_id BETWEEN :first AND :last AND (d.document_date IS NULL OR d.document_date <= :run_date)
    GROUP BY d.customer_id
), judged AS MATERIALIZED (
    SELECT
        s.customer_id,
        t.first_purchase_date, t.last_purchase_date, t.first_purchase_value, t.last_purchase_value, t.last_quotation_date,
        t.last_invoice_code, coalesce(t.accumulated_value, 0) AS accumulated_value,
        coalesce(t.purchase_count, 0) AS purchase_count,
        :run_date - t.last_purchase_date AS days_since_last_purchase,
        CASE
            WHEN t.incomplete IS NOT NULL THEN format('document %s has no date or no total', t.incomplete)
            WHEN t.one_currency <> t.other_currency THEN format('documents in %s and %s', t.one_currency, t.other_currency)
        END AS fault,
        c.customer_id IS NULL
        OR (
            c.first_purchase_date, c.last_purchase_date, c.first_purchase_value, c.last_purchase_value, c.last_quotation_date,
            c.last_invoice_code, c.accumulated_value, c.purchase_count, c.days_since_last_purchase
        ) IS DISTINCT FROM (
            t.first_purchase_date, t.last_purchase_date, t.first_purchase_value, t.last_purchase_value, t.last_quotation_date,
            t.last_invoice_code, coalesce(t.accumulated_value, 0), coalesce(t.purchase_count, 0), :run_date - t.last_purchase_date
        ) AS differs
    FROM scope s
    LEFT JOIN told t USING (customer_id)
    LEFT JOIN automation.account_complement c
        ON c.dossier_code = :dossier_code AND c.customer_id = s.customer_id AND c.customer_id BETWEEN :first AND :last
), written AS (
    INSERT INTO automation.account_complement AS kept (
        dossier_code, customer_id, first_purchase_date, last_purchase_date, first_purchase_value, last_purchase_value,
        last_quotation_date, last_invoice_code, accumulated_value, purchase_count, days_since_last_purchase, updated_at
    )
    SELECT
        :dossier_code, customer_id, first_purchase_date, last_purchase_date, first_purchase_value, last_purchase_value,
        last_quotation_date, last_invoice_code, accumulated_value, purchase_count, days_since_last_purchase, :now
    FROM judged
    WHERE fault IS NULL AND differs AND NOT :dry_run
    ON CONFLICT (dossier_code, customer_id) DO UPDATE SET
        first_purchase_date = excluded.first_purchase_date,
        last_purchase_date = excluded.last_purchase_date,
        first_purchase_value = excluded.first_purchase_value,
        last_purchase_value = excluded.last_purchase_value,
        last_quotation_date = excluded.last_quotation_date,
        last_invoice_code = excluded.last_invoice_code,
        accumulated_value = excluded.accumulated_value,
        purchase_count = excluded.purchase_count,
        days_since_last_purchase = excluded.days_since_last_purchase,
        updated_at = excluded.updated_at
), refused AS (
    INSERT INTO automation.order_result AS kept (dossier_code, order_number, customer_id, outcome, message)
    SELECT :dossier_code, :order_number, customer_id, 'error', format('E-ORD-022 account %s: %s', customer_id, fault)
    FROM judged
    WHERE fault IS NOT NULL
    ON CONFLICT (dossier_code, order_number, customer_id) DO UPDATE SET outcome = excluded.outcome, message = excluded.message
)
SELECT
    count(*) FILTER (WHERE fault IS NULL AND differs) AS changed,
    count(*) FILTER (WHERE fault IS NULL AND NOT differs) AS unchanged,
    0 AS skipped,
    count(*) FILTER (WHERE fault IS NOT NULL) AS errors
FROM judged
