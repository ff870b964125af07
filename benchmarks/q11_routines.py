"""Q11: the routines over all accounts of a dossier, against the leanest SQL that writes the same; and their peak memory.

Run as `python -m benchmarks.q11_routines ACCOUNTS` it executes the three routines once and prints the peak of its process in MB.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import sqlalchemy as sa

from benchmarks.measure import ROUNDS, Ratio, fresh_database, seconds
from erpcrm_orchestration.domain.clock import FixedClock
from erpcrm_orchestration.domain.connection import Connection, Connector, ConnectorKind
from erpcrm_orchestration.domain.routine import NewOrder, OrderState
from erpcrm_orchestration.domain.routine_settings import ClassMetric, ClassOperator, ClassRule, RoutineSettings
from erpcrm_orchestration.services.order import schedule
from erpcrm_orchestration.services.routine import RoutineRun, execute
from erpcrm_orchestration.services.routines import routine_of
from erpcrm_orchestration.store import routine_settings
from erpcrm_orchestration.store.configuration import adapter
from erpcrm_orchestration.store.configuration_write import write_connections, write_connectors

CLOCK = FixedClock(datetime(2026, 7, 1, 12, tzinfo=UTC))
TODAY = date(2026, 7, 1)
INVOICES_OF_AN_ACCOUNT = 5
RULES = (
    ClassRule("GOLD", "Gold", ClassMetric.ACCUMULATED_VALUE, ClassOperator.AT_LEAST, Decimal(3000), priority=1),
    ClassRule("SILVER", "Silver", ClassMetric.ACCUMULATED_VALUE, ClassOperator.AT_LEAST, Decimal(2000), priority=2),
    ClassRule("SLEEPS", "Sleeper", ClassMetric.DAYS_SINCE_LAST_PURCHASE, ClassOperator.AT_LEAST, Decimal(120), priority=3),
)
FILL = (
    """
    INSERT INTO hub.dossier (dossier_code, crm_project_code, time_zone, activated_at, created_at, updated_at, routines)
    VALUES ('B', 'B', 'UTC', '2026-01-01', '2026-01-01', '2026-01-01', CAST(:routines AS jsonb))
    """,
    """
    INSERT INTO automation.process (
        dossier_code, process_code, state, days, start, duration_min, frequency_min, missed_ticks, missed_max, mail_group,
        mail_template, on_uncertain, considered_until, updated_at
    ) VALUES (
        'B', 'interactions_erpcrm', 'ACTIVE', '{1}', '00:00', 1, 1, 'none', 1, 'g', 't', 'hold', '2026-01-01', '2026-01-01'
    )
    """,
    """
    INSERT INTO hub.customer (dossier_code, customer_id, code, email, company, class_code, registered_on, created_at, updated_at)
    SELECT 'B', n, 'K' || n, n || '@example.com', 'Company ' || n, 'Bronze', '2025-01-01', '2025-01-01', '2025-01-01'
    FROM generate_series(1, CAST(:accounts AS bigint)) n
    """,
    # In the order of time and not of accounts, as invoices come in.
    """
    INSERT INTO hub.document (dossier_code, document_id, type, number, currency, customer_id, total, document_date, updated_at)
    SELECT 'B', n, 'invoice', 'F' || n, 'EUR', 1 + (n * 7919) % CAST(:accounts AS bigint), (n * 31) % 100000 / 100.0,
           date '2026-01-01' + CAST(n * 180 / (CAST(:accounts AS bigint) * CAST(:each AS bigint)) AS integer), '2026-01-01'
    FROM generate_series(1, CAST(:accounts AS bigint) * CAST(:each AS bigint)) n
    """,
)
FLOORS = {
    "account_complement": """
        INSERT INTO automation.account_complement (
            dossier_code, customer_id, first_purchase_date, last_purchase_date, first_purchase_value, last_purchase_value,
            last_quotation_date, last_invoice_code, accumulated_value, purchase_count, days_since_last_purchase, updated_at
        )
        SELECT 'B', c.customer_id, min(d.document_date), max(d.document_date),
               (array_agg(d.total ORDER BY d.document_date, d.document_id) FILTER (WHERE d.type = 'invoice'))[1],
               (array_agg(d.total ORDER BY d.document_date DESC, d.document_id DESC) FILTER (WHERE d.type = 'invoice'))[1],
               max(d.document_date) FILTER (WHERE d.type = 'quotation'),
               (array_agg(d.number ORDER BY d.document_date DESC, d.document_id DESC) FILTER (WHERE d.type = 'invoice'))[1],
               coalesce(sum(CASE d.type WHEN 'invoice' THEN d.total WHEN 'credit_note' THEN -abs(d.total) END), 0),
               count(d.document_id) FILTER (WHERE d.type = 'invoice'),
               CAST(:today AS date) - max(d.document_date) FILTER (WHERE d.type = 'invoice'), CAST(:now AS timestamptz)
        FROM hub.customer c
        LEFT JOIN hub.document d ON d.dossier_code = 'B' AND d.customer_id = c.customer_id AND d.deleted_at IS NULL
            AND d.type IN ('invoice', 'credit_note', 'quotation') AND d.state IS DISTINCT FROM 'cancelled'
            AND d.document_date <= :today
        WHERE c.dossier_code = 'B' AND c.deleted_at IS NULL
        GROUP BY c.customer_id
        ON CONFLICT (dossier_code, customer_id) DO UPDATE SET
            first_purchase_date = excluded.first_purchase_date, last_purchase_date = excluded.last_purchase_date,
            first_purchase_value = excluded.first_purchase_value, last_purchase_value = excluded.last_purchase_value,
            last_quotation_date = excluded.last_quotation_date, last_invoice_code = excluded.last_invoice_code,
            accumulated_value = excluded.accumulated_value, purchase_count = excluded.purchase_count,
            days_since_last_purchase = excluded.days_since_last_purchase, updated_at = excluded.updated_at
    """,
    "account_status": """
        INSERT INTO automation.account_status (dossier_code, customer_id, status_erp, status_gp, updated_at)
        SELECT 'B', c.customer_id,
               CASE WHEN c.code IS NULL OR c.type = 'lead' THEN 'NOT_INTEGRATED_ERP'
                    WHEN coalesce(b.last, c.registered_on) + interval '3 months' < CAST(:today AS date) THEN 'INACTIVE_ERP'
                    ELSE 'ACTIVE_ERP' END,
               'NOT_INTEGRATED_GP', CAST(:now AS timestamptz)
        FROM hub.customer c
        LEFT JOIN (
            SELECT customer_id, max(document_date) AS last FROM hub.document
            WHERE dossier_code = 'B' AND customer_id IS NOT NULL AND deleted_at IS NULL AND type = 'invoice'
                AND state IS DISTINCT FROM 'cancelled' AND document_date <= :today
            GROUP BY customer_id
        ) b ON b.customer_id = c.customer_id
        WHERE c.dossier_code = 'B' AND c.deleted_at IS NULL
        ON CONFLICT (dossier_code, customer_id) DO UPDATE SET
            status_erp = excluded.status_erp, status_gp = excluded.status_gp, updated_at = excluded.updated_at
    """,
    "class_transition": """
        WITH bought AS (
            SELECT customer_id, max(document_date) FILTER (WHERE type = 'invoice') AS last,
                   sum(CASE type WHEN 'invoice' THEN total ELSE -abs(total) END) AS value
            FROM hub.document
            WHERE dossier_code = 'B' AND customer_id IS NOT NULL AND deleted_at IS NULL AND type IN ('invoice', 'credit_note')
                AND state IS DISTINCT FROM 'cancelled' AND document_date <= :today
            GROUP BY customer_id
        ), moved AS (
            SELECT c.customer_id, c.class_code,
                   CASE WHEN b.value >= 3000 THEN 'Gold' WHEN b.value >= 2000 THEN 'Silver'
                        WHEN CAST(:today AS date) - b.last >= 120 THEN 'Sleeper' END AS to_class,
                   CASE WHEN b.value >= 2000 THEN b.value ELSE CAST(:today AS date) - b.last END AS metric
            FROM hub.customer c JOIN bought b USING (customer_id)
            WHERE c.dossier_code = 'B' AND c.deleted_at IS NULL
        ), written AS (
            UPDATE hub.customer c SET class_code = m.to_class, updated_at = :now
            FROM moved m
            WHERE c.dossier_code = 'B' AND c.customer_id = m.customer_id AND m.to_class IS DISTINCT FROM m.class_code
                AND m.to_class IS NOT NULL
        )
        INSERT INTO automation.class_transition (
            dossier_code, order_number, customer_id, from_class, to_class, rule_code, metric_value, on_date, at
        )
        SELECT 'B', :order_number, customer_id, class_code, to_class, upper(to_class), metric, :today, CAST(:now AS timestamptz)
        FROM moved
        WHERE to_class IS DISTINCT FROM class_code AND to_class IS NOT NULL
    """,
}
CLEARED = {
    "account_complement": ("TRUNCATE automation.account_complement",),
    "account_status": ("TRUNCATE automation.account_status",),
    "class_transition": (
        "TRUNCATE automation.class_transition, automation.order_result",
        "UPDATE hub.customer SET class_code = 'Bronze' WHERE class_code <> 'Bronze'",
        "VACUUM hub.customer",
    ),
}
CHECKSUMS = {
    "account_complement": "SELECT count(*), sum(accumulated_value), sum(days_since_last_purchase), sum(purchase_count), "
    "sum(first_purchase_value), sum(last_purchase_value) FROM automation.account_complement",
    "account_status": "SELECT count(*), count(*) FILTER (WHERE status_erp = 'ACTIVE_ERP') FROM automation.account_status",
    "class_transition": "SELECT count(*), sum(metric_value), count(*) FILTER (WHERE to_class = 'Gold'), "
    "(SELECT count(*) FROM hub.customer WHERE class_code = 'Bronze') FROM automation.class_transition",
}


def run(*, full: bool) -> list[Ratio]:
    """1,000,000 accounts with 5,000,000 invoices; a twentieth of that when it is small."""
    accounts = 1_000_000 if full else 50_000
    with fresh_database() as engine:
        fill(engine, accounts)
        ratios = [_compared(engine, program, accounts, rounds=3 if full else ROUNDS) for program in FLOORS]
    few, many = (_peak_mb(number) for number in (accounts // 10, accounts))
    work = f"peak MB of the three routines over {accounts:,} accounts against {accounts // 10:,}"
    return [*ratios, Ratio("Q11", work, many, few, 1.2, 0.0)]


def fill(engine: sa.Engine, accounts: int) -> None:
    """Write a dossier with so many accounts and five times as many invoices."""
    settings = RoutineSettings(erp_system="erp", inactive_months=3)
    routines = adapter(RoutineSettings).dump_json(settings).decode()
    values = {"accounts": accounts, "each": INVOICES_OF_AN_ACCOUNT, "routines": routines}
    with engine.begin() as connection:
        for statement in FILL:
            named = sa.text(statement)
            connection.execute(named, {name: values[name] for name in named.compile().params})
        write_connectors(connection, [Connector("none", ConnectorKind.REST)], now=CLOCK.now())
        write_connections(connection, [Connection("erp_B", "B", "erp", "none", "http://127.0.0.1:9")], now=CLOCK.now())
        routine_settings.write(connection, "class_rules", RULES, now=CLOCK.now())
    _alone(engine, ("VACUUM ANALYZE hub.customer", "VACUUM ANALYZE hub.document"))


def ours(engine: sa.Engine, program: str) -> None:
    """Order and execute a routine as a run does."""
    number = schedule(engine, NewOrder("B", program, "benchmark", summary=False), clock=CLOCK)
    done = execute(engine, number, routine_of, RoutineRun(CLOCK, {}, f"run-{number}")).order
    assert done.state is OrderState.DONE, done.failure
    assert done.counts.errors == 0


def _compared(engine: sa.Engine, program: str, accounts: int, *, rounds: int) -> Ratio:
    """Measure both in turns, each from the same start, and prove that they write the same."""
    number = schedule(engine, NewOrder("B", program, "benchmark", summary=False), clock=CLOCK)

    def floor() -> None:
        statement = sa.text(FLOORS[program])
        values = {"today": TODAY, "now": CLOCK.now(), "order_number": number}
        with engine.begin() as connection:
            connection.execute(statement, {name: values[name] for name in statement.compile().params})

    def cleared() -> None:
        _alone(engine, (*CLEARED[program], "CHECKPOINT"))

    taken: list[tuple[float, float]] = []
    for _ in range(rounds):
        cleared()
        theirs = seconds(floor)
        wanted = _checksum(engine, program)
        cleared()
        taken.append((seconds(lambda: ours(engine, program)), theirs))
        assert _checksum(engine, program) == wanted, "both write the same"
    ratios = sorted(mine / theirs for mine, theirs in taken)
    work = f"{program} of {accounts:,} accounts with {accounts * INVOICES_OF_AN_ACCOUNT:,} invoices"
    mine, theirs = (statistics.median(pair[side] for pair in taken) for side in (0, 1))
    return Ratio("Q11", work, mine, theirs, 1.5, ratios[-1] - ratios[0])


def _checksum(engine: sa.Engine, program: str) -> tuple[object, ...]:
    with engine.connect() as connection:
        return tuple(connection.execute(sa.text(CHECKSUMS[program])).one())


def _alone(engine: sa.Engine, statements: tuple[str, ...]) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def _peak_mb(accounts: int) -> float:
    command = [sys.executable, "-m", "benchmarks.q11_routines", str(accounts)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own module
    return float(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    with fresh_database() as bench:
        fill(bench, int(sys.argv[1]))
        for one in FLOORS:
            ours(bench, one)
    (peak,) = [line for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if line.startswith("VmHWM")]
    print(int(peak.split()[1]) / 1024)
