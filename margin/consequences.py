"""What calls and cover do to rights: compares what a policy wants with what is placed, and settles the difference.

It may run at any time, twice or late, with the same end: each cause places its restrictions once, however often it is
looked at, and what was missed after a crash is found by the next run. Sweeps call it for the accounts they moved, the
clock (`margin.restrict`) for all of them.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Exists, F, OuterRef, Prefetch, Q

from accounts.models import Fill
from margin import chain, policies, restrictions, strikes
from margin import due as dues
from margin.actors import Actor
from margin.models import Assessment, Cure, MarginCall, Measure, PlanFill, PolicyVersion, Restriction, Strike, Sweep
from margin.policies import Reading
from margin.policy_terms import RegimeTerms
from margin.restriction_terms import RestrictionTerms, Rung, StrikeKind
from margin.restrictions import Lift, Placement
from margin.strikes import Circumstances, Paid
from margin.workflow import Cause, Resolution, State
from market import calendars

CHUNK = 100  # accounts locked at once
REMEMBERED = timedelta(days=400)  # beyond every rolling year and every 90 days
CALL, RULE = Restriction.Origin.CALL.value, Restriction.Origin.RULE.value
TRADED = (Cure.Kind.SALE, Cure.Kind.PURCHASE, Cure.Kind.OPTION_CLOSE, Cure.Kind.COLLATERAL_SALE)
Judged = tuple[MarginCall, StrikeKind, Reading]


@dataclass(frozen=True)
class Difference:
    """What must be placed, lifted and recorded so that the registers say what the policies want."""

    placements: tuple[Placement, ...] = ()
    lifts: tuple[Lift, ...] = ()
    strikes: tuple[Judged, ...] = ()

    @property
    def account_ids(self) -> list[int]:
        placed = {one.account_id for one in self.placements}
        lifted = {one.restriction.account_id for one in self.lifts}
        return sorted(placed | lifted | {call.account_id for call, _, _ in self.strikes})


def settle(
    *, at: datetime, actor: Actor, account_ids: Sequence[int] | None = None, sweep: Sweep | None = None
) -> dict[str, int]:
    """Place, lift and record what is due at `at`, of these accounts or of all; counts by name.

    With `sweep`, rungs of cover follow what it measured. The difference is found first and again under the lock.
    """
    counts: Counter[str] = Counter()
    differing = _difference(account_ids, at, sweep).account_ids
    for start in range(0, len(differing), CHUNK):
        chunk = differing[start : start + CHUNK]
        counts.update(chain.in_transaction(_settling(chunk, at, actor, sweep), is_patient=actor.is_system))
    return {name: count for name, count in counts.items() if count}


def _settling(ids: Sequence[int], at: datetime, actor: Actor, sweep: Sweep | None) -> Callable[[], dict[str, int]]:
    def work() -> dict[str, int]:
        chain.lock(ids)
        found = _difference(ids, at, sweep)
        restrictions.write(found.placements, found.lifts, at=at, actor=actor)
        for call, kind, reading in found.strikes:
            strikes.record(call, kind=kind, schedules=reading.terms.strikes, at=at, actor=actor)
        return {
            "restrictions placed": len(found.placements),
            "restrictions lifted": len(found.lifts),
            "strikes": len(found.strikes),
        }

    return work


def accounts_by_cover() -> set[int]:
    """Accounts under a rung of cover: sweeps keep measuring them, or nobody would see them recover."""
    under = Restriction.objects.unlifted().filter(source__startswith="cover:")
    return set(under.order_by().values_list("account_id", flat=True))


def _difference(account_ids: Sequence[int] | None, at: datetime, sweep: Sweep | None) -> Difference:
    of = Q() if account_ids is None else Q(account__in=list(account_ids))
    readings = _readings()
    unlifted = list(Restriction.objects.unlifted().filter(of).select_related("call").order_by("pk"))
    if not readings and not unlifted:
        return Difference()
    lifts = [Lift(row, why) for row in unlifted if (why := _why_over(row, at))]
    wanted = [one for call, reading in _calls(of, readings) for one in _of_call(call, reading, at)]
    placements = _not_yet(wanted)
    if sweep is not None:
        rungs = _rungs(account_ids, readings, sweep, unlifted)
        lifting = {lift.restriction.pk for lift in lifts}
        standing = [row for row in unlifted if row.source.startswith("cover:") and row.pk not in lifting]
        placements += _up(rungs, standing)
        lifts += _down(rungs, standing)
    return Difference(tuple(placements), tuple(lifts), tuple(_judged(of, readings, at)))


def _readings() -> dict[int, Reading]:
    """The policy versions that say anything of rights or strikes (one query; readings are kept)."""
    speaking = Q(terms__regimes__contains=[{"restrictions": {}}]) | Q(terms__has_key="strikes")
    versions = PolicyVersion.objects.exclude(approved_by=None).filter(speaking).select_related("policy")
    return {version.pk: policies.read(version) for version in versions}


# --- of calls ---------------------------------------------------------------------------------------


def _why_over(row: Restriction, at: datetime) -> str:
    """Why a restriction is to be lifted now; empty where it stays."""
    if row.ends_at is not None and row.ends_at <= at:
        return "expired"
    call = row.call
    if call is None or row.origin not in (CALL, RULE):
        return ""
    if call.state == State.CANCELLED or (not call.is_open and row.ends_at is None):
        return f"{call} is {call.state}"
    return ""


def _calls(of: Q, readings: Mapping[int, Reading]) -> Iterator[tuple[MarginCall, Reading]]:
    """Open calls, and those whose deadline passed and left nothing yet, under policies that say something."""
    noted = Restriction.objects.filter(call=OuterRef("pk"), source__endswith=":expiry")
    expired = Q(escalation_cause=Cause.DEADLINE) & ~Q(state=State.CANCELLED) & ~Exists(noted)
    chosen = MarginCall.objects.filter(of, policy_version__in=list(readings))
    for call in chosen.filter(Q(state__in=(State.ISSUED, State.ESCALATED)) | expired).order_by("pk"):
        yield call, readings[call.policy_version_id]


def _of_call(call: MarginCall, reading: Reading, at: datetime) -> list[Placement]:
    """Every restriction that the call wants at `at`."""
    terms = reading.terms.regime(call.regime).restrictions
    if terms is None:
        return []
    name = f"{call.get_regime_display()} call {call}"
    wanted = _while_open(call, terms, name, at) if call.is_open else []
    expiry = terms.on_expiry
    if expiry is not None and call.escalation_cause == Cause.DEADLINE and call.escalated_at is not None:
        ends_at = call.escalated_at + timedelta(days=expiry.days)
        reason = f"{name} was not met by its deadline: {expiry.days} days"
        if ends_at > at:
            wanted.append(_placement(call, expiry.effect, RULE, f"call:{call.pk}:expiry", reason, ends_at))
    return wanted


def _while_open(call: MarginCall, terms: RestrictionTerms, name: str, at: datetime) -> list[Placement]:
    effects = list(terms.on_issue)
    if call.state == State.ESCALATED:
        effects += [effect for effect in terms.on_escalate if effect not in effects]
    wanted = [_placement(call, effect, CALL, f"call:{call.pk}", f"{name} is open") for effect in effects]
    if terms.overdue is not None and at >= _due(terms.overdue.clock, call.issued_at):
        reason = f"{name} is open beyond {terms.overdue.clock.count} {terms.overdue.clock.unit.replace('_', ' ')}"
        source = f"call:{call.pk}:overdue"
        wanted += [_placement(call, effect, RULE, source, reason) for effect in terms.overdue.effects]
    return wanted


def _placement(
    call: MarginCall, effect: str, origin: str, source: str, reason: str, ends_at: datetime | None = None
) -> Placement:
    return Placement(call.account_id, effect, origin, source, reason, ends_at, call.pk)


def _due(term: dues.Term, issued_at: datetime) -> datetime:
    if not term.calendar:
        return dues.due(term, base_at=issued_at).at
    days = calendars.business_days(term.calendar)
    return dues.due(
        term,
        base_at=issued_at,
        business_days=days.dates,
        known_from=days.known_from,
        known_until=days.known_until,
    ).at


def _not_yet(wanted: Iterable[Placement]) -> list[Placement]:
    """Those that were never placed: a cause places once, and what was waived stays waived."""
    listed = list(wanted)
    calls = {one.call_id for one in listed}
    known = Restriction.objects.filter(call__in=calls).values_list("account_id", "effect", "source")
    placed = set(known)
    return [one for one in listed if one.key not in placed]


# --- of cover ---------------------------------------------------------------------------------------


def _rungs(
    account_ids: Sequence[int] | None, readings: Mapping[int, Reading], sweep: Sweep, unlifted: Sequence[Restriction]
) -> dict[tuple[int, str], tuple[str, ...]]:
    """(account, source) → effects of the rung that the sweep found it on. Unpriced accounts have no measures: they
    stay on the rung where they are (law 3). Nor does a shard that is taken again late move an account that a later
    sweep has measured."""
    laddered = [pk for pk, reading in readings.items() if any(_rungs_of(one) for one in reading.terms.regimes)]
    standing = [row.account_id for row in unlifted if row.source.startswith("cover:")]
    seen = Q(assessment__policy_version__in=laddered) | Q(assessment__account__in=standing)
    later = Assessment.objects.filter(account=OuterRef("assessment__account"), at__gt=sweep.at)
    measures = Measure.objects.filter(seen, ~Exists(later), assessment__sweep=sweep).select_related("assessment")
    if account_ids is not None:
        measures = measures.filter(assessment__account__in=list(account_ids))
    found = {}
    for measure in measures:
        terms = _restrictions(readings.get(measure.assessment.policy_version_id or 0), measure.regime)
        effects = terms.rung(measure.cover) if terms and measure.cover is not None else ()
        found[measure.assessment.account_id, f"cover:{measure.regime}"] = effects
    return found


def _rungs_of(regime: RegimeTerms) -> tuple[Rung, ...]:
    return regime.restrictions.cover if regime.restrictions else ()


def _restrictions(reading: Reading | None, regime: str) -> RestrictionTerms | None:
    return None if reading is None else reading.terms.regime(regime).restrictions


def _up(rungs: Mapping[tuple[int, str], tuple[str, ...]], standing: Sequence[Restriction]) -> list[Placement]:
    placed = {(row.account_id, row.effect, row.source) for row in standing}
    wanted = [
        Placement(account_id, effect, RULE, source, f"{source.removeprefix('cover:')} cover is below a level")
        for (account_id, source), effects in rungs.items()
        for effect in effects
    ]
    return [one for one in wanted if one.key not in placed]


def _down(rungs: Mapping[tuple[int, str], tuple[str, ...]], standing: Sequence[Restriction]) -> list[Lift]:
    return [
        Lift(row, "cover is above the level again")
        for row in standing
        if row.effect not in rungs.get((row.account_id, row.source), (row.effect,))
    ]


# --- of closed calls --------------------------------------------------------------------------------


def _judged(of: Q, readings: Mapping[int, Reading], at: datetime) -> Iterator[Judged]:
    """Closed calls that earn a strike which a schedule of their policy counts and which is not recorded yet."""
    versions = [pk for pk, reading in readings.items() if reading.terms.strikes]
    if not versions:
        return
    is_suspect = Q(escalated_at__isnull=False) | Q(resolution__in=(Resolution.SALE, Resolution.MIXED))
    closed = MarginCall.objects.filter(
        of, is_suspect, ~Exists(Strike.objects.filter(call=OuterRef("pk"))), policy_version__in=versions,
        state__in=(State.MET, State.LIQUIDATED), closed_at__gte=at - REMEMBERED,
    )  # fmt: skip
    settled = Cure.objects.filter(state=Cure.State.SETTLED).select_related("movement", "fill", "adjustment")
    filled = PlanFill.objects.filter(line__plan__call=OuterRef("pk"))
    listed = closed.annotate(has_plan_fills=Exists(filled)).prefetch_related(Prefetch("cures", settled))
    for call in listed.order_by(F("closed_at"), "pk"):
        reading = readings[call.policy_version_id]
        kind = strikes.judge(call, _circumstances(call, reading))
        if kind and any(one.counts(kind=kind, regime=call.regime) for one in reading.terms.strikes):
            yield call, kind, reading


def _circumstances(call: Any, reading: Reading) -> Circumstances:
    clock = reading.clocks[call.regime]
    paid = tuple(_paid(cure) for cure in call.cures.all())
    days = calendars.business_days(clock.calendar).dates if clock.calendar and paid else ()
    return Circumstances(
        paid=paid,
        has_plan_fills=call.has_plan_fills,
        assigned_on=_assigned_on(call, reading, clock.zone) if any(one.is_trade for one in paid) else frozenset(),
        business_days=days,
        zone=clock.zone,
    )


def _paid(cure: Cure) -> Paid:
    source = cure.movement or cure.adjustment
    came_at = cure.fill.traded_at if cure.fill else source.effective_at if source else cure.settled_at
    if came_at is None:
        raise ValueError(f"cure {cure.pk} is settled without an instant")
    return Paid(came_at, cure.release, cure.kind in TRADED)


def _assigned_on(call: MarginCall, reading: Reading, zone: str) -> frozenset[date]:
    sources = {source for schedule in reading.terms.strikes for source in schedule.assignment_sources}
    since = call.issued_at - timedelta(days=14)
    assigned = Fill.objects.filter(account=call.account_id, source__in=sources, traded_at__gte=since, reverses=None)
    return frozenset(
        traded_at.astimezone(ZoneInfo(zone)).date() for traded_at in assigned.values_list("traded_at", flat=True)
    )
