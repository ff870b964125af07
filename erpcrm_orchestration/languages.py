"""The languages of what people read on the command line and the board: catalogues, numbers and dates.

Catalogues are the .po files themselves, read when the program runs: nothing is compiled, so nothing can be out of date.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date, datetime, timedelta, tzinfo
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files

from babel import Locale, UnknownLocaleError
from babel.dates import TIMEDELTA_UNITS, format_date, format_datetime, format_timedelta
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from erpcrm_orchestration.domain.errors import InputError, did_you_mean


class Language(StrEnum):
    """ISO 639-1 codes of the languages that we speak."""

    EN = "en"
    ES = "es"
    FR = "fr"
    PT = "pt"
    RU = "ru"


class Translator:
    """Says things in one language. `_` is the name by which messages are found in the source."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self.locale = Locale.parse(language.value)
        self._messages = catalogue(language)

    def gettext(self, message: str, **values: object) -> str:
        """Return the message in this language with its `{name}` replaced; English when the catalogue lacks it."""
        return (self._messages.get(message) or message).format(**values)

    def number(self, value: int) -> str:
        """Return the number with the separators of the language."""
        return _number(self.language, value)

    def instant(self, at: datetime, zone: tzinfo | None = None) -> str:
        """Return date, time and offset in the reader's own zone, or in the given one."""
        local = at.astimezone(zone)
        return _instant(self.language, local.replace(tzinfo=None), local.strftime("%z"))

    def duration(self, length: timedelta) -> str:
        """Return a length of time in words, in the largest unit of which there are two, never rounded up: `119 minutes`."""
        return format_timedelta(_floored(length), threshold=2, locale=self.locale)

    def duration_min(self, minutes: int) -> str:
        """Return a number of minutes in words, in the largest unit: `4 hours`."""
        return format_timedelta(timedelta(minutes=minutes), threshold=1, locale=self.locale)

    def ago(self, length: timedelta) -> str:
        """Return how long ago something was, in words: `12 minutes ago`."""
        return format_timedelta(-_floored(length), threshold=2, add_direction=True, locale=self.locale)

    @property
    def csv_delimiter(self) -> str:
        """Return what a spreadsheet of this language expects between cells."""
        return ";" if self.locale.number_symbols["latn"]["decimal"] == "," else ","


@lru_cache(maxsize=10_000)
def _number(language: Language, value: int) -> str:
    """Format a number; a page has the same small ones hundreds of times, and the rules of a language are slow to apply."""
    return format_decimal(value, locale=language.value)


@lru_cache(maxsize=10_000)
def _instant(language: Language, local: datetime, offset: str) -> str:
    """Format a time without its zone: as keys, the same instant in two zones would be one."""
    return f"{format_datetime(local, 'medium', locale=language.value)} {offset[:3]}:{offset[3:]}"


def day_in_words(day: date, *languages: str | None) -> str:
    """Return a day as `10 mai 2026` in the first of these languages that there is, ours or not; English when there is none."""
    return next((_day(day, one) for one in languages if one and _is_language(one)), _day(day, Language.EN.value))


@lru_cache(maxsize=1000)
def _day(day: date, language: str) -> str:
    return format_date(day, "long", locale=_locale(language))


@lru_cache(maxsize=1000)
def _is_language(code: str) -> bool:
    try:
        _locale(code)
    except (ValueError, UnknownLocaleError):
        return False
    return True


def _locale(code: str) -> Locale:
    """Return the locale of `fr`, `fr_FR` or `pt-BR.UTF-8`; raise ValueError or UnknownLocaleError when there is none."""
    return Locale.parse(code.strip().partition(".")[0].replace("-", "_"))


def _floored(length: timedelta) -> timedelta:
    seconds = max(length // timedelta(seconds=1), 1)
    unit = next((size for _, size in TIMEDELTA_UNITS if seconds >= 2 * size), 1)
    return timedelta(seconds=seconds - seconds % unit)


@cache
def catalogue(language: Language) -> Mapping[str, str]:
    """Return the messages of a language; what is marked fuzzy is not used."""
    source = files("erpcrm_orchestration").joinpath("locale", language.value, "LC_MESSAGES", "erpcrm.po")
    with source.open("rb") as file:
        messages = read_po(file, locale=language.value)
    return {str(one.id): str(one.string) for one in messages if one.id and not one.fuzzy}


def from_environment(environment: Mapping[str, str] | None = None) -> Language | None:
    """Return the language of the locale (LC_ALL, LC_MESSAGES, LANG: the first that is set), or None when it is not ours."""
    variables = os.environ if environment is None else environment
    named = next((variables[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if variables.get(name)), "")
    return known(named)


def chosen(name: str | None, *, where: str) -> Language | None:
    """Return the language that a person asked for; raise InputError E-CLI-050 when it is not ours."""
    if name is None or known(name):
        return known(name or "")
    raise InputError(
        "E-CLI-050", where, f"{name!r} is no language of ours", did_you_mean(name, [one.value for one in Language])
    )


def known(name: str) -> Language | None:
    """Return the language of `fr`, `fr_FR.UTF-8` or `pt-BR`, or None."""
    code = name.replace("-", "_").partition("_")[0].partition(".")[0].casefold()
    return Language(code) if code in {one.value for one in Language} else None
