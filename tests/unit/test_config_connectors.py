"""What a connector and a connection may not say: every rule with its code, its place and its remedy."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import yaml

from erpcrm_orchestration.config.folder import read_text
from erpcrm_orchestration.config.rules import Checked, check

BASE: dict[str, Any] = yaml.safe_load("""
mail_groups: {dest_erp_crm: {}}
mail_templates: {interactions_alert: {subject: S, text: T}}
dossiers: {"998": {crm_project_code: X}}
connectors:
  oscar:
    kind: rest
    auth: {kind: headers, headers: {Authorization: "Token {token}"}}
    entities:
      products:
        read: {mode: snapshot, pages: {path: /api/products/}}
        map:
          entity: product
          fields: {sku: upc, name: title}
        topics: [product.updated]
      users:
        read: {mode: snapshot, pages: {path: /api/users/}}
        map:
          entity: customer
          fields:
            email: email
            billing_address: {path: address, fields: {city: line4}}
      orders:
        read:
          mode: append
          pages: {path: /api/admin/orders/}
          records: results
          record_id: number
          paging: {kind: next, next_path: next, size: 100, size_parameter: limit}
          one: {path: "/api/admin/orders/{id}/"}
          follow: {lines: {link: lines, records: results, paging: {kind: next, next_path: next}}}
        map:
          entity: order
          fields:
            number: number
            total: {path: total_incl_tax, factor: "0.01"}
            customer: user
            state: {path: status, values: {Complete: completed}, otherwise: UNKNOWN}
          children:
            lines: {records: lines, key: id, fields: {quantity: quantity, product: {path: product, segment: -1}}}
        topics: [order.created, order.updated]
        write:
          fields: [logistic_state]
          values: {logistic_state: {shipped: Complete}}
          update: {path: "/api/admin/orders/{id}/", method: PATCH, body: {status: "{logistic_state}"}}
          check: {path: "/api/admin/orders/{id}/"}
          refuse_when: {status: [Cancelled]}
connections:
  shop_998:
    dossier: "998"
    system: shop
    connector: oscar
    url: "${env:SHOP_URL}"
    credentials: {token: "${env:SHOP_TOKEN}"}
    outbound_enabled: true
""")
ENTITY = "connectors.oscar.entities.orders"
READ, MAP, WRITE = f"{ENTITY}.read", f"{ENTITY}.map", f"{ENTITY}.write"
SHOP = "connections.shop_998"
MESSAGE = re.compile(r"E-CFG-[0-9]{3} f\.yaml:[0-9]+:[0-9]+ \S+: .+; .+")


def written(changes: dict[str, Any]) -> Checked:
    """What the check says of the base with these changes; a value of ... takes the key away."""
    whole = copy.deepcopy(BASE)
    for way, value in changes.items():
        *steps, last = way.split("/") if "/" in way else way.split(".")
        holder: Any = whole
        for step in steps:
            holder = holder.setdefault(step, {})
        if value is ...:
            del holder[last]
        else:
            holder[last] = value
    return check(read_text(yaml.safe_dump(whole, sort_keys=False), name="f.yaml"))


def told(changes: dict[str, Any]) -> list[str]:
    return [str(one) for one in written(changes).errors]


def test_the_base_of_these_tests_is_right() -> None:
    assert written({}) == Checked()


RULES: list[tuple[dict[str, Any], str, str, str]] = [
    ({f"{MAP}.entity": "ordr"}, "E-CFG-060", f"{MAP}.entity", "no entity ordr; did you mean order?"),
    ({f"{MAP}.fields.numbr": "n"}, "E-CFG-060", f"{MAP}.fields.numbr", "order has no field numbr; did you mean number?"),
    (
        {f"{MAP}.children.line": {"records": "lines", "fields": {"quantity": "q"}}},
        "E-CFG-060",
        f"{MAP}.children.line",
        "order has no rows line; did you mean lines?",
    ),
    (
        {f"{MAP}.children.lines.fields.quantty": "q"},
        "E-CFG-060",
        f"{MAP}.children.lines.fields.quantty",
        "order.lines has no field quantty; did you mean quantity?",
    ),
    ({f"{MAP}.match": ["numbr"]}, "E-CFG-060", f"{MAP}.match[0]", "field numbr is not mapped; did you mean number?"),
    (
        {f"{WRITE}.fields": ["logistic_stat"]},
        "E-CFG-060",
        f"{WRITE}.fields[0]",
        "order has no field logistic_stat; did you mean logistic_state?",
    ),
    (
        {f"{MAP}.children.lines.fields.quantity": ...},
        "E-CFG-061",
        f"{MAP}.children.lines.fields",
        "order.lines needs quantity, which is not mapped; say where quantity stands, as quantity: <path>",
    ),
    (
        {f"{MAP}.fields.billing_address": "address"},
        "E-CFG-062",
        f"{MAP}.fields.billing_address",
        "an address without parts; give fields: with some of first_name, last_name, ",
    ),
    (
        {f"{MAP}.fields.billing_address": {"fields": {"town": "t"}}},
        "E-CFG-062",
        f"{MAP}.fields.billing_address.fields.town",
        "an address has no part town; known: city, company, ",
    ),
    (
        {f"{MAP}.fields.number": {"path": "n", "fields": {"city": "c"}}},
        "E-CFG-062",
        f"{MAP}.fields.number.fields",
        "number is no address; give its path alone",
    ),
    ({f"{READ}.mode": "cursor"}, "E-CFG-064", READ, "mode cursor without modified; say where the instant"),
    (
        {f"{READ}.mode": "cursor", f"{READ}.modified": "updated"},
        "E-CFG-064",
        f"{READ}.pages",
        "mode cursor without {after} in the request; put {after} into query or path",
    ),
    (
        {f"{READ}.mode": "snapshot", f"{READ}.pages.query": {"since": "{after}"}},
        "E-CFG-064",
        f"{READ}.pages",
        "{after} in a snapshot, which reads everything; leave {after} out, or say mode: cursor",
    ),
    (
        {f"{READ}.pages.query": {"until": "{until}"}},
        "E-CFG-064",
        f"{READ}.pages",
        "{until} with mode append, which goes by the key; write {after} for the last key",
    ),
    ({f"{READ}.paging": {"kind": "next"}}, "E-CFG-065", f"{READ}.paging", "paging next without next_path; give next_path"),
    ({f"{READ}.paging": {"kind": "page"}}, "E-CFG-065", f"{READ}.paging", "paging page without parameter; give parameter"),
    ({f"{READ}.paging": {"kind": "offset"}}, "E-CFG-065", f"{READ}.paging", "paging offset without parameter"),
    ({f"{READ}.paging": {"kind": "keyset"}}, "E-CFG-065", f"{READ}.paging", "paging keyset without parameter"),
    (
        {f"{READ}.paging": {"kind": "token", "parameter": "t"}},
        "E-CFG-065",
        f"{READ}.paging",
        "paging token without next_path; give next_path",
    ),
    (
        {f"{READ}.follow.lines.paging": {"kind": "next"}},
        "E-CFG-065",
        f"{READ}.follow.lines.paging",
        "paging next without next_path; give next_path",
    ),
    (
        {f"{READ}.paging.size": 20000},
        "E-CFG-065",
        f"{READ}.paging.size",
        "size 20000 is more than max_records_per_page 10000; ask for fewer, or accept more",
    ),
    (
        {f"{READ}.one.path": "/orders/{idd}/{id}"},
        "E-CFG-066",
        f"{READ}.one.path",
        "nothing is called {idd} here; did you mean {id}?",
    ),
    ({f"{READ}.one.path": "/orders/"}, "E-CFG-066", f"{READ}.one", "no {id} in the request; say where the id"),
    (
        {f"{READ}.pages.query": {"since": "{aftr}"}},
        "E-CFG-066",
        f"{READ}.pages.query",
        "nothing is called {aftr} here; did you mean {after}?",
    ),
    (
        {f"{READ}.follow.lines": {"call": {"path": "/lines/{record.id}"}}},
        "E-CFG-066",
        f"{READ}.follow.lines.call.path",
        "nothing is called {record.id} here; known: {id}, {parent.<path>}, {size}",
    ),
    (
        {f"{WRITE}.update.body": {"status": "{logistic_stat}", "x": "{logistic_state}"}},
        "E-CFG-066",
        f"{WRITE}.update.body",
        "nothing is called {logistic_stat} here; did you mean {logistic_state}?",
    ),
    (
        {f"{MAP}.match": ["number"], f"{MAP}.creates": False},
        "E-CFG-082",
        f"{MAP}.match",
        "match where no record is created: who comes first would decide whether it is ever linked; leave match out",
    ),
    ({f"{MAP}.fields.number": ""}, "E-CFG-067", f"{MAP}.fields.number", "the path is empty; write names with a dot"),
    ({f"{MAP}.fields.number": "a..b"}, "E-CFG-067", f"{MAP}.fields.number", '"a..b" has an empty step; write names'),
    ({f"{MAP}.children.lines.records": ""}, "E-CFG-067", f"{MAP}.children.lines.records", "the path is empty"),
    ({f"{READ}.record_id": ""}, "E-CFG-067", f"{READ}.record_id", "the path is empty"),
    ({f"{READ}.records": "a."}, "E-CFG-067", f"{READ}.records", '"a." has an empty step'),
    (
        {f"{READ}.pages.graphql": "{ orders { id } }", f"{READ}.pages.body": {"a": 1}, f"{READ}.pages.method": "POST"},
        "E-CFG-068",
        f"{READ}.pages",
        "both graphql and body; give exactly one of both",
    ),
    ({f"{READ}.pages.body": {"a": 1}}, "E-CFG-068", f"{READ}.pages.body", "a body with GET; say method: POST, PUT or PATCH"),
    ({f"{READ}.pages.variables": {"a": 1}}, "E-CFG-068", f"{READ}.pages.variables", "variables without graphql"),
    (
        {f"{READ}.follow.lines.link": ...},
        "E-CFG-068",
        f"{READ}.follow.lines",
        "neither link nor call; give exactly one of both",
    ),
    ({f"{WRITE}.fields": []}, "E-CFG-068", WRITE, "no fields; name the fields of ours whose change is sent"),
    ({f"{WRITE}.update": ...}, "E-CFG-068", WRITE, "neither create nor update; give at least one of both"),
    ({f"{WRITE}.check": ...}, "E-CFG-068", WRITE, "only one of check and refuse_when; give both"),
    ({f"{WRITE}.find": {"path": "/orders/"}}, "E-CFG-068", WRITE, "find without create; leave find out, or give create"),
    (
        {f"{WRITE}.values": {"financial_state": {"paid": "Paid"}}},
        "E-CFG-068",
        f"{WRITE}.values.financial_state",
        "words for financial_state, which no request sends; ",
    ),
    ({MAP: ..., f"{ENTITY}.topics": []}, "E-CFG-068", WRITE, "write without map; say by map: which entity of ours it is"),
    (
        {f"{ENTITY}.topics": ["order.created", "product.updated"]},
        "E-CFG-069",
        f"{ENTITY}.topics[1]",
        "topic product.updated belongs to products already; name every topic once",
    ),
    ({f"{MAP}.fields.total.factor": "1e3"}, "E-CFG-070", f"{MAP}.fields.total.factor", '"1e3" is no decimal; write digits'),
    (
        {f"{MAP}.fields.number": {"path": "n", "factor": "0.01"}},
        "E-CFG-070",
        f"{MAP}.fields.number.factor",
        "a factor for number, which is text; only numbers have a factor",
    ),
    ({f"{MAP}.fields.number": {}}, "E-CFG-070", f"{MAP}.fields.number", "neither path nor constant; give exactly one of both"),
    (
        {f"{MAP}.fields.number": {"path": "n", "constant": "c"}},
        "E-CFG-070",
        f"{MAP}.fields.number",
        "both path and constant; give exactly one of both",
    ),
    (
        {f"{MAP}.fields.number": {"path": "n", "otherwise": "x"}},
        "E-CFG-070",
        f"{MAP}.fields.number.otherwise",
        "otherwise without values; give values, or leave otherwise out",
    ),
    (
        {f"{READ}.pages.path": "https://elsewhere.example/orders"},
        "E-CFG-071",
        f"{READ}.pages.path",
        "an address where a path belongs; write the path below the url of the connection",
    ),
    ({f"{SHOP}.url": "file:///etc/passwd"}, "E-CFG-071", f"{SHOP}.url", "a file: address; files are read by a connector of"),
    ({f"{SHOP}.url": "http://169.254.169.254/latest"}, "E-CFG-071", f"{SHOP}.url", "a link-local address; name the host"),
    ({f"{SHOP}.url": "http://[fe80::1%25eth0]/"}, "E-CFG-071", f"{SHOP}.url", "a link-local address; name the host"),
    ({f"{SHOP}.url": "http://[::ffff:169.254.169.254]/"}, "E-CFG-071", f"{SHOP}.url", "a link-local address"),
    ({f"{SHOP}.url": "ftp://shop.example"}, "E-CFG-071", f"{SHOP}.url", "not an HTTP address; start it with https://"),
    (
        {f"{SHOP}.peak_from": "09:00", f"{SHOP}.peak_to": "09:00"},
        "E-CFG-072",
        f"{SHOP}.peak_to",
        "peak_from and peak_to are both 09:00; give two times",
    ),
    (
        {f"{SHOP}.entities": ["products"]},
        "E-CFG-073",
        f"{SHOP}.outbound_enabled",
        "outbound_enabled, and nothing of oscar is written; give write: to an entity of the connector, or say false",
    ),
    (
        {"connections.a": {**BASE["connections"]["shop_998"]}},
        "E-CFG-074",
        f"{SHOP}.system",
        "connection a is shop of dossier 998 already; name each system of a dossier once",
    ),
    (
        {f"{SHOP}.options": {"database": "x"}},
        "E-CFG-075",
        f"{SHOP}.options.database",
        "rest has no option database; rest knows",
    ),
    (
        {"connectors.oscar": {"kind": "tryton"}, SHOP: {**BASE["connections"]["shop_998"], "options": {"databse": "x"}}},
        "E-CFG-075",
        f"{SHOP}.options.databse",
        "tryton has no option databse; did you mean database?",
    ),
    (
        {"connectors.oscar": {"kind": "tryton"}},
        "E-CFG-075",
        SHOP,
        "tryton without option database; give options: {database: ...}",
    ),
    ({f"{SHOP}.entities": ["orders", "order"]}, "E-CFG-076", f"{SHOP}.entities[1]", "oscar has no entity order; did you mean"),
    (
        {f"{SHOP}.credentials": {}},
        "E-CFG-076",
        f"{SHOP}.credentials",
        "no credential token, which connector oscar uses; give credentials: {token: ${env:NAME}}",
    ),
    (
        {f"{READ}.pages.path": "/${env:SHOP}/orders/"},
        "E-CFG-077",
        f"{READ}.pages.path",
        "${env:SHOP} in a connector; write {name} here, and name: ${env:NAME} below credentials",
    ),
    ({"connectors.oscar.auth": {"kind": "headers"}}, "E-CFG-078", "connectors.oscar.auth", "auth headers without headers"),
    (
        {"connectors.oscar.auth": {"kind": "headers", "headers": {"X": "{token}"}, "user": "u"}},
        "E-CFG-078",
        "connectors.oscar.auth.user",
        "user with auth headers; leave it out, or say kind: basic",
    ),
    (
        {"connectors.oscar.auth": {"kind": "login", "login": {"path": "/in"}, "headers": {"X": "y"}}},
        "E-CFG-078",
        "connectors.oscar.auth.headers",
        'a login whose token is not sent; write it as "Bearer {token}"',
    ),
    ({f"{SHOP}.connector": "oskar"}, "E-CFG-003", f"{SHOP}.connector", "no connector oskar; did you mean oscar?"),
    ({f"{SHOP}.dossier": "999"}, "E-CFG-003", f"{SHOP}.dossier", "no dossier 999; did you mean 998?"),
    ({"connectors.oscar.requests_per_s": 0}, "E-CFG-041", "connectors.oscar.requests_per_s", "0 is not a number from 0.01 to"),
    ({f"{READ}.modified_zone": "Paris"}, "E-CFG-044", f"{READ}.modified_zone", '"Paris" is no time zone; '),
    ({f"{MAP}.fields.number": 3}, "E-CFG-041", f"{MAP}.fields.number", "3 is not a path or a mapping; give our fields"),
    ({f"{READ}.mode": "cursr"}, "E-CFG-041", f"{READ}.mode", '"cursr" is not one of cursor, append, snapshot; did you mean'),
    ({f"{READ}.pagng": {}}, "E-CFG-040", f"{READ}.pagng", "unknown key; did you mean paging?"),
    ({f"{MAP}.fields.number": {"pth": "x"}}, "E-CFG-040", f"{MAP}.fields.number.pth", "unknown key; did you mean path?"),
    ({f"{MAP}.entity": ...}, "E-CFG-002", f"{MAP}.entity", "missing; give our entity: category, employee, "),
    ({f"{READ}.pages.body": {1: 2}}, "E-CFG-041", f"{READ}.pages.body", "a mapping is not JSON: its keys are texts in quotes"),
]


@pytest.mark.parametrize(("changes", "code", "way", "words"), RULES, ids=lambda one: one if isinstance(one, str) else "")
def test_every_rule_is_told_with_code_place_and_remedy(changes: dict[str, Any], code: str, way: str, words: str) -> None:
    lines = told(changes)
    assert all(MESSAGE.fullmatch(line) for line in lines), lines
    found = [line for line in lines if line.startswith(f"{code} ") and f" {way}: {words}" in line]
    assert found, lines
    assert "f.yaml:1:1 " not in found[0]


def test_a_complaint_names_line_and_column() -> None:
    text = "connectors:\n  s:\n    kind: rest\n    entities:\n      o: {map: {entity: ordr, fields: {}}}\n"
    assert [str(one) for one in check(read_text(text, name="f.yaml")).errors] == [
        "E-CFG-060 f.yaml:5:25 connectors.s.entities.o.map.entity: no entity ordr; did you mean order?"
    ]


def test_a_reference_that_no_mapping_fills_is_a_warning() -> None:
    found = written({"connectors.oscar.entities.users": ...})
    assert found.errors == ()
    (line,) = found.warnings
    assert f"{MAP}.fields.customer: refers to customer, which no entity of oscar is mapped to; map one to customer" in line
    assert line.startswith("E-CFG-063 f.yaml:")


def test_what_is_read_and_not_mapped_is_a_warning() -> None:
    found = written({"connectors.oscar.entities.users.map": ..., f"{MAP}.fields.customer": ...})
    assert found.errors == ()
    assert "connectors.oscar.entities.users: read and not mapped; give map: its records are kept" in found.warnings[0]


def test_a_zone_of_a_connection_without_a_place_is_a_warning() -> None:
    (line,) = written({f"{SHOP}.time_zone": "CET"}).warnings
    assert line.startswith("E-CFG-044 f.yaml:")


@pytest.mark.parametrize(
    "changes",
    [
        {f"{SHOP}.credentials": {"token": "hunter2"}},
        {f"{SHOP}.credentials": {"token": "${env:SHOP_TOKEN}", "user": "admin"}},
        {f"{SHOP}.webhook_secret": "hunter2"},
        {f"{SHOP}.url": "https://anna:hunter2@shop.example"},
        {"connection_defaults": {"credentials": {"token": "hunter2"}}, f"{SHOP}.credentials": {}},
        {"connectors.oscar.auth.headers.Authorization": "Token hunter2"},
        {"connectors.oscar.auth.headers.Authorization": "Token hunter2 {token}"},
        {f"{READ}.pages.query": {"api_key": "hunter2"}},
        {f"{READ}.pages.path": "/orders?token=hunter2"},
        {f"{WRITE}.update.headers": {"X-Api-Key": "hunter2"}},
    ],
)
def test_45_a_secret_in_a_connector_or_connection_is_refused_and_never_repeated(changes: dict[str, Any]) -> None:
    lines = told(changes)
    assert any(line.startswith("E-CFG-045 ") and "a secret stands in the file; write ${env:ERPCRM_" in line for line in lines)
    assert not any("hunter2" in line for line in lines)


@pytest.mark.parametrize(
    "changes",
    [
        {"connectors.oscar.auth.headers.Authorization": "Bearer {token}"},
        {"connectors.oscar.auth.headers.Authorization": "{token}"},
        {f"{READ}.pages.query": {"api_key": "{token}"}},
        {f"{READ}.pages.path": "/orders?token={token}"},
        {f"{MAP}.fields.customer_note": {"path": "token", "values": {"token": "t", "password": "p"}}},
        {f"{SHOP}.webhook_secret": "${env:HOOK}", "connectors.oscar.webhook_signature_header": "X-Signature"},
        {f"{SHOP}.url": "http://127.0.0.1:8080/shop"},
        {
            "connectors.oscar.auth": {
                "kind": "login",
                "login": {"path": "/login", "method": "POST", "body": {"user": "{user}", "password": "{pw}"}},
                "token_path": "result.token",
                "headers": {"Authorization": "Bearer {token}"},
            },
            f"{SHOP}.credentials": {"user": "${env:U}", "pw": "${env:P}"},
        },
        {f"{READ}.mode": "cursor", f"{READ}.modified": "updated", f"{READ}.pages.query": {"since": "{after_naive}"}},
        {f"{READ}.pages.graphql": "query Orders { orders { nodes { idd } } }", f"{READ}.pages.variables": {"first": "{size}"}},
        {f"{READ}.follow.lines": {"call": {"path": "/orders/{parent.number}/lines"}}},
        {f"{MAP}.fields.total": {"constant": "0"}},
    ],
)
def test_what_is_meant_so_is_right(changes: dict[str, Any]) -> None:
    assert told(changes) == []


def test_defaults_of_connections_are_merged_and_told_at_their_place() -> None:
    defaults = {"poll_interval_s": 30, "peak_from": "10:00", "peak_to": "10:00"}
    whole = {"connection_defaults": defaults}
    (line,) = told(whole)
    assert line.startswith("E-CFG-072 f.yaml:")
    assert " connection_defaults.peak_to: " in line
