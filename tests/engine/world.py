"""Small worlds to assess, and the strategies that make them up at random."""

import math
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from margin.engine import build
from margin.engine.assess import assess
from margin.engine.build import AccountRow, InstrumentRow, PositionRow
from margin.engine.columns import Market, Policy, RegimeRule, Rules
from margin.engine.methodologies import loan, reg_t

D = Decimal
ON = date(2024, 6, 3)
USD = InstrumentRow(1, "USD", "cash", "USD", minor_exponent=2)
EUR = InstrumentRow(2, "EUR", "cash", "EUR", minor_exponent=2)
JPY = InstrumentRow(3, "JPY", "cash", "JPY", minor_exponent=0)
CASH = (USD, EUR, JPY)
FX = {("EUR", "USD"): D("1.0823"), ("USD", "JPY"): D("156.4")}
STOCK = ("equity", "etf", "bond")


def reg_t_terms(**changes):
    return reg_t.Terms.from_json({**reg_t.RULE_BOOK, **changes})


def regime(measure, *, terms=None, kinds=STOCK, **more):
    return RegimeRule(measure, "reg_t", measure, terms or reg_t_terms(), kinds, **more)


def loan_terms(*, call="0.70", liquidate="0.80", restore="0.65", warn="0.60", **more):
    return loan.Terms.from_json({"call": call, "liquidate": liquidate, "restore": restore, "warn": warn, **more})


def loan_regime(terms=None, kinds=("crypto",)):
    return RegimeRule("loan", "loan", "ltv", terms or loan_terms(), kinds, at_or_beyond=True)


@dataclass(frozen=True)
class World:
    """Rows, and the columns made of them."""

    instruments: tuple[InstrumentRow, ...]
    accounts: tuple[AccountRow, ...]
    positions: tuple[PositionRow, ...]
    regimes: tuple[RegimeRule, ...]
    fx: dict = field(default_factory=lambda: dict(FX))

    @property
    def columns(self):
        return build.instruments(self.instruments, {account.currency for account in self.accounts})

    @property
    def arguments(self):
        columns = self.columns
        return (
            build.book(columns, self.accounts, self.positions),
            columns,
            Market(ON, self.fx),
            Rules((Policy("test", self.regimes),)),
        )

    def figures(self):
        """(account id, regime) → Figures."""
        found = assess(*self.arguments)
        return {(f.account_id, f.regime): f for f in found.figures(np.arange(len(found)))}


def account(cash, *holdings, regimes, currency="USD", instruments=()):
    """One account, id 7, with cash in its base currency and (InstrumentRow, quantity[, cost]) holdings."""
    rows = {row.id: row for row in (*CASH, *instruments, *(holding[0] for holding in holdings))}
    base = next(row for row in CASH if row.currency == currency)
    held = [PositionRow(7, row.id, D(quantity), *map(D, cost)) for row, quantity, *cost in holdings]
    return World(
        tuple(rows.values()),
        (AccountRow(7, currency),),
        (PositionRow(7, base.id, D(cash)), *held) if D(cash) else tuple(held),
        tuple(regimes),
    )


def figures(world):
    """The figures of the only account in its only regime."""
    (found,) = world.figures().values()
    return found


def stock(price, *, id=11, code="XYZ", kind="equity", **more):
    return InstrumentRow(id, code, kind, more.pop("currency", "USD"), None if price is None else D(price), **more)


# ---------------------------------------------------------------- random worlds


def decimals(low, high, places):
    """Decimals with up to `places` decimals, sparse ones included."""

    def of(used):
        scale = Fraction(10) ** used
        return st.integers(math.ceil(Fraction(low) * scale), math.floor(Fraction(high) * scale)).map(
            lambda mantissa: D(mantissa).scaleb(-used)
        )

    return st.one_of(*[of(k) for k in range(places + 1) if Fraction(high) * 10**k >= 1])


PRICES = st.one_of(
    decimals("0.01", "1000", 4),
    st.sampled_from([D("2.49"), D("2.50"), D("4.99"), D("5"), D("16.66"), D("16.67")]),
    decimals("0.000000000001", "0.0001", 12),
    decimals("1000000", "100000000", 12),
)
QUANTITIES = st.one_of(
    st.integers(-10_000, 10_000).map(D), decimals("-1000", "1000", 12), decimals("-100000000000000000", "1e17", 0)
)


@st.composite
def stock_rows(draw, number):
    kind = draw(st.sampled_from(["equity", "etf"]))
    return InstrumentRow(
        number,
        f"S{number}",
        kind,
        draw(st.sampled_from(["USD", "USD", "EUR", "JPY"])),
        draw(PRICES),
        leverage=draw(st.sampled_from([D(1), D(1), D(2), D("1.5"), D(3), D(5)])) if kind == "etf" else D(1),
        margin_eligible=draw(st.sampled_from([True, True, False])),
        sector=draw(st.sampled_from(["", "biotech"])),
        lot=draw(st.sampled_from([D(1), D(1), D("0.01"), D(100)])),
    )


@st.composite
def stock_worlds(draw, regimes, accounts=4):
    listed = [draw(stock_rows(10 + k)) for k in range(draw(st.integers(1, 6)))]
    rows = [AccountRow(k, draw(st.sampled_from(["USD", "USD", "EUR", "JPY"])), 0, k) for k in range(1, accounts + 1)]
    positions = []
    for row in rows:
        held = draw(st.lists(st.sampled_from([*CASH, *listed]), unique_by=lambda i: i.id, max_size=6))
        for instrument in held:
            cost = draw(st.one_of(st.none(), decimals("0", "100000", 8))) if instrument.kind != "cash" else None
            positions.append(PositionRow(row.id, instrument.id, draw(QUANTITIES), cost))
    return World((*CASH, *listed), tuple(rows), tuple(positions), tuple(regimes))
