"""What is exported is read back as the very same values."""

from __future__ import annotations

import string
from dataclasses import MISSING, fields
from datetime import date, time
from pathlib import Path
from typing import Any, get_type_hints
from zoneinfo import available_timezones

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from erpcrm_orchestration.config.export import copied, to_files, to_yaml
from erpcrm_orchestration.config.folder import read_folder, read_text
from erpcrm_orchestration.config.json_schema import schema_text
from erpcrm_orchestration.config.models import SECTIONS, Part
from erpcrm_orchestration.domain import configuration as value
from erpcrm_orchestration.domain import connection as integration
from erpcrm_orchestration.domain.configuration import Configuration

DEMO = Path(__file__).parents[2] / "config"

ONE_LINE = ("Cs", "Cc", "Zl", "Zp")
line = st.text(st.characters(exclude_categories=ONE_LINE), min_size=1, max_size=30).filter(lambda text: text.strip() != "")
block = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=60).filter(
    lambda text: text.strip() != ""
)
word = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=12)
code = st.builds(lambda first, rest: first + rest, st.sampled_from(string.ascii_letters + string.digits), word)
dossier_code = code.filter(lambda text: len(text) <= 16)
trap = st.sampled_from(
    ["NO", "012", "8:20", "1_000", "1e3", "~", "null", "true", "- x", "a: b", "#x", "&a", "*a", "!t", "<<", " x", "x "]
)
text_line = line | trap.filter(lambda text: text.strip() != "")
zone = st.sampled_from(sorted(available_timezones() - {"localtime"}))
at_minute = st.builds(time, st.integers(0, 23), st.integers(0, 59))
days = st.sets(st.integers(1, 7), min_size=1).map(lambda found: tuple(sorted(found)))
address = st.sampled_from(["a@example.com", "jörg@example.com", "o'neil@example.org"])
minutes = st.integers(0, 10080)
names = st.dictionaries(line, line, max_size=3)


def some(kind: type, /, **strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of a class with some of its fields, the others at their defaults."""
    required = {one.name for one in fields(kind) if one.name in strategies and not _has_default(one)}
    optional = {name: found for name, found in strategies.items() if name not in required}
    return st.fixed_dictionaries({name: strategies[name] for name in required}, optional=optional).map(
        lambda made: kind(**made)
    )


def _has_default(one: Any) -> bool:
    return one.default is not MISSING or one.default_factory is not MISSING


calendar = some(
    value.MailCalendar,
    days=days,
    opens=at_minute,
    closes=at_minute,
    time_zone=zone,
    holidays_of=st.sampled_from([None, "FR", "NO"]),
    closed_on=st.lists(st.dates(date(2020, 1, 1), date(2099, 1, 1)), max_size=2).map(tuple),
)
mail = some(
    value.MailSettings,
    host=text_line,
    port=st.integers(1, 65535).map(str),
    security=st.sampled_from(["none", "tls"]),
    user=st.none() | text_line,
    password=st.none() | st.just("${env:P}"),
    sender=address,
    timeout_s=st.integers(1, 600),
    calendar=calendar,
)
watchers = st.tuples(
    *(st.builds(value.WatcherSettings, st.just(one), st.booleans(), st.integers(1, 86400)) for one in value.WatcherCode)
)
general = some(
    value.GeneralParameters, company_name=text_line, language=st.sampled_from(["fr", "ru"]), watchers=watchers, mail=mail
)
member = some(value.MailMember, address=address, name=st.none() | text_line)
group = some(
    value.MailGroup,
    group_code=code,
    members=st.lists(member, max_size=3).map(tuple),
    aliases=st.lists(text_line, max_size=2).map(tuple),
)
template = some(value.MailTemplate, template_code=code, subject=text_line, text=block, html=st.none() | block)
target = some(value.CallTarget, target_code=code, url=text_line, headers=names, timeout_s=st.integers(1, 600))
parameters = st.dictionaries(
    line,
    st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=5).filter(str.isprintable) | st.lists(line).map(tuple),
    max_size=3,
)
state = some(
    value.AutomatonState,
    state_number=st.integers(1, 9999),
    label=text_line,
    state_group=st.sampled_from(value.StateGroup),
    action=st.sampled_from(value.StateAction),
    function=st.none() | text_line,
    parameters=parameters,
    next_if_true=st.none() | st.integers(1, 9999),
)
states = st.lists(state, min_size=1, max_size=4, unique_by=lambda one: one.state_number).map(
    lambda found: tuple(sorted(found, key=lambda one: one.state_number))
)
dataset_field = some(
    value.DatasetField,
    name=text_line,
    kind=st.sampled_from(value.ValueKind),
    required=st.booleans(),
    max_length=st.none() | st.integers(1, 9),
)
dataset_type = some(
    value.DatasetType,
    type_code=code,
    category=st.sampled_from(value.DatasetCategory),
    label=text_line,
    states=states,
    fields=st.lists(dataset_field, max_size=3, unique_by=lambda one: one.name).map(tuple),
)
logbook = some(
    value.LogbookMapping,
    table=line,
    columns=st.fixed_dictionaries({"key": line, "at": line, "action": line}, optional={"message": line}),
    schema=st.none() | line,
    where=names,
    outcomes=st.dictionaries(st.text(max_size=4).filter(str.isprintable), st.sampled_from(["OK", "REJECT"])),
)
export_filter = some(
    value.TimeExportFilter,
    columns=st.fixed_dictionaries({"service_export": line, "user_start": line, "user_end": line}, optional={"exported": line}),
    include_exported=st.booleans(),
)
mapping = some(
    value.DatasetMapping,
    stream=text_line,
    table=line,
    columns=st.fixed_dictionaries({"key": line, "created_at": line, "updated_at": line, "state": line}),
    states=st.dictionaries(text_line, st.sampled_from(value.StateGroup), max_size=3),
    type_code=st.none() | code,
    time_export=st.none() | export_filter,
)
tasks = some(
    value.TaskMapping,
    table=line,
    columns=st.fixed_dictionaries({"key": line, "at": line, "kind": line}),
    payload=st.lists(line, max_size=3).map(tuple),
    target=code,
)
source = some(
    value.Source,
    source_code=code,
    url=text_line,
    time_zone=zone,
    page_size=st.integers(1, 9),
    logbook=st.none() | logbook,
    datasets=st.lists(mapping, max_size=2, unique_by=lambda one: one.stream).map(tuple),
    tasks=st.none() | tasks,
)
process = some(
    value.SupervisionProcess,
    state=st.sampled_from(value.ProcessState),
    days=days,
    start=at_minute,
    duration_min=st.integers(0, 1439),
    frequency_min=st.integers(1, 1440),
    missed_ticks=st.sampled_from(value.MissedTicks),
    mail_group=line,
    recovery_template=st.none() | line,
    on_uncertain=st.sampled_from(value.OnUncertain),
    test_mode=st.booleans(),
)
dossier = some(
    value.Dossier,
    dossier_code=dossier_code,
    crm_project_code=text_line,
    name=st.just("") | text_line,
    time_zone=zone,
    active=st.booleans(),
    alert_delay_min=minutes,
    import_frequency_min=st.none() | st.integers(1, 1440),
    source=st.none() | line,
    hub_folder=st.none() | text_line,
    mobility=st.none() | st.builds(value.MobilityTrigger, text_line, line),
    process=process,
)


# A deferred strategy is named by its name: the text of all that is nested here would fill pages.
json_value = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=5).filter(str.isprintable),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(line, inner, max_size=2),
    max_leaves=4,
)
paging = some(
    integration.Paging,
    kind=st.sampled_from(integration.PagingKind),
    size=st.integers(1, 100_000),
    parameter=st.none() | text_line,
    next_path=st.none() | st.just("") | text_line,
)
any_call = some(
    integration.Call,
    path=block,
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    query=names,
    headers=names,
    body=json_value,
    graphql=st.none() | block,
    variables=st.dictionaries(line, json_value, max_size=2),
)
call = st.deferred(lambda: any_call)
follow = some(
    integration.Follow,
    into=line,
    link=st.none() | text_line,
    call=st.none() | call,
    records=st.none() | st.just("") | line,
    paging=paging,
)
words = st.text(max_size=4).filter(str.isprintable)
meanings = st.dictionaries(words, words, max_size=2)
part = some(
    integration.FieldMap,
    path=st.none() | text_line,
    constant=st.none() | words,
    segment=st.none() | st.integers(-9, 9),
    none=st.lists(words, max_size=2).map(tuple),
    values=meanings,
    otherwise=st.none() | text_line,
    factor=st.none() | line,
    lookup=st.none() | line,
    zone=zone,
)
parts = st.dictionaries(line, part, max_size=2)
any_field_map = part | some(integration.FieldMap, path=st.none() | text_line, fields=parts)
field_map = st.deferred(lambda: any_field_map)
field_maps = st.dictionaries(line, field_map, max_size=3)
child_map = some(integration.ChildMap, child=line, records=text_line, fields=field_maps, key=st.none() | line)
any_reads = some(
    integration.Reading,
    mode=st.sampled_from(integration.ChangeMode),
    pages=call,
    record_id=text_line,
    records=text_line,
    modified=st.none() | text_line,
    modified_format=st.sampled_from(["iso", "epoch_s"]),
    paging=paging,
    one=st.none() | call,
    follow=st.lists(follow, max_size=2, unique_by=lambda one: one.into).map(tuple),
    every_s=st.none() | st.integers(1, 86400),
)
reads = st.deferred(lambda: any_reads)
any_entity_map = some(
    integration.EntityMapping,
    entity=line,
    fields=field_maps,
    children=st.lists(child_map, max_size=2, unique_by=lambda one: one.child).map(tuple),
    creates=st.booleans(),
    match=st.lists(line, max_size=2).map(tuple),
    known=st.lists(text_line, max_size=2).map(tuple),
)
entity_map = st.deferred(lambda: any_entity_map)
any_writing = some(
    integration.Writing,
    create=st.none() | call,
    update=st.none() | call,
    find_records=st.just("") | line,
    idempotency_header=st.none() | line,
    fields=st.lists(line, max_size=2).map(tuple),
    values=st.dictionaries(line, meanings, max_size=2),
    refuse_when=st.dictionaries(line, st.lists(words, max_size=2).map(tuple), max_size=2),
)
writing = st.deferred(lambda: any_writing)
any_connector_entity = some(
    integration.ConnectorEntity,
    name=line,
    read=st.none() | reads,
    map=st.none() | entity_map,
    write=st.none() | writing,
    topics=st.lists(text_line, max_size=2).map(tuple),
)
connector_entity = st.deferred(lambda: any_connector_entity)
auth = some(
    integration.Auth,
    kind=st.sampled_from(["none", "basic", "headers", "login"]),
    headers=names,
    user=st.none() | text_line,
    login=st.none() | call,
)
any_connector = some(
    integration.Connector,
    connector_code=code,
    kind=st.sampled_from(["rest", "sql", "files"]).map(integration.ConnectorKind),
    entities=st.lists(connector_entity, max_size=2, unique_by=lambda one: one.name).map(tuple),
    auth=auth,
    requests_per_s=st.integers(1, 100_000).map(lambda hundredths: hundredths / 100),
    webhook_topic_header=st.none() | text_line,
)
connector = st.deferred(lambda: any_connector)
connection = some(
    integration.Connection,
    connection_code=code,
    dossier=line,
    system=line,
    connector=line,
    url=text_line,
    credentials=st.dictionaries(line, st.just("${env:A}"), max_size=2),
    active=st.booleans(),
    time_zone=zone,
    entities=st.lists(line, max_size=2).map(tuple),
    peak_from=at_minute,
    webhook_secret=st.none() | st.just("${env:A}"),
    options=names,
)


def several(strategy: st.SearchStrategy[Any], key: str) -> st.SearchStrategy[Any]:
    """Up to three values with different codes, in the order of the codes."""
    found = st.lists(strategy, max_size=3, unique_by=lambda one: getattr(one, key))
    return found.map(lambda made: tuple(sorted(made, key=lambda one: getattr(one, key))))


configurations = st.builds(
    Configuration,
    general=st.none() | general,
    mail_groups=several(group, "group_code"),
    mail_templates=several(template, "template_code"),
    call_targets=several(target, "target_code"),
    dataset_types=several(dataset_type, "type_code"),
    sources=several(source, "source_code"),
    dossiers=several(dossier, "dossier_code"),
)


@settings(max_examples=75, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(configurations)
def test_any_configuration_is_exported_and_read_back_the_same(configuration: Configuration) -> None:
    if configuration == Configuration():
        return
    text = to_yaml(configuration)
    reading = read_text(text, name="export.yaml")
    assert [str(one.error) for one in reading.faults] == []
    assert reading.configuration == configuration


integrations = st.builds(
    Configuration,
    connectors=several(connector, "connector_code"),
    connections=several(connection, "connection_code"),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(integrations)
def test_any_connectors_and_connections_are_exported_and_read_back_the_same(configuration: Configuration) -> None:
    if configuration == Configuration():
        return
    reading = read_text(to_yaml(configuration), name="export.yaml")
    assert [str(one.error) for one in reading.faults] == []
    assert reading.configuration == configuration


def test_the_demo_folder_is_exported_and_read_back_the_same(tmp_path: Path) -> None:
    configuration = read_folder(DEMO).configuration
    for name, text in to_files(configuration).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    reading = read_folder(tmp_path)
    assert reading.faults == []
    assert reading.configuration == configuration


def test_a_copy_has_its_own_code_and_folder() -> None:
    original = next(one for one in read_folder(DEMO).configuration.dossiers if one.dossier_code == "998")
    copy = copied(original, "123")
    assert (copy.dossier_code, copy.hub_folder) == ("123", "${env:ERPCRM_HUB_FOLDER}/123")
    assert copy.process == original.process


def test_the_committed_schema_is_that_of_the_models() -> None:
    assert (DEMO / "schema.json").read_text(encoding="utf-8") == schema_text(), "run: erpcrm config schema"


def test_every_file_of_the_demo_names_the_schema() -> None:
    for path in DEMO.glob("*.yaml"):
        assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=schema.json\n"), path.name


@pytest.mark.parametrize("section", SECTIONS)
def test_every_field_of_a_value_can_be_written_in_the_yaml(section: str) -> None:
    model, key = SECTIONS[section]
    known = {field.alias or name for name, field in model.model_fields.items()}
    assert {one.name for one in fields(model.value_type)} - {key} == known
    assert all(field.description for field in model.model_fields.values())


def test_every_part_of_the_yaml_has_its_class_of_the_domain() -> None:
    def parts(kind: type[Part]) -> list[type[Part]]:
        return [found for one in kind.__subclasses__() for found in (one, *parts(one))]

    for part in parts(Part):
        if part.__name__.endswith("Part") and "value_type" in vars(part):
            known = {field.alias or name for name, field in part.model_fields.items()}
            assert known <= set(get_type_hints(part.value_type)), part
