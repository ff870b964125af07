-- The throttle starts when the mail has left, and only for the anomaly that the mail is about.
UPDATE supervision.interaction_state s
SET last_alert_mail_at = :at
FROM flow.mail m
WHERE m.mail_id = :mail_id
  AND m.cause = :cause
  AND s.dossier_code = m.dossier_code
  AND s.anomaly_started_at IS NOT NULL
  AND m.created_at >= s.anomaly_started_at
  AND (s.last_alert_mail_at IS NULL OR s.last_alert_mail_at < :at)
