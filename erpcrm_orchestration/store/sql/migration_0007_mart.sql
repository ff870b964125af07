-- What analysts read of the integration and of the execution orders. `is_open` is what the partial indexes of open rows hold, word
-- for word, so that they serve it through the views.

CREATE VIEW mart.inbox_message WITH (security_barrier) AS
SELECT
    i.dossier_code,
    i.message_id,
    i.connection_code,
    i.system_code,
    i.stream,
    i.entity,
    i.source_id,
    x.record_id,
    i.version_at,
    i.deleted,
    i.via,
    i.corrects,
    i.received_at,
    i.state,
    i.state IN ('NEW', 'WAITING') AS is_open,
    i.waiting_since,
    i.waiting_for,
    i.error,
    i.warning,
    i.attempts,
    i.closed_at,
    CASE WHEN i.state IN ('NEW', 'WAITING') THEN CAST(floor(extract(epoch FROM now() - i.received_at) / 60) AS integer) END AS age_min,
    i.run_id
FROM flow.inbox i
LEFT JOIN hub.cross_reference x
    ON x.dossier_code = i.dossier_code
    AND x.system_code = i.system_code
    AND x.entity = i.entity
    AND x.external_id = i.source_id;

COMMENT ON VIEW mart.inbox_message IS 'Every record that connections of the integration brought, and what became of it. What was received is not shown here.';
COMMENT ON COLUMN mart.inbox_message.dossier_code IS 'Code of the dossier.';
COMMENT ON COLUMN mart.inbox_message.message_id IS 'Number of the message.';
COMMENT ON COLUMN mart.inbox_message.connection_code IS 'Connection that brought it.';
COMMENT ON COLUMN mart.inbox_message.system_code IS 'System that it comes from.';
COMMENT ON COLUMN mart.inbox_message.stream IS 'What the system calls this kind of record.';
COMMENT ON COLUMN mart.inbox_message.entity IS 'What we call it, for instance order.';
COMMENT ON COLUMN mart.inbox_message.source_id IS 'Id of the record in its system.';
COMMENT ON COLUMN mart.inbox_message.record_id IS 'Our id of the record, the same for every system that is known to have it; a record has one before it is integrated. Empty when it has none.';
COMMENT ON COLUMN mart.inbox_message.version_at IS 'When the record was last changed in its system; empty when the system does not tell.';
COMMENT ON COLUMN mart.inbox_message.deleted IS 'True when it says that the record was deleted in its system.';
COMMENT ON COLUMN mart.inbox_message.via IS 'How it came: poll, webhook, on_demand, file or correction.';
COMMENT ON COLUMN mart.inbox_message.corrects IS 'For a correction: the message that it takes the place of.';
COMMENT ON COLUMN mart.inbox_message.received_at IS 'When it was received; of a correction, when it was made.';
COMMENT ON COLUMN mart.inbox_message.state IS 'NEW, WAITING, TRANSFORMED (integrated), REJECTED, SUPERSEDED (a newer one took its place), IGNORED or DEAD (it waited too long).';
COMMENT ON COLUMN mart.inbox_message.is_open IS 'True while it is NEW or WAITING.';
COMMENT ON COLUMN mart.inbox_message.waiting_since IS 'When it first had to wait; kept when it goes on, empty again when it is relaunched.';
COMMENT ON COLUMN mart.inbox_message.waiting_for IS 'What it waits for while it is WAITING: a record such as customer 12, a word without a mapping such as unit PCE, or delivery and an entity, while we may have created it there ourselves.';
COMMENT ON COLUMN mart.inbox_message.error IS 'Why it was refused or given up, or which condition left it out; kept when a newer one takes its place. It may quote a value of the record.';
COMMENT ON COLUMN mart.inbox_message.warning IS 'What was odd in a record that was integrated nevertheless. It may quote a value of the record.';
COMMENT ON COLUMN mart.inbox_message.attempts IS '1, and one more each time it was relaunched, repaired or corrected.';
COMMENT ON COLUMN mart.inbox_message.closed_at IS 'When it was closed; empty while it is open.';
COMMENT ON COLUMN mart.inbox_message.age_min IS 'Whole minutes since received_at while it is open, computed when this view is read; empty when it is closed.';
COMMENT ON COLUMN mart.inbox_message.run_id IS 'Run that last worked on it, until then the one that received it: of Dagster, or cli- or board- and an id. A webhook has none.';

CREATE VIEW mart.delivery WITH (security_barrier) AS
SELECT
    w.dossier_code,
    w.work_id,
    w.connection_code,
    w.system_code,
    w.event,
    w.stream,
    w.entity,
    w.record_id,
    w.source_id,
    w.cause,
    w.urgent,
    w.state,
    w.state IN ('QUEUED', 'LEASED', 'RETRY') AS is_open,
    w.attempts,
    w.in_doubt,
    w.not_before,
    w.created_at,
    w.closed_at,
    CASE WHEN w.state IN ('QUEUED', 'LEASED', 'RETRY') THEN CAST(floor(extract(epoch FROM now() - w.created_at) / 60) AS integer) END AS age_min,
    w.last_error,
    w.run_id
FROM flow.work_item w;

COMMENT ON VIEW mart.delivery IS 'What is or was to be told to another system, or fetched from it. The values are not shown here.';
COMMENT ON COLUMN mart.delivery.dossier_code IS 'Code of the dossier.';
COMMENT ON COLUMN mart.delivery.work_id IS 'Number of the item.';
COMMENT ON COLUMN mart.delivery.connection_code IS 'Connection that is asked.';
COMMENT ON COLUMN mart.delivery.system_code IS 'System that is told, or fetched from.';
COMMENT ON COLUMN mart.delivery.event IS 'outbound: a change is told; on_demand: a record is fetched.';
COMMENT ON COLUMN mart.delivery.stream IS 'What the system calls this kind of record.';
COMMENT ON COLUMN mart.delivery.entity IS 'What we call it, for instance customer.';
COMMENT ON COLUMN mart.delivery.record_id IS 'For outbound: our id of the record.';
COMMENT ON COLUMN mart.delivery.source_id IS 'For on_demand: id of the record in the system.';
COMMENT ON COLUMN mart.delivery.cause IS 'Why: inbox, routine, conflict, work or reconciliation, a colon, and the message, order, conflict, item or run; for on_demand in words.';
COMMENT ON COLUMN mart.delivery.urgent IS 'For on_demand: true when it is not put off to the end of the peak hours.';
COMMENT ON COLUMN mart.delivery.state IS 'QUEUED, LEASED (a run is at it), RETRY (it is tried again), DONE, DEAD (given up), SUPERSEDED (a newer change of the record took its place) or CONFLICT (the system forbids it: a person decides).';
COMMENT ON COLUMN mart.delivery.is_open IS 'True while it is QUEUED, LEASED or RETRY.';
COMMENT ON COLUMN mart.delivery.attempts IS 'Attempts, from zero again when a person put it back; one that was given back does not count.';
COMMENT ON COLUMN mart.delivery.in_doubt IS 'True when an attempt may have been carried out without our knowing.';
COMMENT ON COLUMN mart.delivery.not_before IS 'While it is open: when it may be tried next.';
COMMENT ON COLUMN mart.delivery.created_at IS 'When its cause was committed.';
COMMENT ON COLUMN mart.delivery.closed_at IS 'When it was closed; empty while it is open.';
COMMENT ON COLUMN mart.delivery.age_min IS 'Whole minutes since created_at while it is open, computed when this view is read; empty when it is closed.';
COMMENT ON COLUMN mart.delivery.last_error IS 'What went wrong last, or what it waits for; empty when it is DONE. It may quote what the system answered.';
COMMENT ON COLUMN mart.delivery.run_id IS 'Run that last tried it: of Dagster, or cli- and an id.';

CREATE VIEW mart.field_conflict WITH (security_barrier) AS
SELECT
    c.dossier_code,
    c.conflict_id,
    c.system_code,
    c.entity,
    c.record_id,
    c.field,
    c.opened_at,
    c.closed_at,
    c.closed_at IS NULL AS is_open,
    CASE WHEN c.closed_at IS NULL THEN CAST(floor(extract(epoch FROM now() - c.opened_at) / 60) AS integer) END AS age_min,
    -- What a person typed stands behind the colon.
    CASE WHEN c.resolution LIKE 'value: %' THEN 'value' ELSE c.resolution END AS resolution
FROM flow.field_conflict c;

COMMENT ON VIEW mart.field_conflict IS 'Fields that two systems changed since they last agreed. The values are not shown here.';
COMMENT ON COLUMN mart.field_conflict.dossier_code IS 'Code of the dossier.';
COMMENT ON COLUMN mart.field_conflict.conflict_id IS 'Number of the conflict.';
COMMENT ON COLUMN mart.field_conflict.system_code IS 'System that tells another value than ours.';
COMMENT ON COLUMN mart.field_conflict.entity IS 'What the record is, for instance customer.';
COMMENT ON COLUMN mart.field_conflict.record_id IS 'Our id of the record.';
COMMENT ON COLUMN mart.field_conflict.field IS 'The field that both changed.';
COMMENT ON COLUMN mart.field_conflict.opened_at IS 'When it was found.';
COMMENT ON COLUMN mart.field_conflict.closed_at IS 'When a person decided or it ended by itself; empty while it is open.';
COMMENT ON COLUMN mart.field_conflict.is_open IS 'True until then; no change of the record is told to the system as long.';
COMMENT ON COLUMN mart.field_conflict.age_min IS 'Whole minutes since opened_at while it is open, computed when this view is read; empty when it is closed.';
COMMENT ON COLUMN mart.field_conflict.resolution IS 'Whose value a person let stand: ours, theirs or value (another one); or in words why nothing was left to decide. Empty while it is open.';

CREATE VIEW mart.execution_order WITH (security_barrier) AS
SELECT
    o.dossier_code,
    o.order_number,
    o.program,
    o.origin,
    o.requested_by,
    o.server_code,
    o.audience_code,
    o.auto_agenda,
    o.depends_on,
    o.dry_run,
    o.state,
    o.state IN ('PENDING', 'RUNNING') AS is_open,
    o.attempt,
    o.created_at,
    o.scheduled_at,
    o.requested_at,
    o.started_at,
    o.ended_at,
    CAST(floor(greatest(
        extract(epoch FROM COALESCE(o.started_at, o.ended_at, now()) - greatest(o.scheduled_at, o.created_at)) / 60, 0
    )) AS integer) AS waited_min,
    CASE
        WHEN o.state IN ('RUNNING', 'DONE', 'FAILED')
        THEN CAST(floor(extract(epoch FROM COALESCE(o.ended_at, now()) - o.started_at) / 60) AS integer)
    END AS ran_min,
    o.run_id,
    o.changed + o.unchanged + o.skipped + o.errors AS considered,
    o.changed,
    o.unchanged,
    o.skipped,
    o.errors,
    o.failure
FROM automation.execution_order o;

COMMENT ON VIEW mart.execution_order IS 'The orders to execute a background routine. Their parameters and addresses are not shown here.';
COMMENT ON COLUMN mart.execution_order.dossier_code IS 'Code of the dossier.';
COMMENT ON COLUMN mart.execution_order.order_number IS 'Number of the order, unique over all dossiers.';
COMMENT ON COLUMN mart.execution_order.program IS 'Routine that is executed, for instance account_status.';
COMMENT ON COLUMN mart.execution_order.origin IS 'Who made it: PERSON, AGENDA (it follows one of the agenda) or BACKFILL.';
COMMENT ON COLUMN mart.execution_order.requested_by IS 'Who ordered it; of an order of the agenda, who ordered the first one.';
COMMENT ON COLUMN mart.execution_order.server_code IS 'Server (run queue) that it is executed on; empty when it names none.';
COMMENT ON COLUMN mart.execution_order.audience_code IS 'Audience whose accounts it is for; empty for all accounts.';
COMMENT ON COLUMN mart.execution_order.auto_agenda IS 'True when it is due as the agenda of its program says.';
COMMENT ON COLUMN mart.execution_order.depends_on IS 'Order that has to be DONE before.';
COMMENT ON COLUMN mart.execution_order.dry_run IS 'True when it only says what it would do.';
COMMENT ON COLUMN mart.execution_order.state IS 'PENDING, RUNNING, DONE, FAILED or CANCELLED.';
COMMENT ON COLUMN mart.execution_order.is_open IS 'True while it is PENDING or RUNNING.';
COMMENT ON COLUMN mart.execution_order.attempt IS 'Number of the attempt: one more each time its run was lost or a person retried it.';
COMMENT ON COLUMN mart.execution_order.created_at IS 'When it was ordered.';
COMMENT ON COLUMN mart.execution_order.scheduled_at IS 'When it is due; the routine takes the local day of it for today.';
COMMENT ON COLUMN mart.execution_order.requested_at IS 'When a run was requested for it; empty before, and for BACKFILL.';
COMMENT ON COLUMN mart.execution_order.started_at IS 'When it first started; kept when it is attempted again.';
COMMENT ON COLUMN mart.execution_order.ended_at IS 'When it ended or was cancelled; empty while it is open.';
COMMENT ON COLUMN mart.execution_order.waited_min IS 'Whole minutes from scheduled_at, or created_at when that is later, to its first start, its cancellation or the moment of reading; 0 before it is due.';
COMMENT ON COLUMN mart.execution_order.ran_min IS 'Whole minutes from started_at to ended_at, or to the moment of reading while it is RUNNING; the time between attempts counts. Empty while it is PENDING, and when it was CANCELLED.';
COMMENT ON COLUMN mart.execution_order.run_id IS 'Dagster run of its last attempt; empty until it starts, but for BACKFILL.';
COMMENT ON COLUMN mart.execution_order.considered IS 'Accounts that were handled, in all attempts together: the sum of the four that follow.';
COMMENT ON COLUMN mart.execution_order.changed IS 'Accounts that were changed.';
COMMENT ON COLUMN mart.execution_order.unchanged IS 'Accounts that were right already.';
COMMENT ON COLUMN mart.execution_order.skipped IS 'Accounts that were left out for a reason.';
COMMENT ON COLUMN mart.execution_order.errors IS 'Accounts that could not be handled.';
COMMENT ON COLUMN mart.execution_order.failure IS 'Why it is FAILED.';

-- By name: what an administrator took from analysts of the other views stays taken.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'erpcrm_analyst') THEN
        GRANT SELECT ON mart.inbox_message, mart.delivery, mart.field_conflict, mart.execution_order TO erpcrm_analyst;
    ELSE
        RAISE NOTICE 'role erpcrm_analyst does not exist: create it, then GRANT USAGE ON SCHEMA mart and SELECT on its views to it';
    END IF;
END
$$;
