"""What an act of a person is made of: on which rows, by whom, what is to be said, which domain function does it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from margin import calls
from margin.actors import Actor
from margin.workflow import Verb
from market import strict, wire

SEQ = strict.column(strict.integer, optional=True, lowest=1, highest=2**53)


@dataclass(frozen=True)
class Field:
    """One thing to say: how it is read, and how a form asks for it."""

    name: str
    label: str
    how: strict.Column
    hint: str = ""
    words: Mapping[str, str] | None = None
    """What each choice means, where it is one."""


@dataclass(frozen=True)
class Act:
    """One verb on one kind of row. `deed` takes the row, the fields by name, `at` and `actor` (and `seq`)."""

    on: str
    name: str
    label: str
    verb: Verb | Mapping[Any, Verb]
    deed: Callable[..., Any]
    done: str
    is_offered: Callable[[Any, Actor, datetime], bool]
    fields: tuple[Field, ...] = ()
    takes_seq: bool = False
    is_grave: bool = False
    """It takes something from the client or cannot be taken back."""

    def roles(self, row: Any) -> tuple[str, ...]:
        """Who may do it to this row."""
        return calls.MAY[self.verb if isinstance(self.verb, Verb) else self.verb[row.kind]]

    @property
    def columns(self) -> dict[str, strict.Column]:
        """What the body of a request or of a form holds."""
        return {field.name: field.how for field in self.fields} | {"seq": SEQ}


# --- the kinds of fields ------------------------------------------------------------------------------


def words(name: str, label: str, *, optional: bool = False, length: int = 400, hint: str = "") -> Field:
    default = "" if optional else None
    return Field(name, label, strict.column(strict.words, optional=optional, default=default, length=length), hint)


def reason(*, optional: bool = False) -> Field:
    return words("reason", "Reason", optional=optional, hint="kept in the history, for everyone to read")


def instant(name: str, label: str, *, optional: bool = False, hint: str = "UTC") -> Field:
    return Field(name, label, strict.column(strict.instant, optional=optional), hint)


def amount(name: str, label: str, *, optional: bool = False, hint: str = "") -> Field:
    return Field(name, label, wire.amount(optional=optional), hint)


def choice(name: str, label: str, words: Mapping[str, str], *, default: str | None = None) -> Field:
    how = strict.column(strict.choice, optional=default is not None, default=default, of=tuple(words))
    return Field(name, label, how, words=words)


def code(name: str, label: str, *, optional: bool = False, length: int = 48, hint: str = "") -> Field:
    return Field(name, label, strict.column(strict.code, optional=optional, length=length), hint)


def flag(name: str, label: str, hint: str = "") -> Field:
    return Field(name, label, strict.column(strict.boolean, optional=True, default=False), hint)


def number(name: str, label: str, *, optional: bool = False, hint: str = "") -> Field:
    return Field(name, label, strict.column(strict.integer, optional=optional, lowest=1, highest=2**63 - 1), hint)


def plain(words: tuple[str, ...]) -> dict[str, str]:
    return {word: word.replace("_", " ") for word in words}
