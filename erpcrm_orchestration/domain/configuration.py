"""What a company configures, as values: read from YAML by `config`, kept in tables by `store.configuration`.

Every default is written once, here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from enum import StrEnum

from erpcrm_orchestration.domain.connection import Connection, Connector
from erpcrm_orchestration.domain.routine_settings import Agenda, Audience, ClassRule, MonitorParameter, RoutineSettings, Server


class ProcessState(StrEnum):
    """Only an ACTIVE process is started by its schedule."""

    ACTIVE = "ACTIVE"
    IN_MODIFICATION = "IN_MODIFICATION"
    EXPIRED = "EXPIRED"


class MissedTicks(StrEnum):
    """What happens to ticks that were due while nothing ran."""

    NONE = "none"
    LAST = "last"
    ALL = "all"


class OnUncertain(StrEnum):
    """What happens to a mail whose answer was lost: keep it for a person, or send it again."""

    HOLD = "hold"
    RESEND = "resend"


class WatcherCode(StrEnum):
    INTERCOMPANY = "INTERCOMPANY"
    DATA_HUB = "DATA_HUB"
    MOBILITY = "MOBILITY"


class DatasetCategory(StrEnum):
    """How a type of dataset is counted in the interaction state."""

    INTERVENTION = "INTERVENTION"
    TIME = "TIME"
    DOCUMENT = "DOCUMENT"
    OTHER = "OTHER"


class StateGroup(StrEnum):
    """Groups of automaton states; everything but CLOSED_OK counts as not OK."""

    RECEIVED = "RECEIVED"
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    WAITING = "WAITING"
    ERROR = "ERROR"
    CLOSED_OK = "CLOSED_OK"
    CLOSED_KO = "CLOSED_KO"


class StateAction(StrEnum):
    """AUTOMATIC states are run by the automaton; a MANUAL one waits for a person."""

    AUTOMATIC = "AUTOMATIC"
    MANUAL = "MANUAL"
    FINAL = "FINAL"


class ValueKind(StrEnum):
    """The three kinds of value that a pivot file knows."""

    ALPHANUMERIC = "alphanumeric"
    DATE = "date"
    NUMBER = "number"


@dataclass(frozen=True)
class WatcherSettings:
    """`poll_interval_s`: seconds between two looks; a heartbeat older than twice that is OFF."""

    code: WatcherCode
    enabled: bool = True
    poll_interval_s: int = 60


@dataclass(frozen=True)
class MailCalendar:
    """When mails may leave. Outside, they are spooled until the next opening. `to` is exclusive."""

    days: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    opens: time = time(0, 0)
    closes: time = time(0, 0)
    """00:00 means the end of the day."""
    time_zone: str = "Europe/Paris"
    holidays_of: str | None = None
    """ISO 3166 country whose public holidays are not working days, or None."""
    closed_on: tuple[date, ...] = ()


@dataclass(frozen=True)
class MailSettings:
    """The SMTP server and what is common to all mails. `user`, `password` and `host` may be `${env:NAME}`."""

    host: str = "127.0.0.1"
    port: str = "25"
    security: str = "none"
    """none, starttls or tls"""
    user: str | None = None
    password: str | None = None
    sender: str = "erpcrm@localhost.localdomain"
    administrator: str = "administrator@localhost.localdomain"
    timeout_s: int = 20
    max_recipients: int = 500
    calendar: MailCalendar = MailCalendar()


@dataclass(frozen=True)
class GeneralParameters:
    """What is common to all dossiers."""

    company_name: str = "Company"
    default_dossier: str | None = None
    common_dossier: str | None = None
    """The technical dossier that must exist and be active for any synchronisation, or None for no such rule."""
    language: str = "fr"
    state_history_retention_days: int = 400
    logbook_retention_days: int = 400
    run_retention_days: int = 30
    inbox_retention_days: int = 400
    """Days that a message of the inbox is kept after a newer one of its record took its place."""
    tick_grace_s: int = 300
    """A tick that is older than this when it is seen counts as missed."""
    watchers: tuple[WatcherSettings, ...] = tuple(WatcherSettings(code) for code in WatcherCode)
    mail: MailSettings = MailSettings()


@dataclass(frozen=True)
class MailMember:
    address: str
    name: str | None = None


@dataclass(frozen=True)
class MailGroup:
    group_code: str
    members: tuple[MailMember, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class MailTemplate:
    """Texts with FORM.<field>; `html` is optional, its values are escaped."""

    template_code: str
    subject: str
    text: str
    html: str | None = None


@dataclass(frozen=True)
class AutomatonState:
    """One row of the automaton of a dataset type.

    `function` names a rule of domain.automaton for AUTOMATIC states; `parameters` are its arguments.
    """

    state_number: int
    label: str
    state_group: StateGroup
    action: StateAction
    function: str | None = None
    parameters: Mapping[str, str | int | bool | tuple[str, ...]] = field(default_factory=dict)
    next_if_true: int | None = None
    next_if_false: int | None = None


@dataclass(frozen=True)
class DatasetField:
    """A field that a pivot file of the type may carry; `name` is case-sensitive."""

    name: str
    kind: ValueKind = ValueKind.ALPHANUMERIC
    required: bool = False
    max_length: int | None = None


@dataclass(frozen=True)
class DatasetType:
    """`type_code` is the DataSetType of pivot files, for instance TPSAFF."""

    type_code: str
    category: DatasetCategory
    label: str
    states: tuple[AutomatonState, ...]
    fields: tuple[DatasetField, ...] = ()


@dataclass(frozen=True)
class LogbookMapping:
    """Which table and columns of a source are its logbook. `columns` maps our names to theirs.

    Ours: key, at, action (required), sync_id, program, outcome, reject_count, message.
    """

    table: str
    columns: Mapping[str, str]
    schema: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    """Column = value filters; `{dossier}` in a value is replaced by the dossier code."""
    outcomes: Mapping[str, str] = field(default_factory=dict)
    """Their word -> OK, REJECT or ERROR."""


@dataclass(frozen=True)
class TimeExportFilter:
    """Which time entries an agent exports: columns of the source, and the switches of the agent.

    Columns: service_export, user_start, user_end, exported, intervention_state, validated.
    """

    columns: Mapping[str, str]
    closed_interventions_only: bool = False
    validated_only: bool = False
    include_exported: bool = False
    closed_value: str = "CLOSED"


@dataclass(frozen=True)
class DatasetMapping:
    """Which table of a source holds datasets. Ours: key, type, created_at, updated_at, state (required), origin, error."""

    stream: str
    table: str
    columns: Mapping[str, str]
    schema: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    type_code: str | None = None
    """The type of every row when the table has no column for it."""
    states: Mapping[str, StateGroup] = field(default_factory=dict)
    """Their state -> our group. A state that is missing here is rejected with its name."""
    time_export: TimeExportFilter | None = None


@dataclass(frozen=True)
class TaskMapping:
    """Which table of a source records inter-company tasks. Ours: key, at, kind (required); `payload` lists columns to carry."""

    table: str
    columns: Mapping[str, str]
    payload: tuple[str, ...]
    target: str
    """The code of a call target."""
    schema: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CallTarget:
    """Where an effect goes: `url` for an HTTP POST, or `folder` for a file. Exactly one of both."""

    target_code: str
    url: str | None = None
    folder: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: int = 30


@dataclass(frozen=True)
class Source:
    """An existing database that is read by SQL. `url` is a SQLAlchemy URL, `${env:NAME}` when it holds a password."""

    source_code: str
    url: str
    time_zone: str = "UTC"
    """The zone of timestamps without one."""
    poll_interval_s: int = 60
    overlap_floor_s: int = 300
    page_size: int = 5000
    timeout_s: int = 30
    logbook: LogbookMapping | None = None
    datasets: tuple[DatasetMapping, ...] = ()
    tasks: TaskMapping | None = None


@dataclass(frozen=True)
class MobilityTrigger:
    """After an export by the agent (a logbook line with this action) the call target is called once."""

    action: str
    target: str


@dataclass(frozen=True)
class SupervisionProcess:
    """The process interactions_erpcrm of one dossier: its window, its mails, what is done about missed ticks."""

    state: ProcessState = ProcessState.ACTIVE
    test_mode: bool = False
    days: tuple[int, ...] = (1, 2, 3, 4, 5)
    """ISO weekdays, Monday is 1."""
    start: time = time(8, 20)
    duration_min: int = 600
    frequency_min: int = 15
    missed_ticks: MissedTicks = MissedTicks.LAST
    missed_max: int = 1
    mail_group: str = "dest_erp_crm"
    mail_template: str = "interactions_alert"
    recovery_template: str | None = None
    """Mailed when an anomaly ends; None sends nothing."""
    on_uncertain: OnUncertain = OnUncertain.RESEND


@dataclass(frozen=True)
class Dossier:
    """One company file. `source` and `hub_folder` say where its input comes from; either may be missing."""

    dossier_code: str
    crm_project_code: str
    name: str = ""
    time_zone: str = "Europe/Paris"
    active: bool = True
    alert_delay_min: int = 0
    """0 never alerts."""
    alert_mail_interval_min: int = 60
    """0 does not throttle."""
    import_frequency_min: int | None = None
    count_only_open_hours: bool = False
    source: str | None = None
    hub_folder: str | None = None
    mobility: MobilityTrigger | None = None
    process: SupervisionProcess = SupervisionProcess()
    routines: RoutineSettings = field(default_factory=RoutineSettings)


@dataclass(frozen=True)
class Configuration:
    """Everything a configuration folder holds, each kind sorted by its code. `general` is None when it says nothing of it."""

    general: GeneralParameters | None = None
    mail_groups: tuple[MailGroup, ...] = ()
    mail_templates: tuple[MailTemplate, ...] = ()
    call_targets: tuple[CallTarget, ...] = ()
    dataset_types: tuple[DatasetType, ...] = ()
    sources: tuple[Source, ...] = ()
    connectors: tuple[Connector, ...] = ()
    servers: tuple[Server, ...] = ()
    agendas: tuple[Agenda, ...] = ()
    audiences: tuple[Audience, ...] = ()
    monitors: tuple[MonitorParameter, ...] = ()
    class_rules: tuple[ClassRule, ...] = ()
    dossiers: tuple[Dossier, ...] = ()
    connections: tuple[Connection, ...] = ()
