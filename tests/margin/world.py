"""A small world for sweeps: a reg_t policy, a loan policy, prices that can be moved, calendars that are known."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from accounts.models import Account
from margin.engine.methodologies.reg_t import RULE_BOOK
from market.models import Instrument, Quote, QuoteFact
from tests.margin import rows

CLOCK = {"unit": "hours", "count": 24}
HOUSE = {
    "regime": "house",
    "methodology": "reg_t",
    "measure": "house",
    "kinds": ["equity", "etf"],
    "terms": {**RULE_BOOK, "house": {"basic": {"long": "0.30", "short": "0.35"}}},
    "clock": CLOCK,
    "watch_rate": "1.25",
    "warning_rate": "1.10",
    "severe_rate": "0",
}
EXCHANGE = {
    **HOUSE,
    "regime": "exchange",
    "measure": "exchange",
    "warning_rate": None,
    "watch_rate": None,
    "terms": RULE_BOOK,
}
LOAN = {
    "regime": "loan",
    "methodology": "loan",
    "measure": "ltv",
    "kinds": ["crypto"],
    "terms": {"warn": "0.60", "call": "0.70", "liquidate": "0.80", "restore": "0.65"},
    "clock": CLOCK,
    "at_or_beyond": True,
    "proposes": True,
}


def securities(*regimes: dict[str, Any]) -> dict[str, Any]:
    return {"sweep": "securities", "regimes": list(regimes or (HOUSE,)), "fee_rate": "0.001"}


def crypto(*regimes: dict[str, Any]) -> dict[str, Any]:
    return {"sweep": "crypto", "regimes": list(regimes or (LOAN,)), "fee_rate": "0.01"}


def quote(instrument: Instrument, mark: str, at: datetime, source: str = "test") -> None:
    """Make `mark` the current quote, as the market room's writer would."""
    fact = QuoteFact.objects.create(instrument=instrument, source=source, as_of=at, mark=Decimal(mark))
    Quote.objects.update_or_create(
        instrument=instrument, defaults={"source": source, "as_of": at, "mark": Decimal(mark), "fact": fact}
    )


def long_account(quantity: str, borrowed: str, instrument: Instrument, **options: Any) -> Account:
    """An account long so many, with so much borrowed."""
    account = rows.account(**options)
    rows.hold(account, instrument, quantity)
    rows.hold(account, rows.cash(account.base_currency), f"-{borrowed}")
    return account


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


MONDAY = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
