"""A bitcoin lender in December 2017: one loan book watched at each day's close, one watched every minute.

The books and every deed of a client are stated here; prices come from the recorded bars. Whatever the system proposes
to sell, two people approve at once, day and night.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from backoffice.trial import acts, bars
from backoffice.trial.acts import Act, Book, Holder, Opens
from market.guard import Incoming

SYMBOL = "BTC-USD"
SOURCE = "tape"
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
INSTRUMENTS = """\
code,name,kind,currency,minor_exponent,lot_size,ticker
USD,US dollar,cash,USD,2,,
BTC,Bitcoin,crypto,USD,,0.0001,BTC-USD
"""
WARN, RESTORE, CALL, LIQUIDATE = (Decimal(rate) for rate in ("0.60", "0.65", "0.70", "0.80"))
TERMS: dict[str, Any] = {
    "sweep": "crypto",
    "fee_rate": "0.005",
    "regimes": [
        {
            "regime": "loan",
            "methodology": "loan",
            "measure": "ltv",
            "kinds": ["crypto"],
            "terms": {"warn": str(WARN), "call": str(CALL), "liquidate": str(LIQUIDATE), "restore": str(RESTORE)},
            "clock": {"unit": "hours", "count": 24},
            "at_or_beyond": True,
            "dwell_seconds": 600,
            "proposes": True,
        }
    ],
}


def _book(name: str, holders: Iterable[Holder], loaded_at: datetime) -> Book:
    return Book(
        name=name,
        agreement="btc_loan",
        instruments=INSTRUMENTS,
        holders=tuple(holders),
        terms=TERMS,
        published_at=loaded_at - DAY,
        loaded_at=loaded_at,
        time_zone="UTC",
    )


def _loan(account: str, shows: str, coins: Decimal, borrowed: Decimal) -> Holder:
    return Holder(account, f"Borrower {account}", shows, {"BTC": coins, "USD": -borrowed})


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"))


# --- at each day's close, 2017-12-17 … 2018-02-06 -------------------------------------------------------------

FIRST_DAY, LAST_DAY = "2017-12-17", "2018-02-06"
FIRST_CLOSE = Decimal("19378.99")  # of 2017-12-17: what the loans are a share of
SHARES = (20, 24, 28, 31, 34, 37, 40, 42, 44, Decimal("46.4"), 48, 50, 52, 54, 56, 58, 61, 63, 66, 69)  # per cent
DAYS = _book(
    "BTC loans by the day",
    (
        _loan(
            f"D{share}",
            f"Borrowed {share} % on 2017-12-17",
            Decimal(10),
            _cents(10 * FIRST_CLOSE * share / 100),
        )
        for share in SHARES
    ),
    datetime(2017, 12, 17, 12, tzinfo=UTC),
)


def _repaid(on: str, account: str, amount: str, wall: str = "12:00") -> acts.Deposit:
    return acts.Deposit(datetime.fromisoformat(f"{on}T{wall}+00:00"), account, Decimal(amount))


REPAID: tuple[Act, ...] = (
    _repaid("2017-12-19", "D69", "9961.47"),  # exactly what was called; by the close it is not enough any more
    _repaid("2017-12-20", "D66", "30000"),
    _repaid("2017-12-22", "D61", "40000"),  # late: the call has escalated
    _repaid("2017-12-23", "D54", "25000"),
    _repaid("2017-12-31", "D50", "20000"),
    _repaid("2017-12-31", "D48", "20000"),
    _repaid("2018-01-17", "D42", "15000"),
    _repaid("2018-02-05", "D28", "9000"),
)


def days(folder: Path) -> tuple[list[Act], Opens]:
    """Every close, its sweep at the same instant, the approvals and sales minutes later."""
    acted: list[Act] = []
    for bar in bars.read(folder / bars.CRYPTO_DAILY, symbols=(SYMBOL,), begins="date", first=FIRST_DAY, last=LAST_DAY):
        at = datetime.fromisoformat(bar.begins).replace(tzinfo=UTC) + DAY
        acted += [_quote(bar, at), acts.Sweep(at, "crypto"), acts.Approve(at + 5 * MINUTE)]
        acted += [acts.Execute(at + 6 * MINUTE), acts.Tell(at + 7 * MINUTE)]
    return [*acted, *REPAID], {}


# --- minute by minute over 2017-12-17 -------------------------------------------------------------------------

FIRST_MINUTE = Decimal("19516.96")  # close of the minute from 00:00 UTC
BELOW = (0, 1, 2, 3, 4)  # per cent that the price may fall until the rung is reached
MINUTES = _book(
    "BTC loans by the minute",
    (
        _loan(
            f"{name}{below}",
            f"{below} % below the rung {name.lower()} at {rung}",
            Decimal(10),
            _cents(10 * FIRST_MINUTE * rung * (100 - below) / 100),
        )
        for name, rung in {"WARN": WARN, "RESTORE": RESTORE, "CALL": CALL, "LIQUIDATE": LIQUIDATE}.items()
        for below in BELOW
    ),
    datetime(2017, 12, 17, tzinfo=UTC),
)


REPAID_BY_THE_MINUTE: tuple[Act, ...] = (
    _repaid(FIRST_DAY, "LIQUIDATE3", "20000", "00:45"),  # part of it
    _repaid(FIRST_DAY, "CALL0", "11500", "02:10"),
    _repaid(FIRST_DAY, "LIQUIDATE3", "8000", "02:40"),  # and the rest
    _repaid(FIRST_DAY, "CALL1", "11500", "03:05"),
    _repaid(FIRST_DAY, "LIQUIDATE4", "26500", "04:30"),
)


def minutes(folder: Path) -> tuple[list[Act], Opens]:
    """Every minute: the price, what was approved the minute before is sold at it, the sweep, the approvals."""
    acted: list[Act] = []
    found = bars.read(
        folder / bars.CRYPTO_MINUTE, symbols=(SYMBOL,), begins="at_utc", first=FIRST_DAY, last=f"{FIRST_DAY}Z"
    )
    for bar in found:
        at = datetime.fromisoformat(bar.begins) + MINUTE
        acted += [_quote(bar, at), acts.Execute(at), acts.Sweep(at, "crypto")]
        acted += [acts.Tell(at), acts.Approve(at + MINUTE / 3)]
    return [*acted, *REPAID_BY_THE_MINUTE], {}


def _quote(bar: bars.Bar, at: datetime) -> acts.Quotes:
    return acts.Quotes(at, [Incoming(bar.instrument, SOURCE, at, bar.close)])
