"""Pivot files, without a database: what is read, what is refused, which names belong together."""

from __future__ import annotations

import pytest

from erpcrm_orchestration.clients.hub_folder import parse
from erpcrm_orchestration.domain.pivot import PivotContent, companions_of, is_pivot, stem


def test_a_pivot_file_is_read_with_nested_and_repeated_fields() -> None:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><!-- a comment --><DataHub DataSetType="PCE" Origin="EDI">'
        "<No> 12 </No><Note/><Client><Nom>Café &amp; Cie</Nom></Client>"
        "<Lignes><Ligne>A</Ligne><Ligne>B</Ligne></Lignes><L><Q>1</Q></L><L><Q>2</Q></L></DataHub>"
    )
    assert parse(text.encode()) == PivotContent(
        "PCE",
        "EDI",
        {
            "No": "12", "Note": "", "Client/Nom": "Café & Cie", "Lignes/Ligne[1]": "A", "Lignes/Ligne[2]": "B",
            "L[1]/Q": "1", "L[2]/Q": "2",
        },
        text,
    )  # fmt: skip


def test_another_encoding_is_read_when_the_file_declares_it() -> None:
    text = '<?xml version="1.0" encoding="ISO-8859-1"?><DataHub DataSetType="PCE"><Nom>Café</Nom></DataHub>'
    found = parse(text.encode("latin-1"))
    assert (found.fields, found.payload, found.fault, found.origin) == ({"Nom": "Café"}, text, None, "CRM")


BOMB = (
    '<!DOCTYPE DataHub [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><DataHub DataSetType="PCE"><No>&b;</No></DataHub>'
)
FOREIGN = '<!DOCTYPE DataHub SYSTEM "file:///etc/passwd"><DataHub DataSetType="PCE"/>'


@pytest.mark.parametrize(
    ("data", "kind", "fault"),
    [
        (b"", "UNREADABLE", "not readable as XML: Document is empty, line 1, column 1 (<string>, line 1)"),
        (BOMB.encode(), "UNREADABLE", "a DOCTYPE is not allowed"),
        (FOREIGN.encode(), "UNREADABLE", "a DOCTYPE is not allowed"),
        (b'<datahub DataSetType="PCE"/>', "PCE", "the first element is datahub, not DataHub"),
        (b'<DataHub datasettype="PCE"/>', "UNREADABLE", "attribute DataSetType is missing"),
        (b'<DataHub DataSetType=" "/>', "UNREADABLE", "attribute DataSetType is missing"),
        (b'<DataHub DataSetType="PCE" Origin="FAX"/>', "PCE", "Origin is 'FAX', not one of CRM, EDI, MAIL, OTHER"),
        (
            b'<DataHub DataSetType="PCE"><A><B><C/></B></A></DataHub>',
            "PCE",
            "A/B holds elements; one level below a field is allowed",
        ),
        (f'<DataHub DataSetType="{"x" * 65}"/>'.encode(), "x" * 64, "DataSetType has 65 characters, at most 64"),
    ],
)
def test_a_faulty_pivot_file_says_what_is_wrong(data: bytes, kind: str, fault: str) -> None:
    found = parse(data)
    assert (found.type_code, found.fault, found.fields) == (kind, fault, {})


@pytest.mark.parametrize(
    "data",
    [
        '<DataHub DataSetType="PCE"><No>Café</No></DataHub>'.encode("latin-1"),
        b'<DataHub DataSetType="PCE"><No>1</No>',
        b"\x00\x01\x02",
        b'<DataHub DataSetType="PCE"><No>&unknown;</No></DataHub>',
        b"<DataHub " + b"<a>" * 300 + b"</DataHub>",
        b'<DataHub DataSetType="PCE">' + b"<a>" * 100_000,
    ],
)
def test_what_is_no_xml_is_faulty_and_its_text_can_still_be_stored(data: bytes) -> None:
    found = parse(data)
    assert found.fault is not None
    assert found.fault.startswith("not readable as XML: ")
    assert "\x00" not in found.payload
    found.payload.encode()


def test_the_extension_counts_in_capitals_only_and_companions_share_the_stem() -> None:
    names = ["t1.DHUB", "t1.pdf", "t1.a.pdf", "t2.pdf", "t1.dhub", ".DHUB", "t1"]
    assert [name for name in names if is_pivot(name)] == ["t1.DHUB"]
    assert companions_of("t1.DHUB", names) == ("t1.dhub", "t1.pdf")
    assert stem("a.b.DHUB") == "a.b"
