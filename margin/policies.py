"""Margin policies: published by one person, approved by another, in force from an instant, never edited.

A policy's terms are JSON (docs/policy.schema.json): which sweep covers it, and per regime which instruments are
measured by which methodology, when a call is due, what cures it, and how much is too little to call.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from django.db import transaction
from django.db.models import Max

from accounts.models import Account
from margin import due, workflow
from margin.actors import Actor
from margin.calls import Refused
from margin.engine import columns, cure_options, methodologies, regulation, terms, trade_calls
from margin.models import Policy, PolicyVersion
from margin.restriction_terms import RestrictionTerms, StrikeSchedule
from market.models import Calendar

SWEEPS = ("securities", "crypto")
ONE = Decimal(1)
NAMING = ("parameters", "feeds", "sensitivities")  # keys of terms that name a published document


@dataclass(frozen=True)
class PartTerms:
    """A part of a regime, as written in its JSON: a methodology that measures groups, and the kinds it may take."""

    methodology: str
    measure: str
    kinds: tuple[str, ...]
    terms: Mapping[str, Any]


@dataclass(frozen=True)
class RegimeTerms:
    """One regime of a policy, as written in its JSON."""

    regime: str
    methodology: str
    measure: str
    kinds: tuple[str, ...]
    terms: Mapping[str, Any]
    clock: Mapping[str, Any]
    at_or_beyond: bool = False
    de_minimis: Decimal = Decimal(0)
    tolerance: Decimal = Decimal(0)
    watch_rate: Decimal | None = None
    warning_rate: Decimal | None = None
    clear_rate: Decimal = Decimal("1.02")
    warning_probability: Decimal | None = None
    restore_rate: Decimal = ONE
    severe_rate: Decimal | None = None
    restores_initial: bool = False
    market_cures: bool = True
    dwell_seconds: int = 0
    increase_rate: Decimal = Decimal("0.05")
    change_rate: Decimal = Decimal("0.01")
    stacking: str = workflow.Stacking.CUMULATIVE.value
    warns: bool = True
    proposes: bool = False
    reminder_minutes: tuple[int, ...] = ()
    remind_every_minutes: int = 0
    ladder_minutes: tuple[int, ...] = ()
    claim_minutes: int = 120
    hold_minutes: int = 1440
    dispute_stops_clock: bool = False
    reversal_minutes: int = 1
    delivery_minutes: int = 15
    second_approval_above: Decimal = Decimal(0)
    restrictions: RestrictionTerms | None = None
    cures: tuple[str, ...] = ()
    parts: tuple[PartTerms, ...] = ()

    def __post_init__(self) -> None:
        if self.regime not in [regime.value for regime in workflow.Regime]:
            raise ValueError(f"regime {self.regime!r} is not one of {', '.join(workflow.Regime)}")
        if self.clear_rate < ONE:
            raise ValueError("clear_rate must be at least 1: a warning clears above the level that raised it")
        if self.warning_probability is not None and not 0 < self.warning_probability < ONE:
            raise ValueError("warning_probability must lie between 0 and 1")
        amounts = (self.de_minimis, self.tolerance, self.increase_rate, self.change_rate, self.second_approval_above)
        if min(amounts) < 0 or self.dwell_seconds < 0:
            raise ValueError("de_minimis, tolerance, the rates of change and dwell_seconds must not be negative")
        if self.stacking not in [stacking.value for stacking in workflow.Stacking]:
            raise ValueError(f"stacking {self.stacking!r} is not one of {', '.join(workflow.Stacking)}")
        minutes = (*self.reminder_minutes, self.remind_every_minutes)
        if min(minutes) < 0 or list(self.ladder_minutes) != sorted(set(self.ladder_minutes)):
            raise ValueError("minutes must not be negative, and those of the ladder rise")
        if min(self.claim_minutes, self.hold_minutes, self.reversal_minutes, self.delivery_minutes) < 1:
            raise ValueError("claim, hold, reversal and delivery minutes must be at least 1")
        unknown = sorted(set(self.cures) - set(cure_options.WAYS))
        if unknown:
            raise ValueError(f"cures: {unknown[0]!r} is not one of {', '.join(cure_options.WAYS)}")
        rungs = self.restrictions.cover if self.restrictions else ()
        if rungs and (self.watch_rate is None or self.watch_rate < rungs[0].below):
            raise ValueError("watch_rate must reach the highest rung of restrictions.cover, or no sweep would see it")

    @property
    def is_of_trades(self) -> bool:
        """Whether trades make its calls (`margin.trades`): no sweep measures it."""
        return self.methodology == trade_calls.METHODOLOGY

    @property
    def rule(self) -> workflow.Rule:
        """The part that decides."""
        return workflow.Rule(
            de_minimis=self.de_minimis,
            tolerance=self.tolerance,
            increase_rate=self.increase_rate,
            dwell=timedelta(seconds=self.dwell_seconds),
            warns=self.warns,
            proposes=self.proposes,
            change_rate=self.change_rate,
            stacking=workflow.Stacking(self.stacking),
            reminders=tuple(timedelta(minutes=count) for count in self.reminder_minutes),
            remind_every=timedelta(minutes=self.remind_every_minutes),
            ladder=tuple(timedelta(minutes=count) for count in self.ladder_minutes),
        )


@dataclass(frozen=True)
class StormTerms:
    """When new calls wait for a person: more than so large a share of the accounts at once, or so large a share of the
    calls explained by one instrument, but never fewer than `least_calls`; and for how long they wait."""

    least_calls: int = 20
    accounts_rate: Decimal = Decimal("0.10")
    instrument_rate: Decimal = Decimal("0.80")
    minutes: int = 15

    def __post_init__(self) -> None:
        if self.least_calls < 2 or self.minutes < 1:
            raise ValueError("storm: least_calls must be at least 2 and minutes at least 1")
        if not (0 < self.accounts_rate <= ONE and 0 < self.instrument_rate <= ONE):
            raise ValueError("storm: accounts_rate and instrument_rate must be above 0 and at most 1")


@dataclass(frozen=True)
class ChanceTerms:
    """How the chance of a call is estimated (docs/warnings.md): from joint closes of the last calendar days, else from
    annual volatilities by kind and one common factor."""

    horizon_days: int = 5
    history_days: int = 365
    least_days: int = 60
    worlds: int = 200
    correlation: Decimal = Decimal("0.5")
    volatilities: Mapping[str, Decimal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (1 <= self.horizon_days <= 60 and 20 <= self.worlds <= 2000):
            raise ValueError("chances: horizon_days must be from 1 to 60 and worlds from 20 to 2000")
        if not self.horizon_days + 19 <= self.least_days <= self.history_days <= 3650:
            raise ValueError("chances: least_days must be 19 above horizon_days or more, and within history_days")
        if not 0 <= self.correlation <= ONE:
            raise ValueError("chances: correlation must lie between 0 and 1")
        if any(kind not in columns.KINDS or not 0 < each <= 10 for kind, each in self.volatilities.items()):
            raise ValueError("chances: volatilities are by kind, annual, above 0 and at most 10")


@dataclass(frozen=True)
class PolicyTerms:
    """A policy version's JSON, read strictly."""

    sweep: str
    regimes: tuple[RegimeTerms, ...]
    calendar: str = ""
    fee_rate: Decimal = Decimal(0)
    plan_minutes: int = 15
    strikes: tuple[StrikeSchedule, ...] = ()
    storm: StormTerms | None = None
    reconcile_rate: Decimal = Decimal("0.10")
    chances: ChanceTerms | None = None

    def __post_init__(self) -> None:
        if self.chances is None and any(regime.warning_probability is not None for regime in self.regimes):
            raise ValueError("warning_probability needs the policy's chances, or there is no probability to go by")
        if not 0 < self.reconcile_rate <= ONE:
            raise ValueError("reconcile_rate must be above 0 and at most 1")
        if self.sweep not in SWEEPS:
            raise ValueError(f"sweep {self.sweep!r} is not one of {', '.join(SWEEPS)}")
        if not self.regimes:
            raise ValueError("at least one regime is needed")
        names = [regime.regime for regime in self.regimes]
        if len(set(names)) != len(names):
            raise ValueError("each regime may be stated once")
        if all(regime.is_of_trades for regime in self.regimes):
            raise ValueError("at least one regime must be measured by sweeps")
        if not 0 <= self.fee_rate < ONE:
            raise ValueError("fee_rate must be from 0 to below 1")
        if self.plan_minutes <= 0:
            raise ValueError("plan_minutes must be positive")

    def regime(self, name: str) -> RegimeTerms:
        return next(regime for regime in self.regimes if regime.regime == name)


@dataclass(frozen=True)
class Reading:
    """A policy version ready for use: its terms, the engine's columns and the due-date rules by regime."""

    version_id: int
    terms: PolicyTerms
    policy: columns.Policy
    clocks: Mapping[str, due.Rule] = field(default_factory=dict)
    of_trades: Mapping[str, trade_calls.Terms] = field(default_factory=dict)
    """The terms of the regimes whose calls come from trades."""


class NoPolicy(LookupError):
    """No approved policy governs the account at that instant."""


class BadTerms(ValueError):
    """The terms are not a policy; the message names the key."""


def parse(document: Any, *, code: str = "policy", version_id: int = 0) -> Reading:
    """Read a policy's terms strictly. Raises BadTerms naming the key and what is wrong with it."""
    try:
        stated = terms.read(PolicyTerms, document)
        clocks = {regime.regime: _clock(regime) for regime in stated.regimes}
        rules = tuple(_engine_rule(regime) for regime in stated.regimes if not regime.is_of_trades)
        of_trades = {regime.regime: _of_trades(regime, rules) for regime in stated.regimes if regime.is_of_trades}
    except ValueError as error:
        raise BadTerms(f"{code}: {error}") from None
    return Reading(version_id, stated, columns.Policy(code, rules), clocks, of_trades)


def parameters_of(readings: Iterable[Reading]) -> set[str]:
    """The published parameters that the terms of these policies name."""
    regimes = [regime for one in readings for regime in one.terms.regimes]
    stated = [regime.terms for regime in regimes] + [part.terms for regime in regimes for part in regime.parts]
    return {name for terms in stated for name in _named(terms)}


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in NAMING and isinstance(inner, str) and inner:
                yield inner
            yield from _named(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _named(inner)


def _clock(regime: RegimeTerms) -> due.Rule:
    try:
        return due.Rule.from_json(regime.clock)
    except ValueError as error:
        raise ValueError(f"{regime.regime}.clock: {error}") from None


def _of_trades(regime: RegimeTerms, measured: Sequence[columns.RegimeRule]) -> trade_calls.Terms:
    """The terms of a regime of trades; ValueError naming the key."""
    if regime.regime != regime.measure:
        raise ValueError(f"{regime.regime}.measure: calls by {regime.measure!r} belong to the regime of that name")
    if regime.parts:
        raise ValueError(f"{regime.regime}.parts: trades are measured by no parts")
    try:
        stated = trade_calls.terms(regime.measure, regime.terms)
        if stated.past_due_clock:
            due.Rule.from_json(stated.past_due_clock)
    except ValueError as error:
        raise ValueError(f"{regime.regime}.terms: {error}") from None
    if regime.measure == workflow.Regime.REG_T and not regulation.is_governed(columns.Policy("", tuple(measured))):
        raise ValueError(f"{regime.regime}: no regime of this policy is measured by reg_t, so there is no SMA to go by")
    if stated.of and stated.of not in [rule.regime for rule in measured]:
        raise ValueError(f"{regime.regime}.terms.of: no regime {stated.of!r} is measured by this policy")
    return stated


def _engine_rule(regime: RegimeTerms) -> columns.RegimeRule:
    stated = _terms(regime, methodologies.METHODOLOGIES, regime.regime)
    parts = tuple(
        columns.PartRule(
            part.methodology,
            part.measure,
            _terms(part, methodologies.PARTS, f"{regime.regime}.parts[{k}]"),
            part.kinds,
        )
        for k, part in enumerate(regime.parts)
    )
    rule = columns.RegimeRule(
        regime=regime.regime,
        methodology=regime.methodology,
        measure=regime.measure,
        terms=stated,
        kinds=regime.kinds,
        at_or_beyond=regime.at_or_beyond,
        de_minimis=regime.de_minimis,
        watch_rate=regime.watch_rate,
        warning_rate=regime.warning_rate,
        restore_rate=regime.restore_rate,
        severe_rate=regime.severe_rate,
        restores_initial=regime.restores_initial,
        parts=parts,
    )
    methodologies.check(rule)  # now, not in the first sweep: a rule that cannot be computed would stop every account
    return rule


def _terms(stated: RegimeTerms | PartTerms, modules: Sequence[Any], where: str) -> Any:
    """The methodology's own Terms from the JSON; ValueError naming the key."""
    found = {module.CODE: module for module in modules}
    if stated.methodology not in found:
        raise ValueError(f"{where}.methodology: {stated.methodology!r} is not one of {', '.join(found)}")
    try:
        return found[stated.methodology].Terms.from_json(stated.terms)
    except ValueError as error:
        raise ValueError(f"{where}.terms: {error}") from None


def read(version: PolicyVersion) -> Reading:
    """The reading of a stored version; the latest ones are kept, because reading is slower than comparing."""
    return _read(version.pk, str(version), json.dumps(version.terms, sort_keys=True))


@lru_cache(maxsize=64)
def _read(version_id: int, code: str, document: str) -> Reading:
    return parse(json.loads(document), code=code, version_id=version_id)


def publish(
    code: str, *, terms: Mapping[str, Any], effective_at: datetime, at: datetime, actor: Actor, note: str = ""
) -> PolicyVersion:
    """Publish a new version of the policy `code`; it binds nobody until another person approves it."""
    publisher = _risk(actor)
    _check_calendars(code, parse(terms, code=code))
    with transaction.atomic():
        policy, _ = Policy.objects.get_or_create(code=code, defaults={"name": code})
        Policy.objects.select_for_update().get(pk=policy.pk)
        latest = policy.versions.aggregate(latest=Max("number"))["latest"] or 0
        return PolicyVersion.objects.create(
            policy=policy,
            number=latest + 1,
            terms=terms,
            note=note,
            effective_at=effective_at,
            published_by_id=publisher,
            published_at=at,
        )


def _check_calendars(code: str, reading: Reading) -> None:
    """A calendar nobody loaded would leave its calls undated: that is found now, not when the first one falls due."""
    named = {reading.terms.calendar, *(rule.calendar for rule in reading.clocks.values())} - {""}
    missing = sorted(named - set(Calendar.objects.filter(code__in=named).values_list("code", flat=True)))
    if missing:
        raise BadTerms(f"{code}: calendar {missing[0]!r} is not loaded; run manage.py load_calendars {missing[0]}")


def approve(version: PolicyVersion, *, at: datetime, actor: Actor) -> PolicyVersion:
    """Approve a published version. The person who published it cannot."""
    approver = _risk(actor)
    if approver == version.published_by_id:
        raise Refused(f"{actor.name} published {version}; another person must approve it")
    changed = PolicyVersion.objects.filter(pk=version.pk, approved_by=None).update(
        approved_by_id=approver, approved_at=at
    )
    if not changed:
        raise Refused(f"{version} is approved already")
    version.refresh_from_db()
    return version


def _risk(actor: Actor) -> int:
    """The user id of a person of Risk; Refused for anybody else."""
    if actor.role != "Risk" or actor.user_id is None:
        raise Refused(f"{actor.name} ({actor.role or 'no role'}) may not change policies; it takes Risk")
    return actor.user_id


def check_governs(account: Account, stated: Mapping[str, PolicyVersion], *, at: datetime) -> None:
    """Raise NoPolicy where an account is not measured by itself: its agreement has no policy, or it has a lead."""
    if account.margined_with is not None:
        raise NoPolicy(f"account {account} is margined with {account.margined_with}; ask about that one")
    if account.agreement not in stated:
        raise NoPolicy(f"no approved policy {account.agreement!r} is in force for account {account} at {at}")


def governing(account: Account, at: datetime) -> Reading:
    """The reading of the policy that governs the account. Raises NoPolicy."""
    stated = in_force(at)
    check_governs(account, stated, at=at)
    return read(stated[account.agreement])


def in_force(at: datetime) -> dict[str, PolicyVersion]:
    """Policy code → the approved version in force at `at`: the latest effective, then the highest number."""
    versions = (
        PolicyVersion.objects.filter(approved_at__lte=at, effective_at__lte=at)
        .select_related("policy")
        .order_by("policy__code", "-effective_at", "-number")
        .distinct("policy__code")
    )
    return {version.policy.code: version for version in versions}
