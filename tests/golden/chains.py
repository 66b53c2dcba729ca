"""Every named strategy on real option chains, by strategy and by portfolio margin: `python -m tests.golden.chains`.

Prints the table of docs/methodologies/real_chains.md. Prices are the middle of the closing bid and ask; the strategy
figure is put on net liquidating value (R + LOV − LV − SOV + LMV − LMV*), so that both columns answer one question: how
much must the whole account be worth?
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from margin.engine import build
from margin.engine.assess import Assessments, assess, explain, list_charges
from margin.engine.columns import Contract, Market, PartRule, Policy, RegimeRule, Rules
from margin.engine.methodologies import option_strategies, portfolio, reg_t
from tests.golden.us_rows import CURRENCY, USD

DATA = Path(__file__).parents[2] / "../shared/data/market"
RATE = Decimal("0.01")  # ours: money cost about that in both years
STOCK, KINDS = ("equity", "etf"), ("option", "equity", "etf")
BASE = RegimeRule("exchange", reg_t.CODE, "exchange", reg_t.Terms.from_json(reg_t.RULE_BOOK), STOCK)
STRATEGY = PartRule(
    "option_strategies", "maintenance", option_strategies.Terms.from_json(option_strategies.RULE_BOOK), KINDS
)
PORTFOLIO = PartRule("portfolio", "requirement", portfolio.Terms.from_json(portfolio.RULE_BOOK), KINDS)
RULES = Rules(
    (
        Policy("strategies", (RegimeRule(**{**vars(BASE), "parts": (STRATEGY,)}),)),
        Policy("portfolio", (RegimeRule(**{**vars(BASE), "regime": "portfolio", "parts": (PORTFOLIO,)}),)),
    )
)


@dataclass(frozen=True)
class Chain:
    """One evening's options on one stock: strikes `width` apart around `middle`, of a near and a far expiry."""

    file: str
    symbol: str
    on: date
    spot: Decimal
    near: date
    far: date
    leap: date
    middle: Decimal
    width: Decimal


CHAINS = (
    Chain(
        "option_chain_aapl_2014-06.csv",
        "AAPL",
        date(2014, 6, 6),
        Decimal("645.57"),
        date(2014, 7, 19),
        date(2014, 10, 18),
        date(2016, 1, 15),
        Decimal(645),
        Decimal(10),
    ),
    Chain(
        "option_chain_goog_2015-12.csv",
        "GOOG",
        date(2015, 12, 23),
        Decimal("750.31"),
        date(2016, 1, 15),
        date(2016, 3, 18),
        date(2017, 1, 20),
        Decimal(750),
        Decimal(20),
    ),
)
# quantity right steps from the middle; "f" the far expiry, "l" the long-dated one. S: a hundred shares.
STRATEGIES: Mapping[str, str] = {
    "short call": "-1C1",
    "short put": "-1P-1",
    "long call": "1C0",
    "long call over nine months": "1C1l",
    "short straddle": "-1C0 -1P0",
    "short strangle": "-1C1 -1P-1",
    "debit call spread": "1C0 -1C1",
    "credit call spread": "-1C0 1C1",
    "debit put spread": "1P0 -1P-1",
    "credit put spread": "-1P0 1P-1",
    "long butterfly": "1C-1 -2C0 1C1",
    "short butterfly": "-1C-1 2C0 -1C1",
    "long condor": "1C-1 -1C0 -1C1 1C2",
    "iron butterfly": "1P-1 -1P0 -1C0 1C1",
    "iron condor": "1P-2 -1P-1 -1C1 1C2",
    "reverse iron condor": "-1P-2 1P-1 1C1 -1C2",
    "unequal call butterfly": "1C-1 -2C0 1C2",
    "long box": "1C-1 -1C1 1P1 -1P-1",
    "short box": "-1C-1 1C1 -1P1 1P-1",
    "call backspread": "-1C0 2C1",
    "call ratio spread": "1C0 -2C1",
    "long calendar": "-1C0 1C0f",
    "short calendar": "1C0 -1C0f",
    "diagonal": "-1C1 1C0f",
    "jelly roll": "-1C0 1P0 1C0f -1P0f",
    "covered call": "1S -1C1",
    "covered put": "-1S -1P-1",
    "protective put": "1S 1P-1",
    "protective call": "-1S 1C1",
    "conversion": "1S 1P0 -1C0",
    "reverse conversion": "-1S 1C0 -1P0",
    "collar": "1S 1P-1 -1C1",
    "covered straddle": "1S -1C1 -1P-1",
}


@dataclass(frozen=True)
class Line:
    """One strategy on one chain: both requirements on net liquidating value, and what was charged."""

    symbol: str
    strategy: str
    legs: str
    by_strategy: Decimal
    by_portfolio: Decimal
    charges: tuple[str, ...]


def lines(chain: Chain) -> list[Line]:
    """Every strategy of the list, one contract each, margined both ways. ValueError for one that is unpriced."""
    quotes = _quotes(chain)
    world = _World(chain, quotes)
    return [world.line(name, text) for name, text in STRATEGIES.items()]


def _quotes(chain: Chain) -> dict[tuple[str, Decimal, date], Decimal]:
    with (DATA / chain.file).open(encoding="utf-8", newline="") as opened:
        rows = [row for row in csv.DictReader(opened) if row["date"] == chain.on.isoformat()]
    return {
        (row["right"], Decimal(row["strike"]), date.fromisoformat(row["expiry"])): (
            Decimal(row["bid_close"]) + Decimal(row["ask_close"])
        )
        / 2
        for row in rows
    }


@dataclass(frozen=True)
class _World:
    chain: Chain
    quotes: Mapping[tuple[str, Decimal, date], Decimal]

    def line(self, name: str, text: str) -> Line:
        held = dict(self._legs(text))
        rows = {row.id: row for row in held}
        columns = build.instruments([USD, *rows.values()])
        accounts = [build.AccountRow(1, CURRENCY, 0), build.AccountRow(2, CURRENCY, 1)]
        positions = [
            build.PositionRow(account.id, row.id, quantity) for account in accounts for row, quantity in held.items()
        ]
        book, market = build.book(columns, accounts, positions), Market(self.chain.on, risk_free={CURRENCY: RATE})
        arguments = (book, columns, market, RULES)
        found = assess(*arguments)
        strategy, net = found.figures(np.array([0, 1]))
        if strategy.reasons or net.reasons:
            raise ValueError(f"{self.chain.symbol} {name}: {'; '.join((*strategy.reasons, *net.reasons))}")
        _check_sums(found, arguments)
        worth = sum((quantity * row.price * row.multiplier for row, quantity in held.items()), Decimal(0))
        tree = explain(*arguments, 0)["regimes"][0]["requirement"]["charges"]
        return Line(
            self.chain.symbol,
            name,
            text,
            strategy.requirement - strategy.equity + worth,
            net.requirement,
            tuple(charge["sentence"] for charge in tree),
        )

    def _legs(self, text: str) -> Iterator[tuple[build.InstrumentRow, Decimal]]:
        for k, leg in enumerate(text.split()):
            side = -1 if leg[0] == "-" else 1
            count, letter, rest = Decimal(leg.lstrip("-")[0]), leg.lstrip("-")[1], leg.lstrip("-")[2:]
            if letter == "S":
                yield self._stock(), side * count * 100
            else:
                yield self._option(10 + k, letter, rest), side * count

    def _stock(self) -> build.InstrumentRow:
        return build.InstrumentRow(2, self.chain.symbol, "equity", CURRENCY, self.chain.spot)

    def _option(self, number: int, letter: str, rest: str) -> build.InstrumentRow:
        expires = {"f": self.chain.far, "l": self.chain.leap}.get(rest[-1], self.chain.near)
        right = {"C": "call", "P": "put"}[letter]
        strike = self.chain.middle + Decimal(rest.rstrip("fl")) * self.chain.width
        listed = [key for key in self.quotes if key[0] == right and key[2] == expires]
        key = min(listed, key=lambda one: (abs(one[1] - strike), one[1]))
        contract = Contract(2, self.chain.spot, right=right, strike=key[1], style="american", expires_on=expires)
        code = f"{self.chain.symbol} {expires} {letter}{key[1].normalize():f}"
        price = self.quotes[key]
        return build.InstrumentRow(number, code, "option", CURRENCY, price, multiplier=Decimal(100), contract=contract)


def _check_sums(found: Assessments, arguments: tuple[Any, ...]) -> None:
    """Both requirements are the sums of their charges, to the last digit."""
    charges = list_charges(*arguments, np.array([0, 1]))
    for account, policy in ((0, 0), (1, 1)):
        levels, _ = found.exact(policy, 0, np.array([account]))
        listed = sum(charges.amount[charges.account == account], Decimal(0))
        if listed != levels.requirement[0]:
            raise ValueError(f"charges of {listed} do not add up to {levels.requirement[0]}")


def table(chain: Chain) -> str:
    """One chain's strategies as a table, amounts in dollars and cents."""
    out = [
        f"{chain.symbol} at {chain.spot} on {chain.on}; near {chain.near}, far {chain.far}, long-dated {chain.leap}; "
        f"steps of {chain.width} from {chain.middle}.",
        "",
        "| strategy | legs | by strategy | portfolio | portfolio ÷ strategy |",
        "|---|---|---:|---:|---:|",
    ]
    for line in lines(chain):
        ratio = f"{line.by_portfolio / line.by_strategy:.2f}" if line.by_strategy > 0 else ""
        out.append(
            f"| {line.strategy} | `{line.legs}` | {line.by_strategy:,.2f} | {line.by_portfolio:,.2f} | {ratio} |"
        )
    return "\n".join(out)


if __name__ == "__main__":
    print("\n\n".join(table(chain) for chain in CHAINS))
