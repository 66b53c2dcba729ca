"""The cascade radar: calls, forced sales, prices and the next calls, over stored accounts or a self-contained book.

Whoever a shock puts into deficit is assumed to sell; sales move prices by the depth of each market (Cont and Schaanning
2017); everybody is measured again by the sweep's own calculation, until it ends. What is owed in the end is cleared
(Eisenberg and Noe 2001). A staged schedule (Almgren and Chriss 2000) is set beside it. docs/cascade.md. Writes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from django.db import connection

from accounts.models import Account
from margin import charts, prices, snapshot, sweep
from margin.cascading import markets, rounds, selling, stages
from margin.cascading.debts import Owner
from margin.cascading.question import CascadeQuestion
from margin.cascading.rounds import Around
from margin.cascading.telling import Teller
from margin.engine.columns import Figures
from margin.hypothetical import books, forms, repricing
from margin.hypothetical.books import Case
from margin.hypothetical.forms import Wrong

Tree = dict[str, Any]
WINDOW = timedelta(days=120)
FEWEST_RETURNS = 20  # below so many daily returns there is no volatility, and so no depth


@dataclass(frozen=True)
class Limits:
    """How much is answered where an answer must come soon; None: any number."""

    accounts: int | None = None  # of a house
    called: int | None = None  # at once


ANY = Limits()


def answer(document: Any, *, at: datetime, limits: Limits = ANY) -> Tree:
    """The radar's answer to a JSON question. Raises Wrong naming the path."""
    asked = read(document)
    return of_house(asked, at=at, limits=limits) if asked.book is None else of_book(asked, limits=limits)


def read(document: Any) -> CascadeQuestion:
    """The question that a JSON document asks. Raises Wrong naming the path."""
    asked = forms.read(CascadeQuestion, document)
    if not 0 <= asked.floor_rate < 1 or not 0 <= asked.late_rate <= 1 or not 0 <= asked.recovery_rate <= 1:
        raise Wrong("", "floor_rate must be from 0 to below 1, late_rate and recovery_rate from 0 to 1")
    if asked.capital < 0:
        raise Wrong("capital", "is negative; what is owed is cleared from what there is")
    for code, amount in asked.means.items():
        if amount < 0:
            raise Wrong(f"means.{code}", "is negative; what is owed is cleared from what there is")
    return asked


def of_book(asked: CascadeQuestion, *, limits: Limits = ANY) -> Tree:
    """Over the accounts of a self-contained book. Reads no database. Raises Wrong."""
    if asked.book is None or asked.kind:
        raise Wrong("kind", "belongs to stored accounts, and book to none")
    case = books.case(asked.book)
    codes = set(case.codes.values())
    for path, named in (("clients", asked.clients), ("counterparties", asked.counterparties)):
        for code in named:
            if code not in codes:
                raise Wrong(path, f"{code} is not among the accounts")
    owners = {
        row: Owner(asked.clients.get(code, code), code in asked.counterparties)
        for row, code in enumerate(case.codes[int(id)] for id in case.book.accounts)
    }
    return {"on": asked.book.on, **_answer(case, owners, dict(asked.volatilities), asked, limits)}


def of_house(asked: CascadeQuestion, *, at: datetime, limits: Limits = ANY) -> Tree:
    """Over every open account of one kind of sweep; volatility is that of the recorded closes. Raises Wrong."""
    if not asked.kind:
        raise Wrong("kind", "missing; name a kind of sweep, or send a book")
    if asked.clients or asked.counterparties:
        raise Wrong("clients" if asked.clients else "counterparties", "belongs to a self-contained book")
    in_force = sweep.policies_of(asked.kind, at)
    count = Account.objects.filter(agreement__in=in_force).count()
    most = limits.accounts
    if most is not None and count > most:
        raise Wrong("kind", f"the house has {count:,} such accounts, more than {most:,}: use manage.py cascade")
    with snapshot.one_moment():
        snap = snapshot.take(prices=prices.gather(at=at), in_force=in_force, accounts=snapshot.Accounts())
        ids = snap.book.accounts.tolist()
        stored = {account.pk: account for account in Account.objects.filter(pk__in=ids).select_related("client")}
        held = np.unique(snap.book.instrument)
        volatility = _recorded({int(snap.instruments.ids[row]): str(snap.instruments.codes[row]) for row in held}, at)
    case = Case(
        book=snap.book,
        instruments=snap.instruments,
        market=snap.market,
        rules=snap.rules,
        readings=snap.readings,
        codes={id: stored[id].code for id in ids},
    )
    owners = {row: Owner(stored[id].client.code, stored[id].client.is_counterparty) for row, id in enumerate(ids)}
    return {"at": at.isoformat(), **_answer(case, owners, {**volatility, **asked.volatilities}, asked, limits)}


def _answer(
    case: Case,
    owners: Mapping[int, Owner],
    volatility: Mapping[str, Decimal],
    asked: CascadeQuestion,
    limits: Limits,
) -> Tree:
    if not len(case.book):
        raise Wrong("", "there is no account")
    options = repricing.options_of(case.instruments, case.market, np.unique(case.book.instrument))
    ours = frozenset(row for row, owner in owners.items() if owner.is_counterparty)
    around = Around(case, options, asked, ours, limits.called)
    before = selling.figures_of(case)
    start = rounds.shocked(around)
    teller = Teller(around, owners, _currency(before, asked), before, selling.figures_of(start.case))
    depths = markets.depths(start.case.instruments, volatility, asked)
    found = rounds.play(around, start, depths, how=asked.sales)
    staged = stages.plan(around, start, depths, found, teller.total)
    return {
        "accounts": len(case.book),
        "currency": teller.currency,
        "at_once": teller.cascade(found),
        "losers": teller.losers(found),
        "overlap": teller.overlap(found, depths),
        "without_depth": teller.without_depth(found, depths),
        "clearing": teller.clearing(found),
        "staged": {
            "order": staged.order,
            "stages": asked.slices.count,
            **teller.cascade(staged.cascade),
            "losers": teller.losers(staged.cascade),
            "clearing": teller.clearing(staged.cascade),
        },
    }


def _currency(before: Mapping[int, Figures], asked: CascadeQuestion) -> str:
    used = {figures.currency for figures in before.values()}
    return asked.currency or (used.pop() if len(used) == 1 else "USD")


CLOSES = """
SELECT DISTINCT ON (instrument_id, as_of::date) instrument_id, mark
FROM market_quotefact WHERE instrument_id = ANY (%s) AND as_of > %s AND as_of <= %s
ORDER BY instrument_id, as_of::date, as_of DESC, id DESC
"""


def _recorded(codes: Mapping[int, str], at: datetime) -> dict[str, Decimal]:
    """Volatility per day by code: the deviation of daily log returns of the last marks of each of 120 days.

    Left out where there are fewer than 20 returns, a mark that is not positive, or no movement at all.
    """
    marks: dict[int, list[float]] = {}
    with connection.cursor() as cursor:
        cursor.execute(CLOSES, [list(codes), at - WINDOW, at])
        for instrument, mark in cursor.fetchall():
            marks.setdefault(instrument, []).append(float(mark))
    found = {}
    for instrument, path in marks.items():
        if len(path) > FEWEST_RETURNS and min(path) > 0:
            sigma = float(np.diff(np.log(path)).std(ddof=1))
            if sigma > 0:
                found[codes[instrument]] = Decimal(repr(round(sigma, 12)))
    return found


# --- charts -----------------------------------------------------------------------------------------------


def price_chart(found: Tree, title: str, *, most: int = 3) -> str:
    """SVG: prices of what moved most, round by round, sold at once and in stages; 100 is the price before the shock.

    Raises ValueError where nothing was sold.
    """
    paths = {"at once": found["at_once"]["price_path"], "staged": found["staged"]["price_path"]}
    length = max((len(path) for listed in paths.values() for path in listed.values()), default=0)
    fallen = sorted(paths["at once"], key=lambda code: _left(paths["at once"][code]))[:most]
    series = {
        f"{code}, {how}": _padded([float(price) / float(listed[code][0]) * 100 for price in listed[code]], length)
        for code in fallen
        for how, listed in paths.items()
        if code in listed
    }
    labels = ["before", "shock", *(f"round {number}" for number in range(1, length - 1))]
    return charts.line_chart(title, labels, series, unit="per cent of the price before the shock")


def _left(path: list[str]) -> float:
    return float(path[-1]) / float(path[0])


def _padded(values: list[float], length: int) -> list[float]:
    return values + [values[-1]] * (length - len(values))
