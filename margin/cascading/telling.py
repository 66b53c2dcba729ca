"""From rounds to the answer: plain values, amounts as text in one currency, instruments and accounts by their codes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import numpy as np

from margin.cascading import debts, selling
from margin.cascading.debts import Owner
from margin.cascading.markets import Depths
from margin.cascading.rounds import NOTHING_LEFT, Around, Cascade, State, Step
from margin.engine.columns import CASH, Figures
from margin.engine.exact import ZERO, exactly
from margin.hypothetical.answers import text
from margin.hypothetical.forms import Wrong
from margin.workflow import State as CallState

Tree = dict[str, Any]
MOST = 50  # losers, calls of a round, instruments and accounts of the overlap: the counts beside them are of all
_CENT = Decimal("0.01")


@dataclass(frozen=True)
class Teller:
    """Names and exchange rates of one world."""

    around: Around
    owners: Mapping[int, Owner]  # by account row
    currency: str
    before: Mapping[int, Figures]  # by account row, before the shock
    after_shock: Mapping[int, Figures]

    # --- amounts ---------------------------------------------------------------------------------------------

    def rate(self, currency: str) -> Decimal:
        """Units of the reporting currency for one of this. Raises Wrong."""
        found = self.around.case.market.rate(currency, self.currency)
        if found is None:
            raise Wrong("currency", f"there is no rate {currency}/{self.currency}")
        return found

    def rates(self, rows: Iterable[int]) -> dict[int, Decimal]:
        instruments = self.around.case.instruments
        return {row: self.rate(instruments.currencies[instruments.currency[row]]) for row in rows}

    def total(self, cascade: Cascade) -> Decimal:
        """All that is traded, bought or sold, at the prices right after the shock, in the reporting currency."""
        units = selling.unit_values(cascade.start.case.instruments)
        rates = self.rates({line.instrument for step in cascade.steps for line in step.lines})
        with exactly():
            return sum(
                (
                    abs(line.quantity) * units[line.instrument] * rates[line.instrument]
                    for step in cascade.steps
                    for line in step.lines
                ),
                ZERO,
            )

    def account(self, row: int) -> str:
        case = self.around.case
        return case.codes[int(case.book.accounts[row])]

    def code(self, row: int) -> str:
        return str(self.around.case.instruments.codes[row])

    # --- rounds ----------------------------------------------------------------------------------------------

    def cascade(self, found: Cascade) -> Tree:
        """Every round, why they ended, what was traded in all, and where prices went."""
        return {
            "rounds": [self.step(number, step) for number, step in enumerate(found.steps, 1)],
            "ended": found.ended,
            "total_traded": _money(self.total(found)),
            "still_called": [
                {**self._call(one.account, one.figures), "reason": found.end.stuck.get(one.account, "")}
                for one in found.still_called[:MOST]
            ],
            "calls": self._outcomes(found),
            "price_path": self.path(found),
        }

    def step(self, number: int, step: Step) -> Tree:
        amounts = [(one.figures.amount or ZERO) * self.rate(one.figures.currency) for one in step.calls.called]
        return {
            "round": number,
            "calls": len(step.calls.called),
            "new_calls": len(step.calls.new),
            "calls_on_us": sum(one.account in self.around.ours for one in step.calls.called),
            "called": _money(sum(amounts, ZERO)),
            "paid_by_us": _money(
                sum(
                    (
                        step.calls.paid[one.account] * self.rate(one.figures.currency)
                        for one in step.calls.called
                        if one.account in step.calls.paid
                    ),
                    ZERO,
                )
            ),
            "listed": [
                {**self._call(one.account, one.figures), "is_new": one.account in step.calls.new}
                for one in step.calls.called[:MOST]
            ],
            "sales": [self._sale(row, step) for row in sorted(step.sold)],
            "largest_move": f"{step.largest_move:.6f}",
        }

    def _call(self, row: int, figures: Figures) -> Tree:
        return {
            "account": self.account(row),
            "client": self.owners[row].code,
            "on_us": row in self.around.ours,
            "regime": figures.regime,
            "currency": figures.currency,
            "amount_called": text(figures.amount),
        }

    def _sale(self, row: int, step: Step) -> Tree:
        return {
            "instrument": self.code(row),
            "sold": text(step.sold[row]),
            "value": _money(step.traded[row] * self.rates([row])[row]),
            "price_before": text(step.before[row]),
            "price_after": text(step.after[row]),
        }

    def _outcomes(self, found: Cascade) -> Tree:
        """How many accounts were called in all, and in which state their calls end."""
        rows = {one.account for step in found.steps for one in step.calls.called}
        still = {one.account for one in found.still_called}
        sold = {line.account for step in found.steps for line in step.lines}
        states = [_state(row, still=still, sold=sold, stuck=found.end.stuck) for row in sorted(rows | still)]
        return {"accounts": len(states), **{state.value: states.count(state) for state in OUTCOMES}}

    def path(self, found: Cascade) -> Tree:
        """Prices of what was traded or moved: before the shock, after it, and after each round."""
        first, start = self.around.case.instruments.price, found.start.case.instruments.price
        columns = [first, start, *(step.after for step in found.steps)]
        moved = {row for step in found.steps for row in np.flatnonzero(step.before != step.after).tolist()}
        rows = sorted(moved | {line.instrument for step in found.steps for line in step.lines})
        return {self.code(row): [text(column[row]) for column in columns] for row in rows}

    # --- who loses -------------------------------------------------------------------------------------------

    def losers(self, found: Cascade) -> Tree:
        """Who loses most, by account and by client: by the shock itself, and by what followed from it."""
        rows, unknown = [], 0
        for row, figures in found.equity.items():
            now, then, start = figures.equity, self.after_shock[row].equity, self.before[row].equity
            if now is None or then is None or start is None:
                unknown += 1
                continue
            rate = self.rate(figures.currency)
            rows.append((row, (start - then) * rate, (then - now) * rate))
        by_client: dict[str, list[Decimal]] = {}
        for row, by_shock, by_cascade in rows:
            summed = by_client.setdefault(self.owners[row].code, [ZERO, ZERO])
            summed[0], summed[1] = summed[0] + by_shock, summed[1] + by_cascade
        return {
            "by_the_shock": _money(sum((each[1] for each in rows), ZERO)),
            "by_the_cascade": _money(sum((each[2] for each in rows), ZERO)),
            "accounts": _worst((self.account(row), shock, cascade) for row, shock, cascade in rows),
            "clients": _worst((code, shock, cascade) for code, (shock, cascade) in by_client.items()),
            "without_figures": unknown,
        }

    def overlap(self, found: Cascade, depths: Depths) -> list[Tree]:
        """Per instrument: what all accounts ever called held of it after the shock, against its depth, and by whom."""
        rows = {one.account for step in found.steps for one in step.calls.called}
        rows |= {one.account for one in found.still_called}
        held = _holdings(found.start, rows)
        units = selling.unit_values(found.start.case.instruments)
        told = []
        for instrument, by_account in held.items():
            total = sum((abs(quantity) for quantity in by_account.values()), ZERO)
            worth, depth = float(total) * float(units[instrument]), depths.depth[instrument]
            price = float(found.start.case.instruments.price[instrument])
            told.append((worth / depth if np.isfinite(depth) else -1.0, {
                "instrument": self.code(instrument),
                "accounts": len(by_account),
                "held": _money(total * units[instrument] * self.rates([instrument])[instrument]),
                "depth": f"{depth:.2f}" if np.isfinite(depth) else None,
                "held_by_depth": f"{worth / depth:.6f}" if np.isfinite(depth) else None,
                "impact_of_all": f"{depths.impact(instrument, worth, price):.6f}" if np.isfinite(depth) else None,
                "shares": [
                    {"account": self.account(row), "share": f"{float(abs(quantity) / total):.6f}"}
                    for row, quantity in sorted(by_account.items(), key=lambda each: -abs(each[1]))[:MOST]
                ],
            }))  # fmt: skip
        return [tree for _, tree in sorted(told, key=lambda each: -each[0])[:MOST]]

    def without_depth(self, found: Cascade, depths: Depths) -> list[Tree]:
        """What was traded, or is held by somebody called, in markets whose depth is not known: its price stayed."""
        rows = {one.account for step in found.steps for one in step.calls.called}
        rows |= {one.account for one in found.still_called}
        touched = _holdings(found.start, rows).keys() | {line.instrument for step in found.steps for line in step.lines}
        return [
            {"instrument": self.code(row), "reason": depths.why_unknown[row]}
            for row in sorted(touched)
            if row in depths.why_unknown
        ]

    # --- what is owed ----------------------------------------------------------------------------------------

    def clearing(self, found: Cascade) -> Tree:
        """Debts after the rounds, cleared (`margin.cascading.debts`)."""
        asked = self.around.asked
        owed: dict[Owner, float] = {}
        for row, figures in found.equity.items():
            if figures.equity is not None and figures.equity < 0:
                amount = float(figures.equity * self.rate(figures.currency))
                owed[self.owners[row]] = owed.get(self.owners[row], 0.0) + amount
        means = {code: float(amount) for code, amount in asked.means.items()}
        cleared = debts.clear(owed, capital=float(asked.capital), means=means, recovery_rate=float(asked.recovery_rate))
        return {
            "debtors": [
                {"client": each.name, "owes": _money(each.owes), "pays": _money(each.pays), "defaults": each.is_default}
                for each in sorted(cleared.parties, key=lambda each: each.pays - each.owes)[:MOST]
            ],
            "our_losses": _money(cleared.our_losses),
            "we_owe": _money(sum(-amount for owner, amount in owed.items() if owner.is_counterparty)),
            "we_default": cleared.is_default,
            "left": _money(cleared.left),
            "lost_by_counterparties": _money(cleared.lost_by_counterparties),
        }


OUTCOMES = (CallState.LIQUIDATED, CallState.MET, CallState.ESCALATED, CallState.ISSUED)


def _state(row: int, *, still: set[int], sold: set[int], stuck: Mapping[int, str]) -> CallState:
    """As the workflow would leave the call: sold out counts as liquidated even where something is still owed."""
    if row in sold and (row not in still or stuck.get(row) == NOTHING_LEFT):
        return CallState.LIQUIDATED
    if row not in still:
        return CallState.MET
    return CallState.ESCALATED if row in stuck or row in sold else CallState.ISSUED


def _holdings(state: State, accounts: Iterable[int]) -> dict[int, dict[int, Decimal]]:
    """Row of Instruments → account row → quantity, cash left out."""
    book, kind = state.case.book, state.case.instruments.kind
    found: dict[int, dict[int, Decimal]] = {}
    for account in sorted(accounts):
        for row, (quantity, _) in selling.alternatives.positions_of(book, account).items():
            if kind[row] != CASH and quantity:
                found.setdefault(row, {})[account] = quantity
    return found


def _worst(rows: Iterable[tuple[str, Decimal, Decimal]]) -> list[Tree]:
    """The largest losses, at most MOST; a gain is negative and not listed."""
    ranked = sorted(rows, key=lambda each: (-(each[1] + each[2]), each[0]))
    return [
        {"code": code, "by_the_shock": _money(shock), "by_the_cascade": _money(cascade)}
        for code, shock, cascade in ranked[:MOST]
        if shock + cascade > 0
    ]


def _money(amount: Decimal | float) -> str:
    """To the cent, half even: for reading; no call or sale depends on it."""
    exact = amount if isinstance(amount, Decimal) else Decimal(repr(round(amount, 6)))
    return f"{exact.quantize(_CENT, ROUND_HALF_EVEN) + ZERO:f}"
