"""The house's venues, as the setting VENUES names them; each is opened once by a process and kept open."""

import atexit
import logging
import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from margin.venues.file_drop import FileDrop, journal_of
from margin.venues.file_formats import FORMATS
from margin.venues.fix.terms import Terms
from margin.venues.fix.venue import FixVenue
from margin.venues.journal import Journal

log = logging.getLogger(__name__)
CODE = re.compile(r"[a-z][a-z0-9_]{0,31}")
FILE_DROP, FIX = "file_drop", "fix"
PASSWORD = "VENUE_PASSWORD_{}"  # noqa: S105  the name of an environment variable
OUR_TAGS = frozenset({1, 8, 9, 10, 11, 15, 21, 34, 35, 38, 40, 43, 44, 49, 52, 54, 55, 56, 60, 97, 122})
Alarm = Callable[[str, str], None]
Opened = FileDrop | FixVenue

_opened: dict[tuple[int, str], Opened] = {}  # by process: a fork has no thread that listens
_guard = threading.Lock()


class WrongSettings(ValueError):
    """VENUES, or the environment beside it, does not say how to reach a venue."""


def codes() -> list[str]:
    """Every venue that is configured, by name. Raises WrongSettings if any is wrong, before an order needs it."""
    return sorted(code for code in settings.VENUES if _terms(code))


def log_alarm(subject: str, text: str) -> None:
    log.critical("%s: %s", subject, text)


def venue(code: str, *, alarm: Alarm = log_alarm) -> Opened:
    """The venue, opened by this process if it is not yet. NotSent while another process holds it."""
    with _guard:
        key = (os.getpid(), code)
        if key not in _opened:
            _opened[key] = begin(code, alarm=alarm)
        return _opened[key]


def begin(code: str, *, alarm: Alarm = log_alarm) -> Opened:
    """Open a venue of one's own, to be closed by whoever opened it."""
    terms = _terms(code)
    if isinstance(terms, Terms):
        return FixVenue(code, terms, now=_now, alarm=alarm)
    return FileDrop(code=code, folder=terms["folder"], form=terms["format"], now=_now, alarm=alarm)


def journal(code: str) -> Journal:
    """A venue's journal alone, to be closed by whoever opened it. NotSent while a process speaks to the venue."""
    terms = _terms(code)
    return Journal(terms.folder if isinstance(terms, Terms) else journal_of(terms["folder"]))


def close_all() -> None:
    """Say goodbye to every venue that this process opened."""
    with _guard:
        mine = [key for key in _opened if key[0] == os.getpid()]
        for key in mine:
            _opened.pop(key).close()


atexit.register(close_all)


def _now() -> datetime:
    return datetime.now(UTC)  # the machine's: a line's thread listens while the database is away


# --- reading the setting ----------------------------------------------------------------------------------------


def _terms(code: str) -> Terms | dict[str, Any]:
    try:
        values = dict(settings.VENUES[code])
    except KeyError:
        raise WrongSettings(f"there is no venue {code!r}; VENUES names {', '.join(sorted(settings.VENUES))}") from None
    except (TypeError, ValueError):
        raise WrongSettings(f"venue {code}: VENUES must hold an object of its settings") from None
    if not CODE.fullmatch(code):
        raise WrongSettings(f"venue {code!r}: a code is small letters, digits and _, and begins with a letter")
    kind = values.pop("kind", None)
    if kind == FILE_DROP:
        found = _typed(code, values, {"folder": Path, "format": str}, needed=("folder",))
        found.setdefault("format", "csv")
        if found["format"] not in FORMATS:
            raise WrongSettings(f"venue {code}: format {found['format']!r} is not one of {', '.join(FORMATS)}")
        return found
    if kind == FIX:
        return _fix_terms(code, values)
    raise WrongSettings(f"venue {code}: kind {kind!r} is neither {FILE_DROP} nor {FIX}")


def _fix_terms(code: str, values: dict[str, Any]) -> Terms:
    if "password" in values:
        name = PASSWORD.format(code.upper())
        raise WrongSettings(f"venue {code}: take the password out of VENUES and set {name} in the environment")
    kinds = {field.name: field.type for field in fields(Terms) if field.name != "password"}
    needed = ("host", "port", "sender", "target", "folder")
    found = _typed(code, values, kinds, needed=needed)
    if ours := OUR_TAGS.intersection(found.get("order_fields", {})):
        raise WrongSettings(f"venue {code}: order_fields may not say tag {min(ours)}, which every order says itself")
    if found.get("heartbeat_seconds", 30) < 1 or not 0 < found["port"] < 65536:
        raise WrongSettings(f"venue {code}: heartbeat_seconds is at least 1, port from 1 to 65535")
    return Terms(**found, password=os.environ.get(PASSWORD.format(code.upper()), ""))


def _typed(
    code: str, values: Mapping[str, Any], kinds: Mapping[str, Any], *, needed: tuple[str, ...]
) -> dict[str, Any]:
    """The values as their kinds; WrongSettings names the first that is missing, unknown or wrong."""
    for name in needed:
        if name not in values:
            raise WrongSettings(f"venue {code}: {name} is missing")
    found = {}
    for name, value in values.items():
        if name not in kinds:
            raise WrongSettings(f"venue {code}: {name} is no setting; these are: {', '.join(kinds)}")
        try:
            found[name] = _as(kinds[name], value)
        except (TypeError, ValueError):
            raise WrongSettings(f"venue {code}: {name} {value!r} is wrong") from None
    return found


def _as(kind: Any, value: Any) -> Any:
    if kind is Path:
        path = Path(value)
        if not path.is_absolute():
            raise ValueError("a folder is named from the root")
        return path
    if kind == dict[int, str]:
        return {int(tag): _as(str, text) for tag, text in value.items()}
    if kind is float and type(value) in (int, float):
        return float(value)
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    if kind is str and not value.isprintable():
        raise ValueError("it holds an unprintable character")
    return value
