-- The next accounts of an order after an id: those of its audience, or all of the dossier that are not deleted.
WITH taken AS (
    INSERT INTO scope (customer_id)
    SELECT c.customer_id
    FROM hub.customer c
    WHERE c.dossier_code = :dossier_code
      AND c.customer_id > :after
      AND c.deleted_at IS NULL
      AND (NOT :has_audience OR EXISTS (
          SELECT FROM automation.order_account a
          WHERE a.dossier_code = c.dossier_code AND a.order_number = :order_number AND a.customer_id = c.customer_id))
    ORDER BY c.customer_id
    LIMIT :size
    RETURNING customer_id
)
SELECT count(*) AS accounts, coalesce(max(customer_id), 0) AS last FROM taken
