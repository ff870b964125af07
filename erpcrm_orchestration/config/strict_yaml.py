"""YAML without surprises: a text becomes plain data with the place of every value, or complaints with their places.

Refused: what reads otherwise than it looks (config.scalars), the same key twice, tabs, anchors, aliases and merge keys, tags,
several documents, an empty text, more than 1 MB, and nesting deeper than 32.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml

from erpcrm_orchestration.config.places import Document, Path, Place, fault
from erpcrm_orchestration.config.scalars import read_plain, unstorable

LARGEST = 1_000_000
DEEPEST = 32
_LOADER: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The C parser when PyYAML was built with it."""

Event = Any
"""An event of the parser: PyYAML's stubs know less than its events hold."""

_NO_KEY = object()


def read_file(path: FilePath, *, name: str | None = None) -> Document:
    """Return the document of a file; `name` is what complaints call it. Never raises for what the file holds."""
    place = Place(name or str(path))
    if path.is_dir():
        return _refused("E-CFG-050", place, "a folder, not a file", "give it another name than *.yaml")
    try:
        content = path.read_bytes()
    except OSError as error:
        return _refused("E-CFG-050", place, f"cannot be read ({error.strerror})", "check that it exists and may be read")
    if len(content) > LARGEST:
        return _refused("E-CFG-039", place, f"{len(content)} bytes are more than {LARGEST}", "split it into several files")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        at = Place(place.file, line, column)
        return _refused("E-CFG-050", at, f"byte 0x{content[error.start]:02x} is not UTF-8", "save the file as UTF-8")
    return parse(text.removeprefix("\ufeff"), name=place.file)


def parse(text: str, *, name: str) -> Document:
    """Return the document of a text."""
    document = _tabs(text, name)
    if document.faults:
        return document
    builder = _Builder(name)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
            if builder.stopped:
                break
    except (yaml.reader.ReaderError, yaml.MarkedYAMLError) as error:
        builder.refuse_syntax(error, text)
    return builder.finished()


def _refused(code: str, place: Place, found: str, remedy: str) -> Document:
    return Document(faults=[fault(code, place, (), found, remedy)], readable=False)


def _tabs(text: str, name: str) -> Document:
    document = Document()
    for number, line in enumerate(text.split("\n"), start=1):
        indent = line[: len(line) - len(line.lstrip(" \t"))]
        if "\t" in indent and line.strip():
            at = Place(name, number, indent.index("\t") + 1)
            document.faults.append(fault("E-CFG-031", at, (), "a tab in the indentation", "indent with spaces"))
            document.readable = False
    return document


@dataclass
class _Frame:
    """A mapping or list that is still open. `key` is the key that waits for its value."""

    container: dict[str | int, Any] | list[Any]
    path: Path
    key: Any = _NO_KEY
    discard: bool = False
    first: dict[str | int, Place] = field(default_factory=dict)


class _Builder:
    """Turns the parser's events into one document, without recursion."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._document = Document()
        self._stack: list[_Frame] = []
        self._documents = 0
        self._root: Any = None
        self.stopped = False

    def take(self, event: Event) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._start(event)
            case yaml.AliasEvent():
                self._refuse("E-CFG-039", event, "an alias", "write the value out; aliases are not read")
                self._add(None, event, distrusted=True)
            case yaml.ScalarEvent():
                self._decorations(event)
                self._scalar(event)
            case yaml.MappingStartEvent():
                self._open({}, event)
            case yaml.SequenceStartEvent():
                self._open([], event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._stack.pop()

    def finished(self) -> Document:
        document = self._document
        if self._documents == 0 and not document.faults:
            return _refused("E-CFG-030", Place(self._name), "empty", "write configuration into it or delete it")
        if isinstance(self._root, dict):
            document.data = self._root
        elif self._root is None and not document.faults:
            return _refused("E-CFG-030", Place(self._name), "empty", "write configuration into it or delete it")
        elif not document.faults:
            return _refused("E-CFG-041", Place(self._name), "not a mapping", "start with a key, for instance dossiers:")
        return document

    def refuse_syntax(self, error: Exception, text: str) -> None:
        """Add what the parser itself says; what came before it stays read."""
        mark = getattr(error, "problem_mark", None)
        if mark is not None:
            place, problem = Place(self._name, mark.line + 1, mark.column + 1), getattr(error, "problem", None)
        else:
            position = getattr(error, "position", 0)
            before = text[:position]
            place = Place(self._name, before.count("\n") + 1, position - before.rfind("\n"))
            problem = getattr(error, "reason", None)
        self._document.readable = False
        self._document.faults.append(
            fault("E-CFG-001", place, (), f"not YAML: {problem or 'unreadable'}", "correct the text at this place")
        )

    def _start(self, event: yaml.DocumentStartEvent) -> None:
        self._documents += 1
        if self._documents > 1:
            self._refuse("E-CFG-037", event, "a second document", "one document in a file; split the file at ---")
            self.stopped = True

    def _open(self, container: dict[str | int, Any] | list[Any], event: Event) -> None:
        self._decorations(event)
        if self._expects_key():
            self._refuse("E-CFG-041", event, "a key that is no text", "write a word as the key")
            self._stack[-1].key, self._stack[-1].discard = "?", True
            self._stack.append(_Frame(container, (*self._stack[-1].path, "?")))
            return
        path = self._add(container, event)
        if len(self._stack) >= DEEPEST:
            self._refuse("E-CFG-039", event, f"nested deeper than {DEEPEST}", "write it flatter")
            self.stopped, self._document.readable = True, False
        self._stack.append(_Frame(container, path))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        quoted = event.style in {"'", '"', "|", ">"}
        value, trap = (event.value, unstorable(event.value)) if quoted else read_plain(event.value)
        if self._expects_key():
            self._key(value, event)
            if trap:
                self._refuse(trap.code, event, trap.found, trap.remedy, distrusted=True)
            return
        path = self._add(value, event, distrusted=trap is not None)
        if trap:
            self._document.faults.append(fault(trap.code, self._place(event), path, trap.found, trap.remedy))

    def _key(self, key: object, event: yaml.ScalarEvent) -> None:
        frame = self._stack[-1]
        frame.discard = False
        if key == "<<" and not event.style:
            self._refuse("E-CFG-039", event, "a merge key", "write the values out; aliases are not read")
            frame.discard = True
        if not isinstance(key, str | int) or isinstance(key, bool):
            self._refuse("E-CFG-041", event, f"the key {event.value or '(nothing)'} is no text", "quote the key")
            key, frame.discard = event.value, True
        place = self._place(event)
        if key in frame.first:
            frame.discard = True
            found = f"the key {key} stands here again, first at {frame.first[key]}"
            self._document.faults.append(fault("E-CFG-032", place, (*frame.path, key), found, "remove one of both"))
        frame.first.setdefault(key, place)
        self._document.keys.setdefault((*frame.path, key), place)
        frame.key = key

    def _add(self, value: object, event: Event, *, distrusted: bool = False) -> Path:
        """Put a value where it belongs and return its way."""
        if not self._stack:
            path: Path = ()
            self._root = value
        else:
            frame = self._stack[-1]
            if isinstance(frame.container, list):
                path = (*frame.path, len(frame.container))
                frame.container.append(value)
            elif frame.key is _NO_KEY:
                frame.key, frame.discard = "?", True
                return (*frame.path, "?")
            else:
                path = (*frame.path, frame.key)
                if not frame.discard:
                    frame.container[frame.key] = value
                frame.key = _NO_KEY
        self._document.values.setdefault(path, self._place(event))
        if distrusted:
            self._document.distrusted.add(path)
        return path

    def _expects_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].container, dict) and self._stack[-1].key is _NO_KEY

    def _decorations(self, event: Event) -> None:
        if event.anchor is not None:
            self._refuse("E-CFG-039", event, f"an anchor &{event.anchor}", "write the value out; aliases are not read")
        if event.tag is not None:
            self._refuse("E-CFG-038", event, f"a tag {_tag(event.tag)}", "remove it; quote what is text", distrusted=True)

    def _refuse(self, code: str, event: Event, found: str, remedy: str, *, distrusted: bool = False) -> None:
        path: Path = ()
        if self._stack:
            frame = self._stack[-1]
            last = len(frame.container) if isinstance(frame.container, list) else frame.key
            path = frame.path if last is _NO_KEY else (*frame.path, last)
        if distrusted:
            self._document.distrusted.add(path)
        self._document.faults.append(fault(code, self._place(event), path, found, remedy))

    def _place(self, event: Event) -> Place:
        return Place(self._name, event.start_mark.line + 1, event.start_mark.column + 1)


def _tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")
