"""Plain scalars as a person means them. What YAML 1.1 reads otherwise is refused with what to write instead.

Anything in quotes is text. Bare words are text, `true`/`false`, whole numbers, numbers with a point, and nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

BOOLEANS = {"true": True, "false": False}
NOTHING = frozenset({"", "~", "null", "Null", "NULL"})
SWITCH_WORDS = frozenset({"yes", "no", "on", "off", "y", "n"})

WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")
POINT = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+")
LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
TIME = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-9]{1,2})+(?:\.[0-9_]*)?")
OTHER_NUMBER = re.compile(
    r"[-+]?(?:[0-9][0-9_]*|0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+|(?:[0-9][0-9_]*)?\.[0-9_]*|\.(?:inf|Inf|INF|nan|NaN|NAN))"
    r"(?:[eE][-+]?[0-9]+)?"
)
LONGEST_NUMBER = 18


@dataclass(frozen=True)
class Trap:
    """A bare word that means something else to YAML; `code` and `remedy` are for the person who wrote it."""

    code: str
    found: str
    remedy: str


def read_plain(text: str) -> tuple[str | int | float | bool | None, Trap | None]:
    """Return the value of a bare word, and the trap when it is one; its value is then the word as text."""
    if text in NOTHING:
        return None, None
    if text.casefold() in BOOLEANS and text in {text.lower(), text.upper(), text.capitalize()}:
        return BOOLEANS[text.lower()], None
    if WHOLE.fullmatch(text) and len(text) <= LONGEST_NUMBER:
        return int(text), None
    if POINT.fullmatch(text) and len(text) <= LONGEST_NUMBER:
        return float(text), None
    return text, _trap(text)


def unstorable(text: str) -> Trap | None:
    """Return the trap of a character that no text of the database can hold."""
    for char in text:
        if char == "\0" or "\ud800" <= char <= "\udfff":
            return Trap("E-CFG-036", f"the character U+{ord(char):04X} in a text", "remove it: no database text can hold it")
    return None


def is_plain_text(text: str) -> bool:
    """True when the bare word is read back as this very text."""
    return read_plain(text) == (text, None)


def _trap(text: str) -> Trap | None:
    if text.casefold() in SWITCH_WORDS:
        return Trap(
            "E-CFG-034", f"{text} without quotes is read as true or false", f'write "{text}" for the text, or true or false'
        )
    if LEADING_ZERO.fullmatch(text):
        return Trap("E-CFG-033", f"{text} without quotes is read as another number", f'quote dossier codes: "{text}"')
    if TIME.fullmatch(text):
        return Trap("E-CFG-035", f"{text} without quotes is read as a number of base 60", f'quote times: "{_as_time(text)}"')
    if OTHER_NUMBER.fullmatch(text) and text not in {".", "-.", "+."}:
        return Trap("E-CFG-036", f"{text} is not a plain number", "write digits only, or quote it when it is text")
    return None


def _as_time(text: str) -> str:
    return f"0{text}" if re.fullmatch(r"[0-9]:[0-9]{2}", text) else text
