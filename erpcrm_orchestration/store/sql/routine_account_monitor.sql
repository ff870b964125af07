-- Which accounts in `scope` had no movement from :since to before :until, and who gets them. They are listed in order_result; those
-- that change hands are written, with their history. One row of counts comes back. The bounds of
-- `scope` stand beside it, so that a slice reads its part of the indexes alone.
WITH loose AS MATERIALIZED (
    -- Activities without a customer of their own: few, and found from their side.
    SELECT a.contact_id, a.opportunity_id, a.occurrence_id
    FROM hub.activity a
    WHERE :include_related
      AND a.dossier_code = :dossier_code AND a.customer_id IS NULL
      AND a.type = ANY(CAST(:activity_types AS text[])) AND a.deleted_at IS NULL
      AND ((a.changed_at >= :since AND a.changed_at < :until)
           OR (a.occurred_at >= :since AND a.occurred_at < :until)
           OR (a.done_at >= :since AND a.done_at < :until))
), moved AS MATERIALIZED (
    SELECT c.customer_id
    FROM scope s
    JOIN hub.customer c ON c.dossier_code = :dossier_code AND c.customer_id = s.customer_id
    WHERE 'ACCOUNT_CHANGE' = ANY(CAST(:processes AS text[]))
      AND ((c.changed_at >= :since AND c.changed_at < :until) OR (c.created_at >= :since AND c.created_at < :until))
    UNION
    SELECT o.customer_id
    FROM scope s
    JOIN hub.order_header o ON o.dossier_code = :dossier_code AND o.customer_id = s.customer_id AND o.customer_id BETWEEN :first AND :last
    WHERE 'ORDER' = ANY(CAST(:processes AS text[])) AND o.deleted_at IS NULL AND o.ordered_at >= :since AND o.ordered_at < :until
    UNION
    SELECT s.customer_id
    FROM scope s
    JOIN hub.opportunity o ON o.dossier_code = :dossier_code AND o.customer_id = s.customer_id AND o.customer_id BETWEEN :first AND :last
    WHERE 'OPPORTUNITY' = ANY(CAST(:processes AS text[])) AND o.deleted_at IS NULL
      AND ((o.changed_at >= :since AND o.changed_at < :until)
           OR (o.opened_at >= :since AND o.opened_at < :until)
           OR (o.closed_at >= :since AND o.closed_at < :until))
    UNION
    SELECT s.customer_id
    FROM scope s
    JOIN hub.occurrence o ON o.dossier_code = :dossier_code AND o.customer_id = s.customer_id AND o.customer_id BETWEEN :first AND :last
    WHERE 'OCCURRENCE' = ANY(CAST(:processes AS text[])) AND o.deleted_at IS NULL
      AND ((o.changed_at >= :since AND o.changed_at < :until)
           OR (o.opened_at >= :since AND o.opened_at < :until)
           OR (o.closed_at >= :since AND o.closed_at < :until))
    UNION
    SELECT s.customer_id
    FROM scope s
    JOIN hub.activity a ON a.dossier_code = :dossier_code AND a.customer_id = s.customer_id AND a.customer_id BETWEEN :first AND :last
    WHERE a.type = ANY(CAST(:activity_types AS text[])) AND a.deleted_at IS NULL
      AND ((a.changed_at >= :since AND a.changed_at < :until)
           OR (a.occurred_at >= :since AND a.occurred_at < :until)
           OR (a.done_at >= :since AND a.done_at < :until))
    UNION
    SELECT p.customer_id FROM loose a JOIN hub.contact p ON p.dossier_code = :dossier_code AND p.contact_id = a.contact_id
    UNION
    SELECT p.customer_id FROM loose a JOIN hub.opportunity p ON p.dossier_code = :dossier_code AND p.opportunity_id = a.opportunity_id
    UNION
    SELECT p.customer_id FROM loose a JOIN hub.occurrence p ON p.dossier_code = :dossier_code AND p.occurrence_id = a.occurrence_id
), idle AS MATERIALIZED (
    SELECT customer_id FROM scope
    EXCEPT
    SELECT customer_id FROM moved
), locked AS MATERIALIZED (
    SELECT c.customer_id, c.responsible_id
    FROM idle i
    JOIN hub.customer c ON c.dossier_code = :dossier_code AND c.customer_id = i.customer_id
    WHERE NOT :dry_run
      AND CAST(:transfer_to AS bigint) IS NOT NULL
      AND c.responsible_id IS DISTINCT FROM CAST(:transfer_to AS bigint)
    ORDER BY c.customer_id
    FOR NO KEY UPDATE OF c
), owned AS MATERIALIZED (
    SELECT customer_id, responsible_id FROM locked
    UNION ALL
    SELECT c.customer_id, c.responsible_id
    FROM idle i
    JOIN hub.customer c ON c.dossier_code = :dossier_code AND c.customer_id = i.customer_id
    WHERE :dry_run
      AND CAST(:transfer_to AS bigint) IS NOT NULL
      AND c.responsible_id IS DISTINCT FROM CAST(:transfer_to AS bigint)
), handed_over AS (
    UPDATE hub.customer c SET responsible_id = CAST(:transfer_to AS bigint), updated_at = :now
    FROM locked o
    WHERE c.dossier_code = :dossier_code AND c.customer_id = o.customer_id
), history AS (
    INSERT INTO automation.responsible_transfer (
        dossier_code, order_number, customer_id, from_employee_id, to_employee_id, on_date, at
    )
    SELECT :dossier_code, :order_number, customer_id, responsible_id, CAST(:transfer_to AS bigint), :run_date, :now
    FROM locked
), told AS (
    SELECT
        c.customer_id, c.code, c.email, c.second_email, o.customer_id IS NOT NULL AS changes,
        coalesce(nullif(c.company, ''), nullif(concat_ws(' ', nullif(c.first_name, ''), nullif(c.last_name, '')), '')) AS name,
        r.employee_id, r.code AS employee_code, r.name AS employee_name, nullif(trim(r.email), '') AS employee_email,
        row_number() OVER (ORDER BY c.customer_id) AS place
    FROM idle i
    JOIN hub.customer c ON c.dossier_code = :dossier_code AND c.customer_id = i.customer_id
    LEFT JOIN owned o ON o.customer_id = c.customer_id
    LEFT JOIN hub.employee r
        ON r.dossier_code = :dossier_code
        AND r.employee_id = CASE WHEN o.customer_id IS NULL THEN c.responsible_id ELSE o.responsible_id END
), listed AS (
    INSERT INTO automation.order_result AS kept (dossier_code, order_number, customer_id, outcome, message, details)
    SELECT
        :dossier_code, :order_number, t.customer_id,
        CASE WHEN t.changes THEN 'changed' ELSE 'unchanged' END,
        CASE
            WHEN NOT :tells_responsible OR t.employee_email IS NOT NULL THEN NULL
            WHEN t.employee_id IS NULL THEN format('E-ORD-034 account %s: nobody is responsible for it', t.customer_id)
            ELSE format('E-ORD-035 account %s: responsible %s has no mail address', t.customer_id,
                        coalesce(t.employee_name, t.employee_code, CAST(t.employee_id AS text)))
        END,
        jsonb_build_object(
            'Seq', t.place + :listed_before,
            'numIdResp', t.employee_id, 'UserResp', t.employee_code, 'nomUsuarResp', t.employee_name,
            'emailUserResp', t.employee_email,
            'numUserTransf', n.employee_id, 'emailUsuarTransf', nullif(trim(n.email), ''), 'nomUsuarTransf', n.name,
            'numIdPessoa', t.customer_id, 'codPessoaErp', t.code, 'nomRazao', t.name,
            'emailCta1', t.email, 'emailCta2', t.second_email)
    FROM told t
    LEFT JOIN hub.employee n ON n.dossier_code = :dossier_code AND n.employee_id = CAST(:transfer_to AS bigint)
    ON CONFLICT (dossier_code, order_number, customer_id) DO UPDATE
    SET outcome = excluded.outcome, message = excluded.message, details = excluded.details
)
SELECT
    (SELECT count(*) FROM owned) AS changed,
    (SELECT count(*) FROM scope) - (SELECT count(*) FROM owned) AS unchanged,
    0 AS skipped,
    0 AS errors
