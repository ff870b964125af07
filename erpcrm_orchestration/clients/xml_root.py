"""XML from outside: no DTD, no entities, no network, no huge trees."""

from __future__ import annotations

from lxml import etree


class NotXml(ValueError):
    """The bytes are no XML that is taken; the text is the reason."""


def root_of(data: bytes) -> etree._Element:
    """Return the root element; raise NotXml for what is not well-formed or has a DOCTYPE."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise NotXml(f"not readable as XML: {error}") from error
    info = root.getroottree().docinfo
    if info.internalDTD is not None or info.externalDTD is not None:
        raise NotXml("a DOCTYPE is not allowed")
    return root
