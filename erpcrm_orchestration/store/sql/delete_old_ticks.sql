-- Closed ticks that are older than what is kept; an open one stays whatever its age.
DELETE FROM flow.tick WHERE due_at < :oldest AND state <> 'REQUESTED'
