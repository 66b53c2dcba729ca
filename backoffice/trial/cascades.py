"""The trial's books under the radar: what if everybody had held them, before Lehman and before bitcoin's winter.

Prices, volumes and volatility are recorded; the shock is what prices did next. A book of a few thousand shares moves no
market, so every account stands for many like it.
"""

import csv
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from io import StringIO
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from backoffice.trial import bars, book_2008, book_btc
from backoffice.trial.acts import Book
from margin import cascade

VOLUME_DAYS, VOLATILITY_DAYS = 20, 60


@dataclass(frozen=True)
class Radar:
    """A book, the last day that is known, the day whose close is the shock, and how many stand behind each account."""

    title: str
    book: Book
    file: str
    known: str
    shocked: str
    times: int
    kinds: dict[str, str]

    def question(self, folder: Path, *, times: int | None = None) -> dict[str, Any]:
        """The question for the radar, from the recorded bars. Raises ValueError where a bar is missing."""
        days = {code: self._days(folder, ticker) for ticker, code in self._codes().items()}
        last = {code: listed[-1].close for code, (listed, _) in days.items()}
        return {
            "book": {
                "on": self.known,
                "instruments": [
                    {
                        "code": code,
                        "kind": self.kinds.get(code, "equity"),
                        "currency": "USD",
                        "price": str(last[code]),
                        "daily_volume": str(round(fmean(each.volume for each in listed[-VOLUME_DAYS:]))),
                        "lot_size": "0.0001" if self.kinds.get(code) == "crypto" else "1",
                    }
                    for code, (listed, _) in days.items()
                ],
                "policies": {self.book.agreement: dict(self.book.terms)},
                "accounts": self._accounts(self.times if times is None else times),
            },
            "price_shocks": {
                code: str(round(after / last[code] - 1, 12)) for code, (_, after) in days.items() if code in last
            },
            "volatilities": {code: f"{_volatility(listed):.6f}" for code, (listed, _) in days.items()},
        }

    def _codes(self) -> dict[str, str]:
        """Code by the ticker under which its bars are recorded."""
        listed = csv.DictReader(StringIO(self.book.instruments))
        return {row["ticker"]: row["code"] for row in listed if row["ticker"]}

    def _days(self, folder: Path, symbol: str) -> tuple[list["Day"], Decimal]:
        """(the days until the last known, the close of the shocked one)."""
        with (folder / self.file).open(newline="", encoding="utf-8") as opened:
            rows = [row for row in csv.DictReader(opened) if row["symbol"] == symbol and row["date"] <= self.shocked]
        known = [Day(Decimal(row["close"]), float(row["volume"])) for row in rows if row["date"] <= self.known]
        if not rows or rows[-1]["date"] != self.shocked or len(known) <= VOLATILITY_DAYS:
            raise ValueError(f"{self.file} does not have {symbol} until {self.shocked}")
        return known, Decimal(rows[-1]["close"])

    def _accounts(self, times: int) -> list[dict[str, Any]]:
        return [
            {
                "code": holder.account,
                "currency": "USD",
                "policy": self.book.agreement,
                "positions": [
                    {"instrument": code, "quantity": str(quantity * times)}
                    for code, quantity in holder.holdings.items()
                    if code != "USD"
                ],
                "cash": {"USD": str(holder.holdings["USD"] * times)},
            }
            for holder in self.book.holders
        ]


@dataclass(frozen=True)
class Day:
    """One day of an instrument."""

    close: Decimal
    volume: float


def _volatility(listed: Sequence[Day]) -> float:
    """The deviation of the last sixty daily returns."""
    closes = [float(day.close) for day in listed[-VOLATILITY_DAYS - 1 :]]
    return stdev(after / before - 1 for before, after in itertools.pairwise(closes))


RADARS = {
    "2008": Radar(
        title="Autumn 2008: the week of Lehman, if ten thousand houses had held this book",
        book=book_2008.BOOK,
        file=bars.DAILY,
        known="2008-09-11",
        shocked="2008-09-15",
        times=10_000,
        kinds={"SPY": "etf", "IWM": "etf"},
    ),
    "btc": Radar(
        title="Bitcoin loans: 17 to 22 December 2017, if a thousand lenders had made these loans",
        book=book_btc.DAYS,
        file=bars.CRYPTO_DAILY,
        known="2017-12-17",
        shocked="2017-12-22",
        times=1000,
        kinds={"BTC": "crypto"},
    ),
}


# --- what it shows ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """A book under the radar: tables in Markdown, and a chart of its prices as SVG."""

    text: str
    chart: str


def see(radar: Radar, folder: Path) -> Seen:
    """What the radar tells of the book, once as it is and once held by many."""
    one, many = (cascade.of_book(cascade.read(radar.question(folder, times=times))) for times in (1, radar.times))
    parts = [
        f"### {radar.title}\n",
        _summary({"once, at once": one["at_once"], "once, staged": one["staged"],
                  "many, at once": many["at_once"], "many, staged": many["staged"]}),
        _losses(many),
        _rounds("At once", many["at_once"]),
        _rounds(f"Staged, by {many['staged']['order']}", many["staged"]),
        _overlap(many["overlap"]),
    ]  # fmt: skip
    return Seen("\n".join(parts) + "\n", cascade.price_chart(many, radar.title))


def _summary(listed: Mapping[str, Any]) -> str:
    rows = [
        (
            name, len(one["rounds"]), one["calls"]["accounts"], len(one["still_called"]), _whole(one["total_traded"]),
            ", ".join(f"{code} {_fall(path)}" for code, path in one["price_path"].items()),
        )
        for name, one in listed.items()
    ]  # fmt: skip
    return _table(("held, sold", "rounds", "called", "still called", "traded", "prices moved by sales"), rows)


def _losses(found: Mapping[str, Any]) -> str:
    rows = [
        (
            name,
            _whole(one["losers"]["by_the_shock"]),
            _whole(one["losers"]["by_the_cascade"]),
            _whole(one["clearing"]["our_losses"]),
        )
        for name, one in (("at once", found), ("staged", found["staged"]))
    ]
    return _table(("many", "lost by the shock", "lost by the sales", "owed to us and not paid"), rows)


def _rounds(title: str, found: Mapping[str, Any]) -> str:
    rows = [
        (
            one["round"],
            one["calls"],
            one["new_calls"],
            _whole(one["called"]),
            ", ".join(f"{_whole(sale['sold'])} {sale['instrument']}" for sale in one["sales"]),
        )
        for one in found["rounds"]
    ]
    return _table((title, "calls", "new", "called", "sold (bought back: negative)"), rows)


def _overlap(listed: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            one["instrument"],
            one["accounts"],
            _whole(one["held"]),
            f"{float(one['held_by_depth']):.2%}",
            f"{float(one['impact_of_all']):.2%}",
        )
        for one in listed
    ]
    return _table(("held by the called", "accounts", "value", "of the depth", "fall if all is sold at once"), rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def _whole(amount: str) -> str:
    return f"{float(amount):,.0f}"


def _fall(path: Sequence[str]) -> str:
    return f"{float(path[-1]) / float(path[1]) - 1:+.2%}"
