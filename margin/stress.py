"""Stress: accounts, a client's or a whole house's, under every price shock with every volatility shock.

All prices move together, each by its own factor (docs/whatif.md). A cell is one assessment of all accounts at once by
the sweep's own calculation; nothing is written.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np

from accounts.models import Account
from margin import policies, policy_terms, prices, snapshot, sweep
from margin.engine import assess, build
from margin.engine.columns import KINDS, Array, Instruments, Market, Status
from margin.engine.exact import ZERO, exactly, round_down, round_up
from margin.hypothetical import repricing, supposing
from margin.hypothetical.answers import beyond, excess, text
from margin.hypothetical.document import StressGrid
from margin.hypothetical.forms import Wrong
from margin.snapshot import Snapshot

Tree = dict[str, Any]
SHOCKED = ("equity", "etf", "crypto", "index", "future", "perpetual")
WORST = 20  # accounts listed with their worst cell


@dataclass(frozen=True)
class Cell:
    """One point of the grid."""

    price_shock: Decimal
    volatility_shock: Decimal

    @property
    def tree(self) -> Tree:
        return {"price_shock": text(self.price_shock), "volatility_shock": text(self.volatility_shock)}


@dataclass(frozen=True)
class Sums:
    """What accounts of one regime and currency add up to in a cell; unrounded until `tree`."""

    cell: Cell
    equity: Decimal
    requirement: Decimal
    deficit: Decimal
    calls: int
    called: Decimal
    unpriced: int
    exponent: int

    @property
    def tree(self) -> Tree:
        equity, requirement = round_down(self.equity, self.exponent), round_up(self.requirement, self.exponent)
        short = round_up(max(self.requirement - self.equity, ZERO), self.exponent)
        return {
            **self.cell.tree,
            "equity": text(equity),
            "requirement": text(requirement),
            "excess": text(beyond(equity, requirement, short)),
            "deficit": text(round_up(self.deficit, self.exponent)),
            "calls": self.calls,
            "amount_called": text(self.called),
            "unpriced": self.unpriced,
        }


def of_accounts(accounts: Iterable[Account], grid: StressGrid, *, at: datetime) -> Tree:
    """The open ones of the accounts (one, or all of a client) under the grid. Raises Wrong, or policies.NoPolicy."""
    accounts = [account for account in accounts if account.closed_on is None or account.closed_on > at.date()]
    if not accounts:
        raise Wrong("", "there is no open account")
    if grid.kind:
        raise Wrong("kind", "belongs to the stress of the whole house")
    in_force = policies.in_force(at)
    listed = {account.pk for account in accounts}
    accounts = [account for account in accounts if account.margined_with_id not in listed]  # measured with their lead
    for account in accounts:
        policies.check_governs(account, in_force, at=at)
    chosen = {account.agreement: in_force[account.agreement] for account in accounts}
    return _answer(chosen, snapshot.Accounts(ids=[account.pk for account in accounts]), grid, at)


def of_house(grid: StressGrid, *, at: datetime, most: int | None = None) -> Tree:
    """Every open account of one kind of sweep under the grid; Wrong if they are more than `most`."""
    if not grid.kind:
        raise Wrong("kind", f"missing; one of {', '.join(policy_terms.SWEEPS)}")
    in_force = sweep.policies_of(grid.kind, at)
    count = Account.objects.filter(agreement__in=in_force).count()
    if most is not None and count > most:
        raise Wrong("kind", f"the house has {count:,} such accounts, more than {most:,}: use manage.py stress")
    return _answer(in_force, snapshot.Accounts(), grid, at)


def _answer(in_force: dict[str, Any], accounts: snapshot.Accounts, grid: StressGrid, at: datetime) -> Tree:
    cells = _cells(grid)
    with snapshot.one_moment():
        snap = snapshot.take(prices=prices.gather(at=at), in_force=in_force, accounts=accounts)
        codes = dict(Account.objects.filter(pk__in=snap.book.accounts.tolist()).values_list("pk", "code"))
    worlds = _worlds(snap, grid, cells)
    sums, worst = _assessed(snap, cells, worlds)
    return {
        "at": at.isoformat(),
        "accounts": len(snap.book),
        "price_shocks": [text(shock) for shock in dict.fromkeys(grid.price_shocks)],
        "volatility_shocks": [text(shock) for shock in dict.fromkeys(grid.volatility_shocks)],
        "regimes": [
            {
                "regime": regime,
                "currency": currency,
                "cells": [each.tree for each in listed],
                "worst": min(listed, key=lambda each: each.equity - each.requirement).tree,
            }
            for (regime, currency), listed in sums.items()
        ],
        "worst_accounts": list(_named(snap, cells, worlds, worst, codes)),
    }


def _cells(grid: StressGrid) -> list[Cell]:
    if not grid.price_shocks or not grid.volatility_shocks:
        raise Wrong("price_shocks" if not grid.price_shocks else "volatility_shocks", "is empty")
    for place, shock in enumerate(grid.price_shocks):
        if not -1 < shock <= 10:
            raise Wrong(f"price_shocks[{place}]", f"{shock} is not above -1 and at most 10")
    # dict.fromkeys: a shock given twice, as -0 beside 0, is one column
    return [
        Cell(price, volatility)
        for volatility in dict.fromkeys(grid.volatility_shocks)
        for price in dict.fromkeys(grid.price_shocks)
    ]


# --- the shocked worlds -----------------------------------------------------------------------------------


World = tuple[Instruments, Market]


def _worlds(snap: Snapshot, grid: StressGrid, cells: Sequence[Cell]) -> list[World]:
    """The instruments and rates of each cell. Where nothing is shocked they are the sweep's own."""
    instruments = snap.instruments
    kinds = (*SHOCKED, "bond") if grid.bonds else SHOCKED
    is_moved = np.isin(instruments.kind, [KINDS.index(kind) for kind in kinds]) & instruments.priced
    options = repricing.options_of(instruments, snap.market, np.unique(snap.book.instrument))
    found = []
    for cell in cells:
        if not cell.price_shock and not cell.volatility_shock:
            found.append((instruments, snap.market))
            continue
        shifts = np.full(len(instruments), float(cell.volatility_shock))
        shocked = _shocked(instruments, is_moved, cell.price_shock)
        moving = is_moved if cell.price_shock else np.zeros(len(instruments), bool)
        moved = repricing.moved(instruments, options, prices=shocked, is_moved=moving, volatility_shifts=shifts)
        found.append((moved, repricing.with_rates(snap.market, instruments, moved)))
    return found


def _shocked(instruments: Instruments, rows: Array, shock: Decimal) -> Array:
    """Prices under one shock of everything: a leveraged fund moves by its factor. Exact."""
    out = instruments.price.copy()
    for row in np.flatnonzero(rows):
        out[row] = supposing.following(instruments.price[row], shock, instruments.leverage[row])
    return out


# --- the sums ---------------------------------------------------------------------------------------------

Key = tuple[str, str]  # regime, currency


@dataclass
class Worst:
    """Per account and regime (one row of an assessment): the least excess so far, and the cell it was found in."""

    excess: Array  # float64
    cell: Array  # int64

    def see(self, found: assess.Assessments, cell: int) -> None:
        """Note the accounts that are worse off in this cell."""
        excess = found.equity - found.requirement
        worse = excess < self.excess
        self.excess[worse], self.cell[worse] = excess[worse], cell


def _assessed(snap: Snapshot, cells: Sequence[Cell], worlds: Sequence[World]) -> tuple[dict[Key, list[Sums]], Worst]:
    """One assessment of all accounts per cell."""
    sums: dict[Key, list[Sums]] = {}
    worst: Worst | None = None
    for place, (cell, (instruments, market)) in enumerate(zip(cells, worlds, strict=True)):
        found = assess.assess(snap.book, instruments, market, snap.rules)
        if worst is None:
            worst = Worst(np.full(len(found), np.inf), np.zeros(len(found), np.int64))
        worst.see(found, place)
        for key, summed in _sums(found, cell):
            sums.setdefault(key, []).append(summed)
    if worst is None:
        raise Wrong("", "the grid has no cells")
    return sums, worst


def _sums(found: assess.Assessments, cell: Cell) -> Iterator[tuple[Key, Sums]]:
    """Exact sums over the accounts that have a number, by regime and base currency."""
    names = np.array([found.rules.policies[p].regimes[r].regime for p, r in _rules_of(found)], object)
    base = found.book.base[found.account]
    for name in dict.fromkeys(names.tolist()):
        for currency in np.unique(base[names == name]).tolist():
            rows = np.flatnonzero((names == name) & (base == currency))
            code = found.instruments.currencies[currency]
            exponent = found.instruments.minor_exponents[currency] or 0  # not stated: nobody in it has figures
            yield (name, code), _sum(found, rows, cell, exponent)


def _rules_of(found: assess.Assessments) -> Iterator[tuple[int, int]]:
    return zip(found.book.policy[found.account].tolist(), found.regime.tolist(), strict=True)


def _sum(found: assess.Assessments, rows: Array, cell: Cell, exponent: int) -> Sums:
    status = found.status[rows]
    priced = rows[status != Status.UNPRICED]
    policy, regime = found.book.policy[found.account[priced]], found.regime[priced]
    equity = requirement = deficit = ZERO
    with exactly():
        for p, r in {(int(p), int(r)) for p, r in zip(policy, regime, strict=True)}:
            levels, _ = found.exact(p, r, found.account[priced[(policy == p) & (regime == r)]])
            short = levels.requirement - levels.equity
            equity, requirement = equity + levels.equity.sum(), requirement + levels.requirement.sum()
            deficit += short[(short > 0).astype(bool)].sum()
        called = found.figures(rows[(status == Status.DEFICIT) | (status == Status.SEVERE)])
        amount = sum((figures.amount or ZERO for figures in called), ZERO)
    return Sums(cell, equity, requirement, Decimal(deficit), len(called), amount, len(rows) - len(priced), exponent)


# --- the accounts that suffer most ------------------------------------------------------------------------


def _named(
    snap: Snapshot, cells: Sequence[Cell], worlds: Sequence[World], worst: Worst, codes: dict[int, str]
) -> Iterator[Tree]:
    """The accounts with the least excess anywhere on the grid, each with its worst cell and its figures there."""
    found = assess.assess(snap.book, snap.instruments, snap.market, snap.rules)
    ranked = np.argsort(worst.excess, kind="stable")
    for row in ranked[np.isfinite(worst.excess[ranked])][:WORST].tolist():
        cell, account = int(worst.cell[row]), int(found.account[row])
        alone = build.take(snap.book, np.array([account]))
        again = assess.assess(alone, *worlds[cell], snap.rules)
        (figures,) = again.figures(np.flatnonzero(again.regime == found.regime[row]))
        yield {
            "code": codes[figures.account_id],
            "regime": figures.regime,
            "currency": figures.currency,
            **cells[cell].tree,
            "equity": text(figures.equity),
            "requirement": text(figures.requirement),
            "excess": text(excess(figures)),
            "deficit": text(figures.deficit),
            "amount_called": text(figures.amount),
        }
