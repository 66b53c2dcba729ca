"""What two people agree on beforehand and what stops everything: caps, standing approvals, the kill switch.

The database keeps the promises: two different people, each still a Supervisor or Risk who manages no users, and rows
that say once what they say. While the switch is pulled it refuses every release and every order that would leave.
"""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction

from margin import calls, policies, watch
from margin.actors import Actor
from margin.models import KillSwitch, LiquidationCap, PolicyVersion, RightsChange, StandingApproval
from margin.workflow import Regime

DECIDERS = ("Supervisor", "Risk")
PULLERS = ("Operations", "Supervisor", "Risk", "Compliance")
ROUND_THE_CLOCK = "crypto"
ALARM = "kill_switch"


# --- the kill switch ----------------------------------------------------------------------------------------------


def pulled() -> KillSwitch | None:
    """The switch as it stands, if it is pulled."""
    return KillSwitch.objects.filter(is_pulled=True).select_related("pulled_by", "release_asked_by").first()


def pull(*, reason: str, at: datetime, actor: Actor, cancels_working: bool = False) -> KillSwitch:
    """Stop every order at once. Pulled again it stays the same switch; orders that left may be asked back then too.

    Nothing is waited for: the sender asks orders back (`sending.obey_switch`), so that no lock keeps the switch open.
    """
    person = _check(actor, PULLERS, reason, "pull the kill switch")
    now = pulled()
    if now is None:
        now = _kept(
            lambda: KillSwitch.objects.create(
                reason=reason[:400], pulled_by_id=person, pulled_at=at, cancels_working=cancels_working
            )
        )
        watch.raise_alarm(ALARM, "orders", f"{actor.name} pulled the kill switch: {reason}", at=at)
    elif cancels_working and not now.cancels_working:
        _change(now, cancels_working=True)
    return now


def ask_release(switch: KillSwitch, *, reason: str, at: datetime, actor: Actor) -> KillSwitch:
    """One person says that orders may go again; another must agree."""
    _check(actor, DECIDERS, reason, "release the kill switch")
    if not switch.is_pulled or switch.release_asked_by_id is not None:
        raise calls.IllegalMove("the kill switch is released, or somebody asks for it already")
    return _change(switch, release_asked_by_id=actor.user_id, release_asked_at=at, release_reason=reason[:400])


def let_go(switch: KillSwitch, *, at: datetime, actor: Actor, reason: str = "") -> KillSwitch:
    """Another person agrees: orders go again."""
    _check(actor, DECIDERS, "-", "release the kill switch")
    if not switch.is_pulled or switch.release_asked_by_id is None:
        raise calls.IllegalMove("nobody asks to release the kill switch, or it is released")
    if switch.release_asked_by_id == actor.user_id:
        raise calls.Refused(f"{actor.name} asks for it; another person must agree")
    done = _change(switch, released_by_id=actor.user_id, released_at=at, is_pulled=False)
    watch.clear_alarm(ALARM, "orders", at=at)
    return done


# --- caps and standing approvals ------------------------------------------------------------------------------


def propose_cap(
    currency: str, *, per_order: Decimal, per_account: Decimal, per_day: Decimal, reason: str, at: datetime,
    actor: Actor, per_minute: int | None = None,
) -> LiquidationCap:  # fmt: skip
    """Propose the most that liquidations in a currency may order; it counts once another person approves.

    `per_minute` is how many orders may leave within one; None: as many as there are.
    """
    person = _check(actor, DECIDERS, reason, "propose caps")
    return _kept(
        lambda: LiquidationCap.objects.create(
            currency=currency, per_order=per_order, per_account=per_account, per_day=per_day, per_minute=per_minute,
            reason=reason[:400], proposed_by_id=person, proposed_at=at,
        )
    )  # fmt: skip


def cap_in_force(currency: str, *, at: datetime) -> LiquidationCap | None:
    """What holds liquidations in the currency at `at`: the cap that two people agreed on last."""
    agreed = LiquidationCap.objects.filter(currency=currency, approved_at__lte=at)
    return agreed.order_by("-approved_at", "-pk").first()


def propose_standing(
    version: PolicyVersion, *, regime: str, currency: str, per_order: Decimal, per_account: Decimal,
    per_day: Decimal, expires_at: datetime, reason: str, at: datetime, actor: Actor,
) -> StandingApproval:  # fmt: skip
    """Propose that the system sells by itself, round the clock, under one policy version and within caps."""
    person = _check(actor, DECIDERS, reason, "propose a standing approval")
    terms = policies.read(version).terms
    if terms.sweep != ROUND_THE_CLOCK or regime not in [one.regime for one in terms.regimes]:
        raise calls.Refused(f"{version} is not swept round the clock for {regime!r}; people approve each plan of it")
    if expires_at <= at:
        raise calls.Refused(f"a standing approval that expired at {expires_at:%Y-%m-%d %H:%M} UTC approves nothing")
    return _kept(
        lambda: StandingApproval.objects.create(
            policy_version=version, regime=Regime(regime).value, currency=currency, per_order=per_order,
            per_account=per_account, per_day=per_day, reason=reason[:400], proposed_by_id=person,
            proposed_at=at, expires_at=expires_at,
        )
    )  # fmt: skip


def approve(row: LiquidationCap | StandingApproval, *, at: datetime, actor: Actor, reason: str = "") -> Any:
    """The second person's yes to caps or to a standing approval."""
    _check(actor, DECIDERS, "-", f"approve {row}")
    if row.approved_by_id is not None:
        raise calls.IllegalMove(f"{row} is approved already")
    if row.proposed_by_id == actor.user_id:
        raise calls.Refused(f"{actor.name} proposed {row}; another person must approve it")
    return _change(row, approved_by_id=actor.user_id, approved_at=at)


def revoke(row: StandingApproval, *, at: datetime, actor: Actor, reason: str = "") -> StandingApproval:
    """Take a standing approval back; one person is enough to stop."""
    _check(actor, DECIDERS, "-", f"revoke {row}")
    if row.revoked_at is not None:
        raise calls.IllegalMove(f"{row} is revoked already")
    return _change(row, revoked_by_id=actor.user_id, revoked_at=at)


# --- who may do what ----------------------------------------------------------------------------------------------


def tell_rights(*, at: datetime) -> int:
    """Alarm staff of changes of rights that nobody was told of; how many."""
    with transaction.atomic():
        untold = list(RightsChange.objects.select_for_update().filter(told_at=None).order_by("id")[:500])
        if untold:
            listed = "; ".join(str(one) for one in untold[:3])
            more = f" and {len(untold) - 3} more" if len(untold) > 3 else ""
            watch.raise_alarm("rights", f"from {untold[0].pk}", f"rights were changed: {listed}{more}", at=at)
            RightsChange.objects.filter(pk__in=[one.pk for one in untold]).update(told_at=at)
    return len(untold)


# --- how ----------------------------------------------------------------------------------------------------------


def _check(actor: Actor, roles: tuple[str, ...], reason: str, what: str) -> int:
    """Who it is, if they may and say why; raises calls.Refused."""
    if actor.user_id is None or actor.role not in roles:
        raise calls.Refused(f"{actor.name} ({actor.role or 'no role'}) may not {what}; it takes {' or '.join(roles)}")
    if not reason.strip():
        raise calls.Refused("a reason is needed: it is kept")
    return actor.user_id


def _change(row: Any, **columns: Any) -> Any:
    for name, value in columns.items():
        setattr(row, name, value)
    names = [name.removesuffix("_id") for name in columns]
    return _kept(lambda: row.save(update_fields=names)) or row


def _kept(write: Callable[[], Any]) -> Any:
    """Write, or say what a bolt said."""
    try:
        with transaction.atomic():
            return write()
    except IntegrityError as refusal:
        raise calls.Refused(str(refusal).partition("\n")[0]) from None
