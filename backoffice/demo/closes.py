"""Simulated daily closes that end at today's quotes: the history from which adaptive rates are estimated."""

import math
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from zlib import crc32

import numpy as np

from market import closes

DAYS = 600  # trading days: what the model of the demonstration asks for, and a little
YEARLY_VOLATILITY = {"etf": 0.16, "equity": 0.28}
TRADING_DAYS = 252
CENT = Decimal("0.01")


def until(today: date, marks: Mapping[str, tuple[str, Decimal]], *, source: str) -> list[closes.Incoming]:
    """DAYS closes of every code → (kind, mark), on the weekdays before `today`; the same ones each time."""
    days = _weekdays_before(today)
    return [
        closes.Incoming(code, on, max(Decimal(repr(price)).quantize(CENT), CENT), source)
        for code, (kind, mark) in marks.items()
        for on, price in zip(days, _walk(code, YEARLY_VOLATILITY[kind], float(mark)), strict=True)
    ]


def _weekdays_before(today: date) -> list[date]:
    """Oldest first."""
    found = [today - timedelta(days=back) for back in range(DAYS * 7 // 5 + 7, 0, -1)]
    return [day for day in found if day.weekday() < 5][-DAYS:]


def _walk(code: str, yearly_volatility: float, mark: float) -> list[float]:
    """A seeded lognormal path that ends at the mark; its volatility breathes over half a year."""
    draws = np.random.default_rng(crc32(code.encode())).standard_normal(DAYS)
    breath = 1 + 0.3 * np.sin(2 * math.pi * np.arange(DAYS) / 126)
    path = np.cumsum(draws * breath * yearly_volatility / math.sqrt(TRADING_DAYS))
    prices: list[float] = (mark * np.exp(path - path[-1])).tolist()
    return prices
