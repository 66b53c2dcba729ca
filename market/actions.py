"""Corporate actions: entered by one person, approved by another, then facts that positions follow.

Approval does what concerns the instrument (its end, its names). What concerns holdings is done by
`accounts.positions.apply_action`, which reads `due` and marks `applied_at`.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models import QuerySet

from market import guard, instruments, strict
from market.models import Alias, CorporateAction, Instrument, Scheme

ENDING = (CorporateAction.Kind.DELISTING, CorporateAction.Kind.WRITE_OFF, CorporateAction.Kind.EXPIRY)
LARGEST_RATIO = Decimal(10_000)


class ActionError(Exception):
    """The corporate action cannot be entered or decided so; the message says what to do."""


@transaction.atomic
def propose(
    *,
    kind: str,
    instrument: Instrument,
    effective_at: datetime,
    at: datetime,
    person: Any,
    reason: str,
    new_per_old: Decimal | None = None,
    new_symbol: str = "",
    settlement_price: Decimal | None = None,
) -> CorporateAction:
    """Enter a corporate action for another person to approve; `person` None: a job of the system.

    Raises ActionError if it is incomplete, contradicts itself, or is entered already.
    """
    if person is not None and not person.has_perm("market.add_corporateaction"):
        raise ActionError(f"{person.get_username()}'s role does not enter corporate actions")
    try:
        _check(kind, instrument, effective_at, reason, new_per_old, new_symbol, settlement_price)
        with transaction.atomic():
            return CorporateAction.objects.create(
                kind=kind,
                instrument=instrument,
                effective_at=effective_at,
                reason=reason,
                proposed_by=person,
                new_per_old=new_per_old,
                new_symbol=new_symbol,
                settlement_price=settlement_price,
            )
    except strict.Refused as refusal:
        raise ActionError(str(refusal)) from None
    except IntegrityError:
        raise ActionError(
            f"a {kind} of {instrument.code} at {effective_at:%Y-%m-%d %H:%M} UTC is entered already; decide that one"
        ) from None


def _check(
    kind: str,
    instrument: Instrument,
    effective_at: datetime,
    reason: str,
    new_per_old: Decimal | None,
    new_symbol: str,
    settlement_price: Decimal | None,
) -> None:
    """Raise strict.Refused for an action that lacks what its kind needs, or carries what it does not."""
    strict.choice(kind, field="kind", of=CorporateAction.Kind.values)
    strict.words(reason, field="reason", length=200)
    if not reason:
        raise strict.refuse("reason", "is missing; say where the news comes from")
    if effective_at.tzinfo is None:
        raise strict.refuse("effective_at", f"{effective_at} names no time zone")
    if instrument.ended_at is not None and effective_at >= instrument.ended_at:
        raise strict.refuse("effective_at", f"{instrument.code} ended at {instrument.ended_at:%Y-%m-%d %H:%M} UTC")
    given = {"new_per_old": new_per_old, "new_symbol": new_symbol or None, "settlement_price": settlement_price}
    needed = {"split": "new_per_old", "symbol_change": "new_symbol", "expiry": "settlement_price"}.get(kind)
    for name, value in given.items():
        if name == needed and value is None:
            raise strict.refuse(name, f"is missing; every {kind.replace('_', ' ')} has one")
        if name != needed and value is not None:
            raise strict.refuse(name, f"does not belong to a {kind.replace('_', ' ')}")
    if new_per_old is not None:
        strict.exact(new_per_old, field="new_per_old", digits=guard.RATE_DIGITS, places=guard.RATE_PLACES)
        if not 1 / LARGEST_RATIO <= new_per_old <= LARGEST_RATIO or new_per_old == 1:
            raise strict.refuse("new_per_old", f"{new_per_old} is no split; 7 for 1 is 7, 1 for 20 is 0.05")
    if new_symbol:
        strict.code(new_symbol, field="new_symbol", length=64)
    if settlement_price is not None:
        strict.exact(settlement_price, field="settlement_price", digits=guard.PRICE_DIGITS, places=guard.PRICE_PLACES)
        if settlement_price < 0 and not instrument.may_be_negative:
            raise strict.refuse("settlement_price", f"{settlement_price} is negative and {instrument.code} may not be")


@transaction.atomic
def approve(action: CorporateAction, *, at: datetime, person: Any) -> CorporateAction:
    """Make the action a fact: end the instrument or change its name; positions follow from `effective_at`.

    Raises ActionError if the same person entered it, the role does not approve, or it was decided already.
    """
    action = _open(action, person)
    if action.proposed_by_id == person.pk:
        raise ActionError("whoever entered a corporate action cannot approve it; another person must")
    CorporateAction.objects.filter(pk=action.pk).update(approved_by=person, approved_at=at)
    if action.kind in ENDING:
        _end(action)
    elif action.kind == CorporateAction.Kind.SYMBOL_CHANGE:
        _rename(action)
    action.refresh_from_db()
    return action


@transaction.atomic
def reject(action: CorporateAction, *, at: datetime, person: Any, reason: str) -> CorporateAction:
    """Put a proposal aside; it may be entered again. Its proposer may withdraw it. Raises ActionError."""
    if not reason.strip():
        raise ActionError("say why the corporate action is rejected")
    action = _open(action, person, own=True)
    CorporateAction.objects.filter(pk=action.pk).update(
        rejected_by=person, rejected_at=at, rejected_reason=reason.strip()[:200]
    )
    action.refresh_from_db()
    return action


def due(at: datetime) -> QuerySet[CorporateAction]:
    """Approved actions in effect that positions do not follow yet, the earliest first."""
    approved = CorporateAction.objects.filter(approved_at__isnull=False, applied_at=None, effective_at__lte=at)
    return approved.select_related("instrument").order_by("effective_at", "pk")


def _open(action: CorporateAction, person: Any, *, own: bool = False) -> CorporateAction:
    """Lock the instrument, then the action, and give it as it is now if it waits for a decision."""
    may = person.has_perm("market.change_corporateaction") or (own and person.pk == action.proposed_by_id)
    if not may:
        raise ActionError(f"{person.get_username()}'s role does not approve corporate actions")
    Instrument.objects.select_for_update(no_key=True).get(pk=action.instrument_id)
    action = CorporateAction.objects.select_for_update(no_key=True, of=("self",)).get(pk=action.pk)
    if action.approved_at or action.rejected_at:
        raise ActionError(f"corporate action {action.pk} was decided already; reload")
    return action


def day_of(action: CorporateAction) -> Any:
    """The day an action takes effect where the instrument trades; UTC's where it trades around the clock."""
    calendar = action.instrument.calendar
    return action.effective_at.astimezone(ZoneInfo(calendar.zone if calendar else "UTC")).date()


def _end(action: CorporateAction) -> None:
    Instrument.objects.filter(pk=action.instrument_id).update(ended_at=action.effective_at)
    instruments.end_names(action.instrument, on=day_of(action))


def _rename(action: CorporateAction) -> None:
    """Close the ticker's days and open the new ticker's."""
    on = day_of(action)
    instruments.end_names(action.instrument, on=on, schemes=(Scheme.TICKER,))
    try:
        with transaction.atomic():
            Alias.objects.create(
                instrument=action.instrument, scheme=Scheme.TICKER, symbol=action.new_symbol, valid=DateRange(on, None)
            )
    except IntegrityError:
        raise ActionError(
            f"ticker {action.new_symbol} means another instrument after {on}; end that name first"
        ) from None
