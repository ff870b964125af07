"""The YAML as pydantic models: strict types, no unknown keys, one description for people, for messages and for the schema.

Defaults come from domain.configuration. Codes are the keys of mappings, so that no code can stand twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from erpcrm_orchestration.config.connection_models import ConnectionPart, ConnectorPart
from erpcrm_orchestration.config.kinds import (
    WORD,
    Address,
    AlertMinutes,
    Block,
    Country,
    Day,
    Days,
    Identifier,
    Name,
    Port,
    Text,
    TimeOfDay,
    TimeZone,
)
from erpcrm_orchestration.config.part import Columns, Part, Value, as_value, given
from erpcrm_orchestration.config.routine_models import (
    AgendaPart,
    AudiencePart,
    ClassRulePart,
    MonitorPart,
    RoutineSettingsPart,
    ServerPart,
)
from erpcrm_orchestration.domain import configuration as value


class WatcherPart(Part):
    value_type = value.WatcherSettings
    enabled: bool = Field(True, description="true or false; a watcher that is not enabled does not work and shows OFF")
    poll_interval_s: Annotated[int, Field(ge=1, le=86400)] = Field(60, description="seconds between two looks")


class CalendarPart(Part):
    value_type = value.MailCalendar
    days: Days = Field(given(value.MailCalendar, "days"), description="the days on which mails may leave")
    opens: TimeOfDay = Field(given(value.MailCalendar, "opens"), description="the time from which mails leave")
    closes: TimeOfDay = Field(
        given(value.MailCalendar, "closes"), description='the time at which mails stop, "00:00" for the end of the day'
    )
    time_zone: TimeZone = Field(given(value.MailCalendar, "time_zone"), description="the zone of these times")
    holidays_of: Country | None = Field(None, description="the country whose public holidays are closed")
    closed_on: list[Day] = Field([], description="further closed days")


class MailPart(Part):
    value_type = value.MailSettings
    host: Text = Field(given(value.MailSettings, "host"), description="the name of the SMTP server")
    port: Port = Field(given(value.MailSettings, "port"), description="the port of the SMTP server")
    security: Literal["none", "starttls", "tls"] = Field("none", description="none, starttls or tls")
    user: Text | None = Field(None, description="the user at the SMTP server")
    password: Text | None = Field(None, description="the password as ${env:NAME}")
    sender: Address = Field(given(value.MailSettings, "sender"), description="the address that mails come from")
    administrator: Address = Field(
        given(value.MailSettings, "administrator"), description="the address that gets the mails of processes in test mode"
    )
    timeout_s: Annotated[int, Field(ge=1, le=600)] = Field(20, description="seconds to wait for the server")
    max_recipients: Annotated[int, Field(ge=1, le=10000)] = Field(500, description="recipients above which a mail is held")
    calendar: CalendarPart = Field(CalendarPart(), description="when mails may leave")


Retention = Annotated[int, Field(ge=1, le=36500)]


class GeneralPart(Part):
    value_type = value.GeneralParameters
    company_name: Text = Field(given(value.GeneralParameters, "company_name"), description="the name of the company")
    default_dossier: Text | None = Field(None, description="the code of the dossier that is meant when none is given")
    common_dossier: Text | None = Field(
        None, description="the code of the technical dossier that must be there for any synchronisation"
    )
    language: Literal["fr", "en", "es", "pt", "ru"] = Field("fr", description="the language of what people read")
    state_history_retention_days: Retention = Field(400, description="days that the history of states is kept")
    logbook_retention_days: Retention = Field(400, description="days that logbook lines are kept")
    run_retention_days: Retention = Field(30, description="days that runs are kept")
    inbox_retention_days: Retention = Field(
        400, description="days that messages of the inbox are kept that a newer one of their record took the place of"
    )
    tick_grace_s: Annotated[int, Field(ge=1, le=86400)] = Field(
        300, description="seconds after which a due tick counts as missed"
    )
    watchers: dict[Annotated[value.WatcherCode, WORD], WatcherPart] = Field(
        {}, description="the watchers INTERCOMPANY, DATA_HUB, MOBILITY"
    )
    mail: MailPart = Field(MailPart(), description="the mail server")

    def to_value(self, **codes: Value) -> value.GeneralParameters:
        arguments = {name: as_value(getattr(self, name)) for name in self.model_fields_set if name != "watchers"}
        watchers = tuple(self.watchers.get(code, WatcherPart()).to_value(code=code) for code in value.WatcherCode)
        return value.GeneralParameters(watchers=watchers, **arguments)


class MemberPart(Part):
    value_type = value.MailMember
    address: Address = Field(description="a mail address")
    name: Text | None = Field(None, description="the name of the person")


class MailGroupPart(Part):
    value_type = value.MailGroup
    members: list[MemberPart] = Field([], description="who gets the mails")
    aliases: list[Identifier] = Field([], description="other codes of this group")


class MailTemplatePart(Part):
    value_type = value.MailTemplate
    subject: Text = Field(description="the subject, one line")
    text: Block = Field(description="the text with FORM.<field>")
    html: Block | None = Field(None, description="the text as HTML, when wanted")


class CallTargetPart(Part):
    value_type = value.CallTarget
    url: Text | None = Field(None, description="the address that gets an HTTP POST")
    folder: Text | None = Field(None, description="the folder that gets a file")
    headers: dict[Identifier, Text] = Field({}, description="HTTP headers; secrets as ${env:NAME}")
    timeout_s: Annotated[int, Field(ge=1, le=600)] = Field(30, description="seconds to wait for an answer")


class FieldPart(Part):
    value_type = value.DatasetField
    kind: Annotated[value.ValueKind, WORD] = Field(value.ValueKind.ALPHANUMERIC, description="alphanumeric, date or number")
    required: bool = Field(False, description="true when a dataset without it is in error")
    max_length: Annotated[int, Field(ge=1, le=100000)] | None = Field(None, description="the most characters")

    def to_value(self, **codes: Value) -> value.DatasetField:
        return value.DatasetField(kind=self.kind, required=self.required, max_length=self.max_length, **codes)


StateNumber = Annotated[int, Field(ge=1, le=9999)]
Parameter = str | int | bool | list[str]


class StatePart(Part):
    value_type = value.AutomatonState
    label: Text = Field(description="what people read")
    state_group: Annotated[value.StateGroup, WORD] = Field(
        description="RECEIVED, PENDING, PROCESSING, WAITING, ERROR, CLOSED_OK or CLOSED_KO"
    )
    action: Annotated[value.StateAction, WORD] = Field(description="AUTOMATIC, MANUAL or FINAL")
    function: Text | None = Field(None, description="the function that an AUTOMATIC state runs")
    parameters: dict[Identifier, Parameter] = Field({}, description="the parameters of the function")
    next_if_true: StateNumber | None = Field(None, description="the state that follows when the function says true")
    next_if_false: StateNumber | None = Field(None, description="the state that follows when the function says false")


class DatasetTypePart(Part):
    value_type = value.DatasetType
    category: Annotated[value.DatasetCategory, WORD] = Field(
        description="INTERVENTION, TIME, DOCUMENT or OTHER: how it is counted"
    )
    label: Text = Field(description="what people read")
    fields: dict[Identifier, FieldPart] = Field({}, description="the fields of its pivot files")
    states: dict[StateNumber, StatePart] = Field(description="the states of the automaton by their numbers, 100 is the entry")

    def to_value(self, **codes: Value) -> value.DatasetType:
        return value.DatasetType(
            category=self.category,
            label=self.label,
            fields=tuple(part.to_value(name=name) for name, part in self.fields.items()),
            states=tuple(self.states[number].to_value(state_number=number) for number in sorted(self.states)),
            **codes,
        )


class LogbookColumns(Columns):
    key: Identifier = Field(description="the column that identifies a line")
    at: Identifier = Field(description="the column with the instant of a line")
    action: Identifier = Field(description="the column with the action")
    sync_id: Identifier | None = Field(None, description="the column that identifies the synchronisation")
    program: Identifier | None = Field(None, description="the column with the program")
    outcome: Identifier | None = Field(None, description="the column with the outcome")
    reject_count: Identifier | None = Field(None, description="the column with the number of rejects")
    message: Identifier | None = Field(None, description="the column with the message")


class DatasetColumns(Columns):
    key: Identifier = Field(description="the column that identifies a dataset")
    type: Identifier | None = Field(None, description="the column with the type code")
    created_at: Identifier = Field(description="the column with the instant of creation")
    updated_at: Identifier = Field(description="the column with the instant of the last change")
    state: Identifier = Field(description="the column with the state")
    origin: Identifier | None = Field(None, description="the column with the origin CRM, EDI, MAIL or OTHER")
    error: Identifier | None = Field(None, description="the column with the reason of an error")


class TaskColumns(Columns):
    key: Identifier = Field(description="the column that identifies a task")
    at: Identifier = Field(description="the column with the instant of a task")
    kind: Identifier = Field(description="the column with the kind of task")


class TimeExportColumns(Columns):
    service_export: Identifier = Field(description="the column that is 1 for what is exported")
    user_start: Identifier = Field(description="the column with the start")
    user_end: Identifier = Field(description="the column with the end")
    exported: Identifier | None = Field(None, description="the column that is 1 once exported")
    intervention_state: Identifier | None = Field(None, description="the column with the state of the intervention")
    validated: Identifier | None = Field(None, description="the column that is 1 once validated")


class TimeExportPart(Part):
    value_type = value.TimeExportFilter
    columns: TimeExportColumns = Field(description="the columns that decide")
    closed_interventions_only: bool = Field(False, description="true to take times of closed interventions only")
    validated_only: bool = Field(False, description="true to take validated times only")
    include_exported: bool = Field(False, description="true to take times again that were exported")
    closed_value: Text = Field("CLOSED", description="the word for a closed intervention")


class TablePart(Part):
    table: Identifier = Field(description="the table or view")
    schema_: Identifier | None = Field(None, alias="schema", description="the schema of the table")
    where: dict[Identifier, str] = Field({}, description="column and value; {dossier} stands for the dossier code")

    def to_value(self, **codes: Value) -> Value:
        arguments = {name.rstrip("_"): as_value(getattr(self, name)) for name in self.model_fields_set}
        return self.value_type(**codes, **arguments)


class LogbookPart(TablePart):
    value_type = value.LogbookMapping
    columns: LogbookColumns = Field(description="our names and their columns")
    outcomes: dict[str, Literal["OK", "REJECT", "ERROR"]] = Field({}, description="their word and OK, REJECT or ERROR")


class DatasetPart(TablePart):
    value_type = value.DatasetMapping
    columns: DatasetColumns = Field(description="our names and their columns")
    type_code: Identifier | None = Field(None, description="the type of every row when no column holds it")
    states: dict[Text, Annotated[value.StateGroup, WORD]] = Field({}, description="their state and our group")
    time_export: TimeExportPart | None = Field(None, description="which time entries are exported")


class TaskPart(TablePart):
    value_type = value.TaskMapping
    columns: TaskColumns = Field(description="our names and their columns")
    payload: list[Identifier] = Field(description="the columns that are handed on")
    target: Identifier = Field(description="the code of the call target")


class SourcePart(Part):
    value_type = value.Source
    url: Text = Field(description="the SQLAlchemy URL, as ${env:NAME} when it holds a password")
    time_zone: TimeZone = Field(given(value.Source, "time_zone"), description="the zone of timestamps without one")
    poll_interval_s: Annotated[int, Field(ge=1, le=86400)] = Field(60, description="seconds between two looks")
    overlap_floor_s: Annotated[int, Field(ge=0, le=86400)] = Field(300, description="seconds that are read again at least")
    page_size: Annotated[int, Field(ge=1, le=100000)] = Field(5000, description="rows of one page")
    timeout_s: Annotated[int, Field(ge=1, le=3600)] = Field(30, description="seconds to wait for an answer")
    logbook: LogbookPart | None = Field(None, description="the table of the logbook")
    datasets: dict[Identifier, DatasetPart] = Field({}, description="the tables of datasets, by a name of your choice")
    tasks: TaskPart | None = Field(None, description="the table of inter-company tasks")

    def to_value(self, **codes: Value) -> value.Source:
        arguments = {name: as_value(getattr(self, name)) for name in self.model_fields_set if name != "datasets"}
        streams = tuple(part.to_value(stream=name) for name, part in self.datasets.items())
        return value.Source(datasets=streams, **codes, **arguments)


class MobilityPart(Part):
    value_type = value.MobilityTrigger
    action: Text = Field(description="the action of the logbook line that an export of the agent writes")
    target: Identifier = Field(description="the code of the call target")


class ProcessPart(Part):
    value_type = value.SupervisionProcess
    state: Annotated[value.ProcessState, WORD] = Field(
        value.ProcessState.ACTIVE, description="ACTIVE, IN_MODIFICATION or EXPIRED; only ACTIVE is started by its schedule"
    )
    test_mode: bool = Field(False, description="true to mail the administrator only")
    days: Days = Field(given(value.SupervisionProcess, "days"), description="the days of the schedule")
    start: TimeOfDay = Field(given(value.SupervisionProcess, "start"), description="the time of the first tick of a day")
    duration_min: Annotated[int, Field(ge=0, le=1439)] = Field(600, description="minutes from the first to the last tick")
    frequency_min: Annotated[int, Field(ge=1, le=1440)] = Field(15, description="minutes between two ticks")
    missed_ticks: Annotated[value.MissedTicks, WORD] = Field(
        value.MissedTicks.LAST, description="none, last or all: the ticks made up for that were due while nothing ran"
    )
    missed_max: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="the most missed ticks that are made up for")
    mail_group: Identifier = Field(given(value.SupervisionProcess, "mail_group"), description="who gets the alert")
    mail_template: Identifier = Field(given(value.SupervisionProcess, "mail_template"), description="the text of the alert")
    recovery_template: Identifier | None = Field(None, description="the text of the mail when an anomaly ends")
    on_uncertain: Annotated[value.OnUncertain, WORD] = Field(
        value.OnUncertain.RESEND, description="hold or resend: what is done with a mail whose answer was lost"
    )


class DossierPart(Part):
    value_type = value.Dossier
    crm_project_code: Text = Field(description="the code of the project in the CRM")
    name: Name = Field("", description="what people call it")
    time_zone: TimeZone = Field(given(value.Dossier, "time_zone"), description="the zone of its days and times")
    active: bool = Field(True, description="true or false; an inactive dossier stays but is not evaluated")
    alert_delay_min: AlertMinutes = Field(0, description="minutes without synchronisation before an alert, 0 for never")
    alert_mail_interval_min: AlertMinutes = Field(60, description="minutes between two alert mails, 0 for every evaluation")
    import_frequency_min: Annotated[int, Field(ge=1, le=1440)] | None = Field(
        None, description="minutes between two imports of the agent"
    )
    count_only_open_hours: bool = Field(False, description="true to count only the hours of the schedule")
    source: Identifier | None = Field(None, description="the code of the database that it is read from")
    hub_folder: Text | None = Field(None, description="the folder of its pivot files")
    mobility: MobilityPart | None = Field(None, description="what starts the mobile synchronisation")
    process: ProcessPart = Field(ProcessPart(), description="the process interactions_erpcrm")
    routines: RoutineSettingsPart = Field(RoutineSettingsPart(), description="what its background routines have to know")


SECTIONS: Mapping[str, tuple[type[Part], str]] = {
    "general": (GeneralPart, ""),
    "mail_groups": (MailGroupPart, "group_code"),
    "mail_templates": (MailTemplatePart, "template_code"),
    "call_targets": (CallTargetPart, "target_code"),
    "dataset_types": (DatasetTypePart, "type_code"),
    "sources": (SourcePart, "source_code"),
    "connectors": (ConnectorPart, "connector_code"),
    "servers": (ServerPart, "server_code"),
    "agendas": (AgendaPart, "program"),
    "audiences": (AudiencePart, "audience_code"),
    "monitors": (MonitorPart, "parameter_code"),
    "class_rules": (ClassRulePart, "rule_code"),
    "dossiers": (DossierPart, "dossier_code"),
    "connections": (ConnectionPart, "connection_code"),
}
"""Every top-level key with its model and the name of its code; `general` has none."""
DEFAULTS: Mapping[str, str] = {
    "dossiers": "dossier_defaults",
    "sources": "source_defaults",
    "connections": "connection_defaults",
}
"""Sections with the key below which stands what all of their entries have unless they say otherwise."""
