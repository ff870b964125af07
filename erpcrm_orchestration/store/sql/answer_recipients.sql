-- What the server said about recipients of one mail that were still to be asked.
UPDATE flow.mail_recipient r
SET state = a.state, answer = a.answer, answered_at = :at
FROM unnest(CAST(:addresses AS text[]), CAST(:states AS text[]), CAST(:answers AS text[])) AS a (address, state, answer)
WHERE r.mail_id = :mail_id
  AND r.address = a.address
  AND r.state = 'PENDING'
