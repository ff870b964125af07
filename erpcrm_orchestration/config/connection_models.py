"""The YAML of connectors and connections: entities, fields and children are mappings keyed by their names.

A field may be written as its path alone. What a preset brings is taken away with nothing: `customers:` or `email: null`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, WithJsonSchema, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from erpcrm_orchestration.config.kinds import (
    WORD,
    Block,
    Identifier,
    Name,
    Text,
    TimeOfDay,
    TimeZone,
    refused,
)
from erpcrm_orchestration.config.part import Part, Value, as_value, given
from erpcrm_orchestration.domain import connection as value


def _rate(number: object) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0.01 <= number <= 1000:
        raise refused("a number from 0.01 to 1000")
    if round(number, 2) != number:
        raise refused("a number with at most two digits after the point")
    return float(number)


def _json(content: object) -> object:
    """Refuse keys that JSON cannot have, so that what is stored is what was written."""
    if isinstance(content, dict):
        if not all(isinstance(key, str) for key in content):
            raise refused("JSON: its keys are texts in quotes")
        return {key: _json(one) for key, one in content.items()}
    return [_json(one) for one in content] if isinstance(content, list) else content


Rate = Annotated[float, BeforeValidator(_rate), WithJsonSchema({"type": "number", "minimum": 0.01, "maximum": 1000})]
Json = Annotated[Any, BeforeValidator(_json)]
Texts = dict[Identifier, Name]
Positive = Annotated[int, Field(ge=1, le=86400)]


class NamedParts(Part):
    """A mapping some of whose values are mappings by name, kept as tuples. `named` is the field -> what its key becomes."""

    named: ClassVar[Mapping[str, str]] = {}

    def to_value(self, **codes: Value) -> Value:
        return self.value_type(**codes, **{name: self._argument(name) for name in self.model_fields_set})

    def _argument(self, name: str) -> Value:
        content, key = getattr(self, name), self.named.get(name)
        if key is None:
            return as_value(content)
        return tuple(part.to_value(**{key: code}) for code, part in content.items() if part is not None)


class PagingPart(Part):
    value_type = value.Paging
    kind: Annotated[value.PagingKind, WORD] = Field(
        value.PagingKind.NONE, description="none, link, next, page, offset, token or keyset: how the next page is asked for"
    )
    size: Annotated[int, Field(ge=1, le=100000)] = Field(100, description="records of one page")
    size_parameter: Text | None = Field(None, description="the query parameter or variable that holds the size")
    parameter: Text | None = Field(None, description="the query parameter or variable of the page, offset, token or key")
    next_path: Name | None = Field(None, description="where the answer holds the next address or token")
    more_path: Name | None = Field(None, description="where the answer says whether there is more")


class CallPart(Part):
    value_type = value.Call
    path: Block = Field(description="the path below the url of the connection; model or model.method for tryton")
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field("GET", description="GET, POST, PUT, PATCH or DELETE")
    query: Texts = Field({}, description="query parameters; {id}, {after}, {until}, {size} and credentials are filled in")
    headers: Texts = Field({}, description="headers of this request")
    body: Json = Field(None, description='what is sent as JSON; a text that is "{name}" becomes the value with its type')
    graphql: Block | None = Field(None, description="the text of a GraphQL query, sent with the variables")
    variables: dict[Identifier, Json] = Field({}, description="the variables of the GraphQL query")

    def to_value(self, **codes: Value) -> value.Call:
        """Return the call; lists of a body stay lists, as JSON has them."""
        return value.Call(**codes, **{name: copy.deepcopy(getattr(self, name)) for name in self.model_fields_set})


class FollowPart(Part):
    value_type = value.Follow
    link: Name | None = Field(None, description="the path of the address in the record")
    call: CallPart | None = Field(None, description="the request that fetches it, with {parent.path}")
    records: Name | None = Field(None, description='the path of the list in the answer, "" for the answer itself')
    paging: PagingPart = Field(PagingPart(), description="how the next page is asked for")


class ReadingPart(NamedParts):
    value_type = value.Reading
    named: ClassVar[Mapping[str, str]] = {"follow": "into"}
    mode: Annotated[value.ChangeMode, WORD] = Field(description="cursor, append or snapshot: how changes are noticed")
    pages: CallPart = Field(description="the request that lists the records")
    record_id: Name = Field(given(value.Reading, "record_id"), description="the path of a record's id")
    record_segment: Annotated[int, Field(ge=-100, le=100)] | None = Field(
        None, description="the n-th part of that id when it is a path or address, -1 for the last"
    )
    records: Name = Field("", description='the path of the list in the answer, "" for the answer itself')
    modified: Name | None = Field(None, description="the path of the instant of the last change")
    modified_zone: TimeZone = Field("UTC", description="the zone of that instant when it has none")
    modified_format: Literal["iso", "epoch_s", "epoch_ms"] = Field(
        "iso", description="iso, epoch_s or epoch_ms: how instants are written in requests"
    )
    paging: PagingPart = Field(PagingPart(), description="how the next page is asked for")
    one: CallPart | None = Field(None, description="the request that fetches a single record by {id}")
    one_record: Name = Field("", description='the path of the record in the answer of `one`, "" for the answer itself')
    follow: dict[Identifier, FollowPart | None] = Field(
        {}, description="what stands behind links, by the place in the record where it is put"
    )
    deleted: Name | None = Field(None, description="the path of what is true, or not null, in a deleted record")
    deleted_when: dict[Text, list[str]] = Field({}, description="path and words at which a record is deleted, as in a trash")
    reread: Annotated[int, Field(ge=0, le=100_000)] = Field(
        100, description="of an append-only list with numbers as ids: how many before the last one are read again"
    )
    every_s: Positive | None = Field(None, description="seconds between two readings, else those of the connection")


class FieldMapPart(Part):
    value_type = value.FieldMap
    path: Name | None = Field(None, description="where the value stands in the record")
    constant: str | None = Field(None, description="the value itself, instead of a path")
    segment: Annotated[int, Field(ge=-100, le=100)] | None = Field(
        None, description="the n-th part of a path or address, -1 for the last"
    )
    none: list[str] = Field([], description='words that mean nothing, as "0" for the customer of a guest')
    values: dict[str, str] = Field({}, description="their word and ours")
    otherwise: Text | None = Field(None, description='what any other word becomes, "=" to keep it; without it it is refused')
    factor: Text | None = Field(None, description='a decimal in quotes that a number is multiplied with, as "0.01" for cents')
    lookup: Identifier | None = Field(None, description="the kind of value mapping that knows the word, as unit")
    zone: TimeZone = Field("UTC", description="the zone of an instant without one")
    fields: dict[Identifier, FieldMapPart | None] = Field({}, description="the parts of an address")

    @model_validator(mode="before")
    @classmethod
    def _a_path_alone(cls, content: object) -> object:
        if isinstance(content, str):
            return {"path": content}
        if not isinstance(content, dict):
            raise refused("a path or a mapping")
        return content

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schema of a path or a mapping."""
        mapping = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [{"type": "string", "description": "where the value stands in the record"}, mapping]}


class ChildMapPart(Part):
    value_type = value.ChildMap
    records: Name = Field(description="the path of the list in the record")
    fields: dict[Identifier, FieldMapPart | None] = Field(description="our fields of a row and where they come from")
    key: Name | None = Field(None, description="the path of a row's own id, else its content identifies it")


class ConditionPart(Part):
    value_type = value.Condition
    present: bool | None = Field(None, description="true: something stands there; false: nothing, null or an empty text")
    one_of: list[str] = Field([], description='the words that pass, each in quotes, as "1" or "CLOSED"')
    none_of: list[str] = Field([], description="the words that do not pass")
    switch: Identifier | None = Field(None, description="it counts where the connection has this switch on")
    unless: Identifier | None = Field(None, description="it counts where the connection has this switch off")


class MappingPart(NamedParts):
    value_type = value.EntityMapping
    named: ClassVar[Mapping[str, str]] = {"children": "child"}
    entity: Identifier = Field(
        description="our entity: category, employee, customer, contact, product, order, subscription, intervention, "
        "time_entry, opportunity, occurrence, activity or document"
    )
    fields: dict[Identifier, FieldMapPart | None] = Field(description="our fields and where they come from")
    children: dict[Identifier, ChildMapPart | None] = Field({}, description="our rows that belong to a record")
    creates: bool = Field(True, description="false when only records that are known already are updated")
    match: list[Identifier] = Field([], description="our fields by which a new record is one of another system")
    required: list[Text] = Field([], description="paths that must be there")
    owns: list[Identifier] = Field([], description="fields of which this system has the last word")
    where: dict[Text, ConditionPart | None] = Field(
        {}, description="what must hold at a path of a record; one for which it does not is kept and not integrated"
    )
    known: list[Text] = Field([], description='keys that are known and not mapped, "*" for all')


class WritingPart(Part):
    value_type = value.Writing
    create: CallPart | None = Field(None, description="the request that creates a record")
    update: CallPart | None = Field(None, description="the request that changes the record {id}")
    created_id: Name = Field("id", description="the path of the new id in the answer of `create`")
    find: CallPart | None = Field(None, description="the request that looks for what an earlier attempt created")
    find_records: Name = Field("", description='the path of the list in its answer, "" for the answer itself')
    find_id: Name = Field("id", description="the path of the id in such a record")
    idempotency_header: Text | None = Field(
        given(value.Writing, "idempotency_header"), description="the header that repeats have in common"
    )
    fields: list[Identifier] = Field([], description="our fields whose change is sent")
    values: dict[Identifier, dict[str, str]] = Field({}, description="our field, our word and theirs; others are not sent")
    check: CallPart | None = Field(None, description="the request that reads the record {id} before an update")
    refuse_when: dict[Text, list[str]] = Field({}, description="path and words at which an update is a conflict")


class ConnectorEntityPart(Part):
    value_type = value.ConnectorEntity
    read: ReadingPart | None = Field(None, description="how its records are read")
    map: MappingPart | None = Field(None, description="how a record becomes ours")
    write: WritingPart | None = Field(None, description="how our changes are written to it")
    topics: list[Text] = Field([], description="the topics of webhooks that carry it")


class AuthPart(Part):
    value_type = value.Auth
    kind: Literal["none", "basic", "headers", "login"] = Field("none", description="none, basic, headers or login")
    headers: Texts = Field({}, description="headers with credentials as {name}; after a login with {token}")
    user: Text | None = Field(None, description="the user of basic, else {user}")
    password: Text | None = Field(None, description="the password of basic, else {password}")
    login: CallPart | None = Field(None, description="the request that gives a token")
    token_path: Name = Field("token", description="the path of the token in its answer")


class ConnectorPart(NamedParts):
    value_type = value.Connector
    named: ClassVar[Mapping[str, str]] = {"entities": "name"}
    kind: Annotated[value.ConnectorKind, WORD] = Field(
        description="woocommerce, rest, tryton, sql or files; woocommerce and tryton bring their entities"
    )
    entities: dict[Identifier, ConnectorEntityPart | None] = Field({}, description="its kinds of record, by their names there")
    auth: AuthPart = Field(AuthPart(), description="how requests prove who we are")
    requests_per_s: Rate = Field(given(value.Connector, "requests_per_s"), description="requests of a second at most")
    timeout_s: Annotated[int, Field(ge=1, le=600)] = Field(30, description="seconds to wait for an answer")
    max_records_per_page: Annotated[int, Field(ge=1, le=1000000)] = Field(
        10000, description="records above which a page is refused"
    )
    max_answer_mb: Annotated[int, Field(ge=1, le=1000)] = Field(50, description="megabytes above which an answer is refused")
    webhook_signature_header: Text | None = Field(None, description="the header with the base64 HMAC-SHA256 of the body")
    webhook_topic_header: Text | None = Field(None, description="the header with the topic")
    webhook_delivery_header: Text | None = Field(None, description="the header that identifies a delivery")


class ConnectionPart(Part):
    value_type = value.Connection
    dossier: Text = Field(description="the code of the dossier")
    system: Identifier = Field(description="its role in the dossier, as shop, crm or erp")
    connector: Identifier = Field(description="the code of the connector")
    url: Text = Field(description="the address of the installation, as ${env:NAME} when it holds a password")
    credentials: dict[Identifier, Text] = Field({}, description="the names that the connector uses, each as ${env:NAME}")
    active: bool = Field(True, description="true or false; an inactive connection is neither read nor written")
    poll_interval_s: Positive = Field(60, description="seconds between two readings")
    overlap_floor_s: Annotated[int, Field(ge=0, le=86400)] = Field(120, description="seconds that are read again at least")
    time_zone: TimeZone = Field("UTC", description="the zone of the system")
    entities: list[Identifier] = Field([], description="the connector's entities that are read here, all when empty")
    outbound_enabled: bool = Field(False, description="true when our changes are written to this system")
    peak_from: TimeOfDay = Field(given(value.Connection, "peak_from"), description="the time from which what can wait waits")
    peak_to: TimeOfDay = Field(given(value.Connection, "peak_to"), description="the time until which it waits")
    webhook_secret: Text | None = Field(None, description="the secret of webhook signatures as ${env:NAME}")
    ca_file: Text | None = Field(None, description="the file of the certificate authority that is trusted")
    switches: list[Identifier] = Field([], description="the switches of the connector's conditions that are on here")
    options: Texts = Field({}, description="what only one kind knows: database for tryton, folder and pattern for files")
