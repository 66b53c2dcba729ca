"""Orders, times and alarms that the tests of every venue share."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from margin.venues.interface import Order, Side

MORNING = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)


def order(number: int = 1, **changed: Any) -> Order:
    values: dict[str, Any] = {
        "client_order_id": f"L{number:04d}",
        "account": "M-1001",
        "instrument": "ACME",
        "side": Side.SELL,
        "quantity": Decimal(100),
        "limit": Decimal("24.50"),
        "currency": "USD",
    }
    return Order(**{**values, **changed})


@dataclass
class Clock:
    """Stands still until it is moved."""

    at: datetime = MORNING

    def __call__(self) -> datetime:
        return self.at

    def pass_by(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Alarms:
    """Every alarm raised, for a test to read."""

    raised: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, subject: str, text: str) -> None:
        self.raised.append((subject, text))

    @property
    def text(self) -> str:
        return "\n".join(f"{subject}: {text}" for subject, text in self.raised)
