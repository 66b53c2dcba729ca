"""What people decide besides calls: gates, books, restrictions, waivers, policies, contacts, held quotes, actions.

One line each. The domain function judges the role, the person and the state; the API and the desk only ask.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Model

from accounts import books, contacts, wishes
from accounts.models import Account, Client, Contact
from margin import (
    calls,
    control_switches,
    gate,
    models,
    policies,
    reconciling,
    restrictions,
    retention,
    strikes,
    workflow,
)
from margin.actors import Actor
from margin.restriction_terms import Effect
from margin.workflow import Verb
from market import actions, guard, quotes, strict, wire
from market.models import CorporateAction, HeldQuote, Instrument


@dataclass(frozen=True)
class Control:
    """One address: on which rows, by which column they are named, who may, what is said and what is done."""

    on: str
    name: str
    label: str
    rows: type[Model]
    key: str
    roles: tuple[str, ...]
    columns: Mapping[str, strict.Column]
    deed: Callable[..., Any]
    lists: str
    makes: bool = False
    """Where there is no row of that name yet, the deed makes it and is given the name."""

    @property
    def address(self) -> str:
        return f"{self.on}/<{'int:id' if self.key == 'pk' else 'path:code'}>/{self.name}/"


def _approve(policy: models.Policy, *, number: int, at: Any, actor: Actor) -> models.PolicyVersion:
    version = policy.versions.filter(number=number).first()
    if version is None:
        raise calls.Refused(f"policy {policy.code} has no version {number}")
    return policies.approve(version, at=at, actor=actor)


def _publish(code: str, **said: Any) -> models.PolicyVersion:
    try:
        return policies.publish(code, **said)
    except policies.BadTerms as wrong:
        raise strict.refuse("terms", str(wrong)) from None


def _place(account: Account, *, effect: str, **said: Any) -> models.Restriction:
    return restrictions.place(account, effect=Effect(effect), **said)


def _decide(waiver: models.Waiver, *, finding: str, **said: Any) -> models.Waiver:
    return strikes.decide(waiver, is_granted=finding == "granted", **said)


def _contact(client: Client, *, at: Any, actor: Actor, **said: Any) -> Contact:
    try:
        return contacts.state(client, by=actor.name, **said)
    except contacts.BadContact as refusal:
        raise calls.Refused(str(refusal)) from None


def keep_last(account: Account, *, keep: str, reason: str, at: Any, actor: Actor) -> Account:
    """State a client's wish as it is typed: names divided by commas, the first kept the longest; none: no wish."""
    names = [name.strip() for name in keep.split(",") if name.strip()]
    try:
        return wishes.state(account, names, reason=reason, by=actor.name, at=at)
    except wishes.BadWish as refusal:
        raise strict.refuse("keep", str(refusal)) from None


def _person(actor: Actor) -> Any:
    return get_user_model().objects.get(username=actor.name)


def _confirm(held: HeldQuote, *, at: Any, actor: Actor) -> HeldQuote:
    try:
        quotes.confirm(held, at=at, person=_person(actor))
    except quotes.CannotDecide as refusal:
        raise calls.IllegalMove(str(refusal)) from None
    return held


def _reject(held: HeldQuote, *, reason: str, at: Any, actor: Actor) -> HeldQuote:
    try:
        quotes.reject(held, at=at, person=_person(actor), reason=reason)
    except quotes.CannotDecide as refusal:
        raise calls.IllegalMove(str(refusal)) from None
    return held


def _enter_action(code: str, **said: Any) -> CorporateAction:
    instrument = Instrument.objects.filter(code=code).first()
    if instrument is None:
        raise calls.Refused(f"there is no instrument {code}; load it first")
    return _told(actions.propose, instrument=instrument, **said)


def _approve_action(action: CorporateAction, **said: Any) -> CorporateAction:
    return _told(actions.approve, action, **said)


def _reject_action(action: CorporateAction, **said: Any) -> CorporateAction:
    return _told(actions.reject, action, **said)


def _told(deed: Callable[..., CorporateAction], *what: Any, actor: Actor, **said: Any) -> CorporateAction:
    try:
        return deed(*what, person=_person(actor), **said)
    except actions.ActionError as refusal:
        raise calls.Refused(str(refusal)) from None


def _pull(code: str, **said: Any) -> models.KillSwitch:
    if code != "orders":
        raise strict.refuse("code", "the switch stops orders: /kill-switch/orders/pull/")
    return control_switches.pull(**said)


def _stand(policy: models.Policy, *, number: int, **said: Any) -> models.StandingApproval:
    version = policy.versions.filter(number=number).first()
    if version is None:
        raise calls.Refused(f"policy {policy.code} has no version {number}")
    return control_switches.propose_standing(version, **said)


REASON = strict.column(strict.words, length=400)
WHY = {"reason": REASON}
VERSION = {
    "effective_at": strict.column(strict.instant),
    "note": strict.column(strict.words, length=400, optional=True, default=""),
}
CONTACT = {
    "email": strict.column(books.email),
    "new_email": strict.column(books.email, optional=True),
    "name": strict.column(strict.words, length=120, optional=True),
    "phone": strict.column(strict.words, length=40, optional=True),
    "language": strict.column(books.language, optional=True),
    "receives_notices": strict.column(strict.boolean, optional=True),
    **WHY,
}
KEEP = {"keep": strict.column(strict.words, length=400, optional=True, default=""), **WHY}
QUOTERS = ("Operations", "Supervisor", "Risk")
SHORT = {"reason": strict.column(strict.words, length=200)}
ACTION = {
    "kind": strict.column(strict.choice, of=tuple(CorporateAction.Kind.values)),
    "effective_at": strict.column(strict.instant),
    "new_per_old": strict.column(strict.decimal, digits=guard.RATE_DIGITS, places=guard.RATE_PLACES, optional=True),
    "new_symbol": strict.column(strict.code, length=64, optional=True),
    "settlement_price": wire.price(optional=True),
    **SHORT,
}
CAPS = {
    "per_order": wire.amount(),
    "per_account": wire.amount(),
    "per_day": wire.amount(),
    **WHY,
}
MOST = {"per_minute": strict.column(strict.integer, lowest=1, highest=2**31 - 1, optional=True), **CAPS}
STANDING = {
    "number": strict.column(strict.integer, lowest=1, highest=2**31 - 1),
    "regime": strict.column(strict.choice, of=tuple(regime.value for regime in workflow.Regime)),
    "currency": strict.column(strict.code, length=12),
    "expires_at": strict.column(strict.instant),
    **CAPS,
}
PULL = {"cancels_working": strict.column(strict.boolean, optional=True, default=False), **WHY}
CONTROLS = (
    Control(
        "kill-switch", "pull", "Pull the kill switch", models.KillSwitch, "code", control_switches.PULLERS, PULL,
        _pull, "kill-switches", makes=True,
    ),
    Control(
        "kill-switches", "ask", "Ask to let orders go", models.KillSwitch, "pk", control_switches.DECIDERS, WHY,
        control_switches.ask_release, "kill-switches",
    ),
    Control(
        "kill-switches", "let-go", "Let orders go again", models.KillSwitch, "pk", control_switches.DECIDERS, {},
        control_switches.let_go, "kill-switches",
    ),
    Control(
        "liquidation-caps", "propose", "Propose caps in a currency", models.LiquidationCap, "code",
        control_switches.DECIDERS, MOST, control_switches.propose_cap, "liquidation-caps", makes=True,
    ),
    Control(
        "liquidation-caps", "approve", "Approve caps", models.LiquidationCap, "pk", control_switches.DECIDERS, {},
        control_switches.approve, "liquidation-caps",
    ),
    Control(
        "policies", "stand", "Propose a standing approval", models.Policy, "code", control_switches.DECIDERS, STANDING,
        _stand, "standing-approvals",
    ),
    Control(
        "standing-approvals", "approve", "Approve a standing approval", models.StandingApproval, "pk",
        control_switches.DECIDERS, {}, control_switches.approve, "standing-approvals",
    ),
    Control(
        "standing-approvals", "revoke", "Revoke a standing approval", models.StandingApproval, "pk",
        control_switches.DECIDERS, {}, control_switches.revoke, "standing-approvals",
    ),
    Control(
        "gates", "release", "Let held calls go out", models.StormGate, "pk", gate.MAY_RELEASE, WHY, gate.release,
        "gates",
    ),
    Control(
        "accounts", "reconcile", "Confirm the book as whole", Account, "code", reconciling.MAY_CONFIRM, WHY,
        reconciling.confirm, "reconciliations",
    ),
    Control(
        "accounts", "restrict", "Place a restriction", Account, "code", restrictions.PLACERS,
        {
            "effect": strict.column(strict.choice, of=tuple(effect.value for effect in Effect)),
            "ends_at": strict.column(strict.instant, optional=True),
            **WHY,
        },
        _place, "restrictions",
    ),
    Control(
        "accounts", "liquidate-last", "State what the client wants sold last", Account, "code", wishes.ROLES, KEEP,
        keep_last, "accounts",
    ),
    Control(
        "restrictions", "lift", "Lift a restriction", models.Restriction, "pk", restrictions.PLACERS, WHY,
        restrictions.lift, "restrictions",
    ),
    Control(
        "restrictions", "waive", "Propose a waiver", models.Restriction, "pk", strikes.WAIVERS, WHY, strikes.waive,
        "waivers",
    ),
    Control(
        "waivers", "decide", "Decide a waiver", models.Waiver, "pk", strikes.WAIVERS,
        {"finding": strict.column(strict.choice, of=("granted", "denied")), **WHY}, _decide, "waivers",
    ),
    Control(
        "policies", "publish", "Publish a version", models.Policy, "code", ("Risk",), VERSION, _publish, "policies",
        makes=True,
    ),
    Control(
        "policies", "approve", "Approve a version", models.Policy, "code", ("Risk",),
        {"number": strict.column(strict.integer, lowest=1, highest=2**31 - 1)}, _approve, "policies",
    ),
    Control(
        "clients", "contact", "Change or add a contact", Client, "code", contacts.ROLES, CONTACT, _contact, "clients"
    ),
    Control(
        "clients", "hold", "Place a legal hold", Client, "code", calls.MAY[Verb.PLACE_LEGAL_HOLD], WHY,
        retention.place_hold, "legal-holds",
    ),
    Control(
        "clients", "lift-hold", "Lift the legal hold", Client, "code", calls.MAY[Verb.LIFT_LEGAL_HOLD], WHY,
        retention.lift_hold, "legal-holds",
    ),
    Control(
        "clients", "ask-erasure", "Ask to erase the client", Client, "code", calls.MAY[Verb.ERASE], WHY,
        retention.ask_erasure, "erasures",
    ),
    Control("held-quotes", "confirm", "Confirm a held quote", HeldQuote, "pk", QUOTERS, {}, _confirm, "held-quotes"),
    Control("held-quotes", "reject", "Reject a held quote", HeldQuote, "pk", QUOTERS, SHORT, _reject, "held-quotes"),
    Control(
        "instruments", "corporate-action", "Enter a corporate action", Instrument, "code", ("Operations", "Supervisor"),
        ACTION, _enter_action, "corporate-actions", makes=True,
    ),
    Control(
        "corporate-actions", "approve", "Approve a corporate action", CorporateAction, "pk", ("Risk",), {},
        _approve_action, "corporate-actions",
    ),
    Control(
        "corporate-actions", "reject", "Reject a corporate action", CorporateAction, "pk",
        ("Operations", "Supervisor", "Risk"), SHORT, _reject_action, "corporate-actions",
    ),
)  # fmt: skip
