"""Who was wrongly called or sold out, and by how much: a past time gone through again as it should have been.

Every finished sweep of the time is done again (`hindsight`). A call is compared with what the sweep that issued it
would have asked; what its plans sold beyond the need is valued (`oversold`) and put back to the account from then on,
so that one wrong sale does not count into the next call.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from margin import hindsight, oversold, rows
from margin.engine.columns import Figures, Status
from margin.hindsight import Otherwise
from margin.models import Event, MarginCall, Measure, Sweep
from margin.oversold import Sale
from margin.vocabulary import Words
from margin.workflow import Regime, Verb

ZERO = Decimal(0)
OF_TRADES = (Regime.REG_T, Regime.DAY_TRADE, Regime.INTRADAY)
"""Regimes whose calls come from a day's trades; a sweep's prices do not say whether they were right."""


class Verdict(Words):
    """What is to be said of a call."""

    RIGHT = "right"  # the same amount was due
    TOO_MUCH = "too_much"  # less was due
    TOO_LITTLE = "too_little"  # more was due
    EARLY = "early"  # nothing was due yet; something came due before the call was over
    WRONG = "wrong"  # nothing was ever due
    UNSAID = "unsaid"  # it cannot be said; the reasons tell why


@dataclass
class Case:
    """One call, and what should have been. Amounts are in the call's currency."""

    call: MarginCall
    called: Decimal
    """When it was issued, before it changed."""
    due: Decimal | None = None
    """What should have been called then; None: it cannot be said."""
    due_later: tuple[datetime, Decimal] | None = None
    """The first sweep while the call was open that would have called, where `due` is zero."""
    reasons: tuple[str, ...] = ("no sweep of the time issued it",)
    sales: list[Sale] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        if self.due is None:
            return Verdict.UNSAID
        if self.due == 0:
            return Verdict.EARLY if self.due_later else Verdict.WRONG
        if self.due == self.called:
            return Verdict.RIGHT
        return Verdict.TOO_MUCH if self.due < self.called else Verdict.TOO_LITTLE

    @property
    def too_much(self) -> Decimal:
        """What was called beyond what was due, when it was issued."""
        return ZERO if self.due is None else max(ZERO, self.called - self.due)

    @property
    def is_a_victim(self) -> bool:
        """Called for more than was due, or sold beyond the need."""
        return self.too_much > 0 or any(sale.excess for sale in self.sales)


@dataclass
class Missed:
    """A deficit that would have been called, and was not: from its first sweep to its last in the time."""

    account_id: int
    regime: str
    currency: str
    first_at: datetime
    last_at: datetime
    amount: Decimal
    """At the first sweep."""
    most: Decimal


@dataclass
class Report:
    """What became of every call of the time, and the calls that were never made."""

    since: datetime
    until: datetime
    valued_at: datetime
    sweeps: int = 0
    cases: list[Case] = field(default_factory=list)
    missed: list[Missed] = field(default_factory=list)

    @property
    def victims(self) -> list[Case]:
        return [case for case in self.cases if case.is_a_victim]


def run(*, since: datetime, until: datetime, otherwise: Otherwise, valued_at: datetime) -> Report:
    """Go through the sweeps from `since` to before `until` again, in the order they happened.

    What was sold beyond the need is valued at the prices of `valued_at` as well. Only what sweeps found is examined:
    calls made from a day's trades, by hand, or before `since` are unsaid, with the reason.
    """
    report = Report(since, until, valued_at)
    walk = _Walk(otherwise, valued_at, list(_cases(since, until)))
    swept = Sweep.objects.filter(at__gte=since, at__lt=until).exclude(finished_at=None)
    for past in swept.order_by("at", "id"):
        walk.through(past)
        report.sweeps += 1
    walk.settle_sales(before=until)
    report.cases = walk.cases
    report.missed = sorted(walk.missed.values(), key=lambda each: (each.first_at, each.account_id, each.regime))
    return report


def _cases(since: datetime, until: datetime) -> Iterator[Case]:
    """The calls of the time, those still open at its beginning included."""
    calls = (
        MarginCall.objects.filter(issued_at__lt=until).exclude(closed_at__lt=since).select_related("account__client")
    )
    found = {call.pk: call for call in calls.order_by("issued_at", "pk")}
    issued = Event.objects.filter(call__in=found, kind=Verb.ISSUE)
    first = {event.call_id: Decimal(rows.read(event)["row"]["amount_called"]) for event in issued}
    for call in found.values():
        case = Case(call, first[call.pk])
        if call.regime in OF_TRADES:
            case.reasons = ("it was made from a day's trades",)
        elif call.issued_at < since:
            case.reasons = (f"it was issued before {since:%Y-%m-%d %H:%M} UTC",)
        yield case


class _Walk:
    """What is known after each sweep."""

    def __init__(self, otherwise: Otherwise, valued_at: datetime, cases: list[Case]) -> None:
        self.otherwise, self.valued_at, self.cases = otherwise, valued_at, cases
        self.missed: dict[tuple[int, str, datetime], Missed] = {}
        self._running: dict[tuple[int, str], Missed] = {}
        self._settled: set[int] = set()
        self._by_key: dict[tuple[int, str], list[Case]] = {}
        for case in cases:
            self._by_key.setdefault((case.call.account_id, case.call.regime), []).append(case)

    def through(self, past: Sweep) -> None:
        """One sweep: judge the calls it issued, notice what it would have called besides."""
        self.settle_sales(before=past.at)
        undone = self.undone()
        wanted = {account for account, _ in self._by_key} | {account for account, _ in self._running}
        short_then = self._short_then(past)
        for seen in hindsight.of_sweep(past, self.otherwise, wanted=wanted, undone=undone):
            for (account, regime), cases in self._by_key.items():
                if account in seen.covered:
                    for case in cases:
                        _judge(case, past, seen.figures.get((account, regime)))
            self._notice(past, seen.figures, short_then)
            for key in [key for key in self._running if key[0] in seen.covered]:
                if not _asked(seen.figures.get(key)):
                    del self._running[key]

    def settle_sales(self, *, before: datetime) -> None:
        """Value what was sold before this instant, plan by plan in the order they were proposed."""
        for plan in oversold.plans(before, [case.call.pk for case in self.cases]):
            if plan.pk not in self._settled:
                self._settled.add(plan.pk)
                (case,) = [case for case in self.cases if case.call.pk == plan.call_id]
                case.sales += oversold.sales(
                    plan, otherwise=self.otherwise, undone=self.undone(), valued_at=self.valued_at
                )

    def undone(self) -> dict[int, dict[int, Decimal]]:
        """What has been sold beyond the need so far, to be put back, by account and instrument."""
        put_back: dict[int, dict[int, Decimal]] = {}
        for case in self.cases:
            for sale in case.sales:
                mine = put_back.setdefault(sale.fill.account_id, {})
                for instrument, quantity in sale.put_back.items():
                    mine[instrument] = mine.get(instrument, ZERO) + quantity
        return put_back

    def _short_then(self, past: Sweep) -> frozenset[tuple[int, str]]:
        """(account, regime) that the sweep itself found in deficit: nothing it left uncalled is for the corrections."""
        found = Measure.objects.filter(assessment__sweep=past, deficit__gt=0)
        return frozenset(found.values_list("assessment__account_id", "regime"))

    def _notice(
        self, past: Sweep, figures: Mapping[tuple[int, str], Figures], short_then: frozenset[tuple[int, str]]
    ) -> None:
        for (account, regime), each in figures.items():
            amount = _asked(each)
            if not amount or regime in OF_TRADES:
                continue
            if self._is_called(account, regime, past.at):
                self._running.pop((account, regime), None)
                continue
            running = self._running.get((account, regime))
            if running:
                running.last_at, running.most = past.at, max(running.most, amount)
            elif (account, regime) not in short_then:
                new = Missed(account, regime, each.currency, past.at, past.at, amount, amount)
                self._running[account, regime] = self.missed[account, regime, past.at] = new

    def _is_called(self, account: int, regime: str, at: datetime) -> bool:
        return any(_was_open(case.call, at) for case in self._by_key.get((account, regime), ()))


def _was_open(call: MarginCall, at: datetime) -> bool:
    return call.issued_at <= at and (call.closed_at is None or at < call.closed_at)


def _asked(figures: Figures | None) -> Decimal:
    """What a call would ask; zero where none would be made, or where nothing can be measured."""
    if figures is None or figures.amount is None or figures.status < Status.DEFICIT:
        return ZERO
    return figures.amount


def _judge(case: Case, past: Sweep, figures: Figures | None) -> None:
    """Compare a call with what one sweep would have found."""
    call = case.call
    if call.regime in OF_TRADES:
        return
    if call.issued_at == past.at:
        if figures is not None and figures.reasons:
            case.due, case.reasons = None, figures.reasons
        else:
            case.due, case.reasons = _asked(figures), ()
    elif case.due == 0 and case.due_later is None and _was_open(call, past.at) and _asked(figures):
        case.due_later = (past.at, _asked(figures))


def table(report: Report) -> Iterable[list[object]]:
    """The report as rows of a sheet, one for each call and, below it, for each sale beyond the need."""
    yield [
        *("account", "client", "call", "regime", "currency", "issued_at", "verdict", "called", "due", "too_much"),
        *("sold", "needed", "instrument", "sold_at", "fair_price", "price_now", "loss_then", "loss_now", "restitution"),
        "remarks",
    ]
    for case in report.cases:
        call = case.call
        head: list[object] = [call.account.code, call.account.client.code, call.number, call.regime, call.currency]
        issued: list[object] = [call.issued_at.isoformat(), case.verdict.value, case.called, case.due, case.too_much]
        yield [*head, *issued, *[""] * 9, "; ".join(case.reasons) or _since(case)]
        for sale in case.sales:
            sold: list[object] = [sale.fill.quantity, sale.needed, sale.code, sale.fill.price]
            losses: list[object] = [sale.fair_price, sale.price_now, sale.loss_then, sale.loss_now, sale.restitution]
            yield [*head, "", "sale", "", "", "", *sold, *losses, "; ".join(sale.reasons)]
    for missed in report.missed:
        head = [missed.account_id, "", "", missed.regime, missed.currency, missed.first_at.isoformat(), "missed"]
        yield [*head, "", missed.amount, *[""] * 10, f"until {missed.last_at.isoformat()}, at most {missed.most}"]


def _since(case: Case) -> str:
    return f"due since {case.due_later[0].isoformat()}: {case.due_later[1]}" if case.due_later else ""
