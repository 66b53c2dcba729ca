"""What was wrong with what we were sent, and where."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MAX_PROBLEMS = 100


class Problem(NamedTuple):
    """One thing that is wrong. `row` is the line of the file (header = 1) or the place in the batch; 0: no row."""

    row: int
    field: str
    reason: str

    def __str__(self) -> str:
        place = f"row {self.row}, " if self.row else ""
        return f"{place}{self.field}: {self.reason}" if self.field else f"{place}{self.reason}"


class Refused(ValueError):
    """Nothing was taken. `problems` says what to correct."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))


class Row(NamedTuple):
    """`number` is the line in the file, the header being line 1."""

    number: int
    values: dict[str, Any]


@dataclass
class Problems:
    """Gathers what is wrong so that one refusal shows all of it, up to a limit."""

    found: list[Problem] = field(default_factory=list)

    def add(self, row: int, name: str, reason: str) -> None:
        self.found.append(Problem(row, name, reason))
        if len(self.found) >= MAX_PROBLEMS:
            self.found.append(Problem(0, "", f"reading stopped after {MAX_PROBLEMS} problems"))
            raise Refused(self.found)

    def take(self, row: int, refusal: "Refused") -> None:
        """Note everything a refusal says, for this row."""
        for problem in refusal.problems:
            self.add(row, problem.field, problem.reason)

    def check(self) -> None:
        if self.found:
            raise Refused(self.found)


@contextmanager
def numbered(rows: Sequence["Row"]) -> Iterator[None]:
    """Inside, a refusal counts places in a batch from 1; outside, it names the lines of the file they came from."""
    try:
        yield
    except Refused as refusal:
        raise Refused(
            problem._replace(row=rows[problem.row - 1].number) if problem.row else problem
            for problem in refusal.problems
        ) from None


def refuse(name: str, reason: str) -> Refused:
    return Refused([Problem(0, name, reason)])


def shown(text: str) -> str:
    """The text as an error may quote it: short, with every odd character escaped."""
    return ascii(text if len(text) <= 40 else text[:40] + "…")
