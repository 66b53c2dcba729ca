"""Play a trial's acts through the rooms' doors, in the order of their simulated instants."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal

from accounts import cash, positions
from accounts.models import Account
from backoffice.trial import acts, house
from backoffice.trial.acts import Act, Opens
from margin import approvals, booking, calls, liquidation, policies, sweep
from margin.models import MarginCall, Plan
from margin.workflow import Cause
from market import actions, calendars, quotes
from market.models import CorporateAction, HeldQuote, Instrument, Quote
from notifications import notices

CENT = Decimal("0.01")
SETTLEMENT_DAYS = 3  # of US securities from 1995-06-07 to 2017-09-04 (17 CFR 240.15c6-1)


QUIET = {"evaluated", "unpriced", "call.amount_changed"}  # counts of a sweep after which nobody is told or asked


@dataclass
class Stage:
    """What the acts are played on: the staff, the opening prices, and whether anybody waits for news or a decision.

    Most of 1,440 minutes bring neither, and need not be asked.
    """

    staff: house.Staff
    opens: Opens
    has_news: bool = False
    has_plans: bool = False


def play(timeline: Iterable[Act], stage: Stage) -> None:
    """Carry out every act at its instant; of one instant in the order given."""
    for act in sorted(timeline, key=lambda act: act.at):
        carry_out(act, stage)


def carry_out(act: Act, stage: Stage) -> None:
    """One act, through the door of the room it belongs to."""
    match act:
        case acts.Quotes():
            _quote(act)
        case acts.Sweep():
            _sweep(act, stage)
        case acts.Tell():
            _tell(act.at, stage)
        case acts.Confirm():
            held = HeldQuote.objects.get(instrument__code=act.instrument, state=HeldQuote.State.HELD)
            quotes.confirm(held, at=act.at, person=stage.staff.users["operations"])
        case acts.Deposit():
            reference = f"{act.account}-{act.at:%Y%m%d%H%M}"
            cash.deposit(
                _account(act.account), currency="USD", amount=act.amount, source="bank",
                external_reference=reference, at=act.at,
            )  # fmt: skip
        case acts.Trade():
            _trade(act, stage)
        case acts.EnterWriteOff() | acts.ApproveActions():
            _corporate_action(act, stage)
        case acts.Escalate():
            calls.escalate(
                _call(act.account, act.regime), cause=Cause.PERSON, at=act.at,
                actor=stage.staff.actors["supervisor"], reason=act.reason,
            )  # fmt: skip
        case acts.Propose():
            operations = stage.staff.actors["operations"]
            liquidation.propose(_call(act.account, act.regime), at=act.at, actor=operations, reason="not paid")
            stage.has_plans = True
        case acts.Approve():
            _approve(act.at, stage)
        case acts.Execute():
            _execute(act.at, stage)


def _account(code: str) -> Account:
    return Account.objects.get(code=code)


def _call(account: str, regime: str) -> MarginCall:
    """The open call of an account in a regime."""
    return MarginCall.objects.open().get(account__code=account, regime=regime)


def _quote(act: acts.Quotes) -> None:
    refused = quotes.record(act.batch, at=act.at).refused
    if refused:
        raise house.TrialError(f"a recorded price was refused at {act.at}: {refused[0]}")


def _sweep(act: acts.Sweep, stage: Stage) -> None:
    done = sweep.run(act.kind, at=act.at)
    if done is None or done.state != done.State.COMPLETE:
        raise house.TrialError(f"the {act.kind} sweep of {act.at} is not complete: {done and done.counts}")
    stage.has_news |= not QUIET.issuperset(done.counts)
    stage.has_plans |= "plans proposed" in done.counts


def _tell(at: datetime, stage: Stage) -> None:
    if stage.has_news:
        notices.prepare(at=at)
        notices.send(at=at, limit=500)
        stage.has_news = False


def _trade(act: acts.Trade, stage: Stage) -> None:
    instrument = Instrument.objects.get(code=act.instrument)
    day = act.at.astimezone(acts.NEW_YORK).date()
    days = [on for on in calendars.business_days("US-SETTLE").dates if on > day]
    positions.apply_fill(
        _account(act.account),
        instrument=instrument,
        quantity=act.quantity,
        price=stage.opens[act.instrument, day],
        source="exchange",
        external_reference=f"{act.account}-{act.instrument}-{act.at:%Y%m%d%H%M}",
        traded_at=act.at,
        settles_on=days[SETTLEMENT_DAYS - 1],
        at=act.at,
    )


def _corporate_action(act: acts.EnterWriteOff | acts.ApproveActions, stage: Stage) -> None:
    if isinstance(act, acts.EnterWriteOff):
        actions.propose(
            kind=CorporateAction.Kind.WRITE_OFF,
            instrument=Instrument.objects.get(code=act.instrument),
            effective_at=act.effective_at,
            at=act.at,
            person=stage.staff.users["operations"],
            reason=act.reason,
        )
        return
    for action in CorporateAction.objects.filter(approved_at=None, rejected_at=None):
        actions.approve(action, at=act.at, person=stage.staff.users["risk"])
    positions.apply_approved_actions(at=act.at)


def _approve(at: datetime, stage: Stage) -> None:
    if not stage.has_plans:
        return
    for plan in Plan.objects.filter(state=Plan.State.PROPOSED, expires_at__gte=at).order_by("pk"):
        approvals.approve(plan, at=at, actor=stage.staff.actors["supervisor"])
        if plan.proposed_by_id is None:
            approvals.approve(plan, at=at, actor=stage.staff.actors["risk"])


def _execute(at: datetime, stage: Stage) -> None:
    if not stage.has_plans:
        return
    stage.has_plans, stage.has_news = False, True
    day = at.astimezone(acts.NEW_YORK).date()
    for plan in Plan.objects.filter(state=Plan.State.APPROVED).select_related("call__policy_version").order_by("pk"):
        fee_rate = policies.read(plan.call.policy_version).terms.fee_rate
        for line in plan.lines.select_related("instrument"):
            price = stage.opens.get((line.instrument.code, day)) or Quote.objects.get(pk=line.instrument_id).mark
            fee = (abs(line.quantity) * price * fee_rate).quantize(CENT, ROUND_HALF_EVEN)
            booking.record_fill(
                line,
                quantity=line.quantity,
                price=price,
                fee=fee,
                source="exchange",
                external_reference=f"plan-{plan.pk}-{line.pk}",
                at=at,
                actor=stage.staff.actors["operations"],
            )
