-- Whether the accounts in `scope` are active, inactive or not integrated. Rows are written only where something differs.
WITH bought AS MATERIALIZED (
    SELECT d.customer_id, max(d.document_date) AS last_purchase_date
    FROM scope s
    JOIN automation.account_document d ON d.dossier_code = :dossier_code AND d.customer_id = s.customer_id
    WHERE :erp_is_active
      AND :inactive_months > 0
      AND d.customer_id BETWEEN :first AND :last
      AND d.type = 'invoice'
      AND d.document_date <= :run_date
    GROUP BY d.customer_id
), based AS MATERIALIZED (
    SELECT
        s.customer_id,
        :erp_is_active AND c.code IS NOT NULL AND c.type IS DISTINCT FROM 'lead' AS in_erp,
        coalesce(b.last_purchase_date, c.registered_on) AS since,
        x.record_id IS NOT NULL AS in_gp,
        x.is_gone
    FROM scope s
    JOIN hub.customer c
        ON c.dossier_code = :dossier_code AND c.customer_id = s.customer_id AND c.customer_id BETWEEN :first AND :last
    LEFT JOIN bought b ON b.customer_id = s.customer_id
    LEFT JOIN (
        SELECT record_id, bool_and(deleted_at IS NOT NULL) AS is_gone
        FROM hub.cross_reference
        WHERE dossier_code = :dossier_code AND entity = 'customer' AND system_code = :gp_system AND :gp_is_active
        GROUP BY record_id
    ) x ON x.record_id = s.customer_id
), judged AS MATERIALIZED (
    SELECT
        b.customer_id,
        CASE
            WHEN NOT b.in_erp THEN 'NOT_INTEGRATED_ERP'
            WHEN :inactive_months > 0 AND CAST(b.since + make_interval(months => :inactive_months) AS date) < :run_date
                THEN 'INACTIVE_ERP'
            ELSE 'ACTIVE_ERP'
        END AS status_erp,
        CASE WHEN NOT b.in_gp THEN 'NOT_INTEGRATED_GP' WHEN b.is_gone THEN 'INACTIVE_GP' ELSE 'ACTIVE_GP' END AS status_gp,
        b.in_erp AND :inactive_months > 0 AND b.since IS NULL AS is_unknown
    FROM based b
), compared AS MATERIALIZED (
    SELECT
        j.customer_id, j.status_erp, j.status_gp, j.is_unknown,
        (k.status_erp, k.status_gp) IS DISTINCT FROM (j.status_erp, j.status_gp) AS differs
    FROM judged j
    LEFT JOIN automation.account_status k
        ON k.dossier_code = :dossier_code AND k.customer_id = j.customer_id AND k.customer_id BETWEEN :first AND :last
), written AS (
    INSERT INTO automation.account_status AS kept (dossier_code, customer_id, status_erp, status_gp, updated_at)
    SELECT :dossier_code, customer_id, status_erp, status_gp, :now
    FROM compared
    WHERE differs AND NOT is_unknown AND NOT :dry_run
    ON CONFLICT (dossier_code, customer_id) DO UPDATE SET
        status_erp = excluded.status_erp, status_gp = excluded.status_gp, updated_at = excluded.updated_at
), refused AS (
    INSERT INTO automation.order_result AS kept (dossier_code, order_number, customer_id, outcome, message)
    SELECT
        :dossier_code, :order_number, customer_id, 'error',
        format('E-ORD-023 account %s: no purchase and no date of registration', customer_id)
    FROM compared
    WHERE is_unknown
    ON CONFLICT (dossier_code, order_number, customer_id) DO UPDATE SET outcome = excluded.outcome, message = excluded.message
)
SELECT
    count(*) FILTER (WHERE differs AND NOT is_unknown) AS changed,
    count(*) FILTER (WHERE NOT differs AND NOT is_unknown) AS unchanged,
    0 AS skipped,
    count(*) FILTER (WHERE is_unknown) AS errors
FROM compared
