"""Accounts that hold coins and what is written on them."""

from dataclasses import dataclass, replace
from datetime import date

from margin.engine.build import AccountRow, InstrumentRow, PositionRow
from margin.engine.columns import Contract, Market, PartRule, Policy, RegimeRule, Rules
from margin.engine.methodologies import cross
from margin.engine.methodologies.crypto_portfolio import Terms
from tests.engine.world import CASH, D, World

ON = date(2026, 11, 22)
FEEDS = "venue feeds"
KINDS = ("crypto", "option", "future", "perpetual")


@dataclass(frozen=True)
class CryptoWorld(World):
    """A world with published feeds, a risk-free rate and exchange rates."""

    feeds: dict | None = None
    rate: str | None = "0"

    @property
    def arguments(self):
        book, columns, _, _ = super().arguments
        parameters = {} if self.feeds is None else {FEEDS: self.feeds}
        risk_free = {} if self.rate is None else {"USD": D(self.rate)}
        return book, columns, Market(ON, self.fx, risk_free, parameters), Rules((Policy("test", self.regimes),))


def terms(**stated):
    return Terms.from_json({"coins": ["BTC", "ETH"], **stated})


def regime(measure="requirement", **stated):
    part = PartRule("crypto_portfolio", measure, terms(**stated), KINDS)
    return RegimeRule("house", "cross", "requirement", cross.Terms(), ("crypto", "option"), parts=(part,))


def coin(code, price, *, id, currency="USD"):
    return InstrumentRow(id, code, "crypto", currency, D(price))


def perpetual(price, *, spot="3000", on="ETH", id=21, kind="perpetual", currency="USD", multiplier="1", **more):
    written = Contract(underlying=0, spot=D(spot), underlying_code=on, **more)
    return InstrumentRow(id, f"{on}-{id}", kind, currency, D(price), multiplier=D(multiplier), contract=written)


def option(
    right, strike, *, spot="3000", price="100", volatility=None, on="ETH", id=31, days=30, currency="USD", **more
):
    written = Contract(
        underlying=0,
        spot=None if spot is None else D(spot),
        underlying_code=on,
        right=right,
        strike=D(strike),
        style=more.pop("style", "european"),
        expires_on=date.fromordinal(ON.toordinal() + days),
        implied_volatility=None if volatility is None else D(volatility),
        **more,
    )
    return InstrumentRow(id, f"{on}-{strike}-{right}-{id}", "option", currency, D(price), contract=written)


def account(*holdings, cash="100000", rule=None, **more):
    """One account, id 7, with (InstrumentRow, quantity[, cost]) holdings; margined ones cost what they are worth."""
    return accounts([holdings], cash=cash, rule=rule, **more)


def accounts(books, *, cash="100000", rule=None, **more):
    """Accounts 7, 8, … with one book each."""
    rows = {row.id: row for row in (*CASH, *(holding[0] for book in books for holding in book))}
    positions = [
        PositionRow(7 + k, row.id, D(quantity), *(map(D, cost) if cost else (_cost(row, D(quantity)),)))
        for k, book in enumerate(books)
        for row, quantity, *cost in book
    ]
    listed = tuple(AccountRow(7 + k, "USD") for k in range(len(books)))
    owned = [PositionRow(row.id, 1, D(cash)) for row in listed if D(cash)]
    return CryptoWorld(tuple(rows.values()), listed, (*owned, *positions), (rule or regime(),), **more)


def _cost(row, quantity):
    if row.contract is not None and row.contract.is_inverse:
        return (-quantity * row.multiplier / row.price).quantize(D("1e-8"))
    return quantity * row.price * row.multiplier


def with_feeds(world, **feeds):
    return replace(world, feeds=feeds)
