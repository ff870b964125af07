"""Secrets and references to the environment in a configuration: only `${env:NAME}`, never the secret itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from erpcrm_orchestration.config.folder import Reading
from erpcrm_orchestration.config.places import Fault, Path
from erpcrm_orchestration.domain.secret import REFERENCE, references

SECRET_KEY = re.compile(r"pass(word|wd|phrase)?$|secret|token|authori[sz]ation|api[-_]?key|credential|cookie", re.IGNORECASE)
URL_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/@:]*:(?P<secret>[^\s@]*)@", re.IGNORECASE)
URL_QUERY = re.compile(r"[?&](?:[a-z_-]*(?:password|passwd|pwd|secret|token|api[-_]?key))=(?P<secret>[^&\s]*)", re.IGNORECASE)
SCHEMES = frozenset({"", "basic", "bearer", "digest", "token", "apikey"})
TEMPLATE = re.compile(r"\{[A-Za-z_][A-Za-z0-9_.-]*\}")
_SCHEME = re.compile(r"[A-Za-z]{0,12}:?")
"""The word of a scheme that a connector's header may have beside its {name}."""
_NAMES = frozenset({"token_path"})
"""Keys that are called like a secret and hold the way to one."""
_NOT_SECRET = frozenset(
    {"columns", "payload", "where", "states", "fields", "outcomes", "parameters", "values", "refuse_when", "deleted_when"}
)
"""Below these stand names and words of other programs."""


def secret_faults(reading: Reading) -> Iterator[Fault]:
    """Yield E-CFG-045 for every secret that stands in the files, E-CFG-046 for a reference that is none."""
    for path, text in _texts(reading.document.data, ()):
        if path[0] == "mail_templates":
            continue
        if _is_literal_secret(path, text):
            yield reading.refuse(
                "E-CFG-045", path, "a secret stands in the file", f"write ${{env:{_variable(path)}}} and set it"
            )
        elif "${" in REFERENCE.sub("", text):
            remedy = "write ${env:NAME} with a name of capitals, digits and _"
            yield reading.refuse("E-CFG-046", path, "a reference that is not understood", remedy)


def missing_variables(reading: Reading, environment: Mapping[str, str]) -> Iterator[Fault]:
    """Yield E-CFG-046 for every reference to a variable that is missing or empty in the environment."""
    for path, text in _texts(reading.document.data, ()):
        for name in references(text):
            if not environment.get(name):
                found = f"environment variable {name} is not set or empty"
                yield reading.refuse("E-CFG-046", path, found, f"set {name} where this process starts")


def _texts(content: object, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(content, dict):
        for key, one in content.items():
            yield from _texts(one, (*path, key))
    elif isinstance(content, list):
        for position, one in enumerate(content):
            yield from _texts(one, (*path, position))
    elif isinstance(content, str | int | float) and not isinstance(content, bool):
        yield path, str(content)


def _is_literal_secret(path: Path, text: str) -> bool:
    key = next((step for step in reversed(path) if isinstance(step, str)), "")
    named = SECRET_KEY.search(key) is not None and len(path) > 2 and not _NOT_SECRET & set(path) and key not in _NAMES
    named = named or _is_credential(path)
    if named and not _is_kept_elsewhere(path, text):
        return True
    return any(
        found["secret"] and not _is_kept_elsewhere(path, found["secret"])
        for pattern in (URL_PASSWORD, URL_QUERY)
        for found in pattern.finditer(text)
    )


def _is_reference(text: str) -> bool:
    """True when the text is references and at most the word of an authorisation scheme."""
    return bool(references(text)) and REFERENCE.sub("", text).strip().casefold() in SCHEMES


def _is_credential(path: Path) -> bool:
    """True for whatever stands below the credentials of a connection, whatever its name."""
    return path[0] in ("connections", "connection_defaults") and "credentials" in path


def _is_kept_elsewhere(path: Path, text: str) -> bool:
    """True for a reference, and in a connector for a {name} of its connections' credentials."""
    rest = TEMPLATE.sub("", text)
    return _is_reference(text) or (path[0] == "connectors" and rest != text and _SCHEME.fullmatch(rest.strip()) is not None)


def _variable(path: Path) -> str:
    words = re.sub(r"[^A-Z0-9]+", "_", "_".join(str(step) for step in path[1:]).upper()).strip("_")
    return f"ERPCRM_{words}"
