"""Margin policies: published by one person, approved by another, in force from an instant, never edited.

A policy's terms are JSON (docs/policy.schema.json): which sweep covers it, and per regime which instruments are
measured by which methodology, when a call is due, what cures it, and how much is too little to call.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.db import transaction
from django.db.models import Max

from accounts.models import Account
from margin import clocks, due, workflow
from margin.actors import Actor
from margin.calls import Refused
from margin.engine import columns, methodologies, regulation, terms, trade_calls
from margin.models import Policy, PolicyVersion
from margin.policy_terms import PartTerms, PolicyTerms, RegimeTerms
from market import calendars

NAMING = ("parameters", "feeds", "sensitivities")  # keys of terms that name a published document


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
    return {name for one in stated for name in terms.named(one, NAMING)}


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
    _check_calendars(code, parse(terms, code=code), max(at, effective_at))
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


def _check_calendars(code: str, reading: Reading, at: datetime) -> None:
    """A calendar that ends too soon would leave calls undated: that is found now, not when the first one is issued."""
    shorter = [trades.past_due_clock for trades in reading.of_trades.values() if trades.past_due_clock]
    try:
        if reading.terms.calendar:
            calendars.find(reading.terms.calendar)
        for rule in (*reading.clocks.values(), *map(due.Rule.from_json, shorter)):
            clocks.check_reach(rule, at=at)
    except LookupError as error:
        raise BadTerms(f"{code}: {error}") from None


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
