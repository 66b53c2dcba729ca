"""What a register is made of: a sheet of plain cells, and the days it is about."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

Cell = str | int | Decimal | datetime | date | None


@dataclass(frozen=True)
class Sheet:
    """One register: columns, and rows in an order that does not depend on the database."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Span:
    """Days of a zone, the last one included."""

    first: date
    last: date
    zone: ZoneInfo

    @property
    def start(self) -> datetime:
        return datetime.combine(self.first, time(), self.zone)

    @property
    def end(self) -> datetime:
        """The first instant after the last day."""
        return datetime.combine(self.last + timedelta(days=1), time(), self.zone)

    def __str__(self) -> str:
        days = f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"
        return f"{days} ({self.zone.key})"

    def days(self) -> Iterable["Span"]:
        for number in range((self.last - self.first).days + 1):
            day = self.first + timedelta(days=number)
            yield Span(day, day, self.zone)
