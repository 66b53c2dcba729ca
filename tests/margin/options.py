"""A small world with options: policies with parts, options on a share, accounts that hold them."""

from datetime import UTC, datetime
from decimal import Decimal

from accounts import positions
from accounts.models import Account
from margin.engine.methodologies import option_strategies, portfolio
from market.models import Instrument
from tests.margin import rows, world
from tests.margin.world import MONDAY, quote

D = Decimal
STRATEGIES = {
    "methodology": "option_strategies",
    "measure": "maintenance",
    "kinds": ["option", "equity", "etf"],
    "terms": option_strategies.RULE_BOOK,
}
CONCENTRATION = {
    "methodology": "concentration",
    "measure": "addition",
    "kinds": ["equity", "etf", "option"],
    "terms": {"share": [{"above": "0.90", "rate": "0.40"}], "minimum_value": "100000"},
}
PORTFOLIO = {
    "methodology": "portfolio",
    "measure": "requirement",
    "kinds": ["option", "equity", "etf"],
    "terms": portfolio.RULE_BOOK,
}
NET_LIQUIDATING = {**world.EXCHANGE, "regime": "portfolio", "watch_rate": "1.25", "parts": [PORTFOLIO]}


def option(underlying: Instrument, right: str, strike: str, **more: object) -> Instrument:
    return Instrument.objects.create(
        code=f"{underlying.code}-{right[0].upper()}{strike}",
        name=f"{underlying.name} {right} {strike}",
        kind="option",
        currency="USD",
        multiplier=100,
        underlying=underlying,
        right=right,
        strike=D(strike),
        style="american",
        **{"expires_at": datetime(2026, 6, 19, 20, 0, tzinfo=UTC), **more},
    )


def quoted_xyz() -> Instrument:
    """XYZ at 50.00 with a call at 55 worth 2.00 and a put at 45 worth 1.00, all quoted."""
    shares = rows.equity("XYZ")
    for instrument, mark in ((shares, "50"), (option(shares, "call", "55"), "2"), (option(shares, "put", "45"), "1")):
        quote(instrument, mark, MONDAY)
    return shares


def account(agreement: str, cash: str, **held: int) -> Account:
    """An account with so much cash and so many of each instrument, XYZ_C55 for the code XYZ-C55."""
    made = rows.account(agreement=agreement)
    listed = [(Instrument.objects.get(code=code.replace("_", "-")).pk, D(n)) for code, n in held.items()]
    listed.append((rows.cash().pk, D(cash)))
    positions.write(
        [(made.pk, instrument, quantity, None) for instrument, quantity in listed],
        cause="book",
        reference="test",
        effective_at=MONDAY,
    )
    return made


def strategies(*more: dict[str, object]) -> None:
    """The policy us_margin: the house's regime, its options by their strategies, and more parts."""
    rows.policy("us_margin", world.securities({**world.HOUSE, "parts": [STRATEGIES, *more]}))
