"""Letters about what became of a call's deadline, payments, disputes and of an account's rights. Pure.

They use the shapes of `letters`; `writers` puts both together.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from notifications import wording
from notifications.cases import Case
from notifications.letters import Letter, Unwritable, amount_and_due, asking, closing, demand_of, quiet
from notifications.sections import Section, money

EFFECTS = {
    "no_withdrawal": gettext_lazy("Money and securities cannot be taken out."),
    "no_new_borrow": gettext_lazy("Nothing more can be borrowed."),
    "closing_only": gettext_lazy("Positions can only be reduced or closed."),
    "liquidation_only": gettext_lazy("Positions can only be sold, to reduce what is owed."),
    "funds_on_hand": gettext_lazy("Orders need settled money or securities in the account beforehand."),
    "cash_only": gettext_lazy("Purchases must be paid in full; nothing is lent."),
    "higher_requirements": gettext_lazy("Higher requirements apply to your positions."),
    "due_next_day": gettext_lazy("Margin calls are due on the next business day."),
}


# --- the deadline -----------------------------------------------------------------------------------------


def _reminded(case: Case) -> Letter:
    demand = demand_of(case)
    return asking(
        case,
        demand,
        subject=_("Reminder: %(amount)s due %(due)s") % amount_and_due(case, demand),
        headline=_("Your margin call is still open"),
        opening=_("This is a reminder. The amount below is still outstanding."),
    )


def _extended(case: Case) -> Letter:
    demand = demand_of(case)
    return asking(
        case,
        demand,
        subject=_("More time for your margin call: %(amount)s now due %(due)s") % amount_and_due(case, demand),
        headline=_("Your margin call is due later"),
        opening=_("We have moved the deadline of your margin call. The amount stays due."),
    )


def _accelerated(case: Case) -> Letter:
    demand = demand_of(case)
    return asking(
        case,
        demand,
        subject=_("Margin call due earlier: %(amount)s due %(due)s") % amount_and_due(case, demand),
        headline=_("Your margin call is due earlier"),
        opening=_("We no longer wait for the deadline we gave you. Please act by the new one below."),
    )


def _rescheduled(case: Case) -> Letter:
    demand = demand_of(case)
    return asking(
        case,
        demand,
        subject=_("New deadline of your margin call: %(amount)s due %(due)s") % amount_and_due(case, demand),
        headline=_("The deadline of your margin call has changed"),
        opening=_("A business day was added to or taken out of the calendar, and your deadline moved with it."),
    )


# --- payments ---------------------------------------------------------------------------------------------


def _claimed(case: Case) -> Letter:
    cure = case.cure
    if "amount" not in cure:
        raise Unwritable(f"event {case.event_id}: the claim does not say how much was paid")
    paid = wording.money(Decimal(cure["amount"]), cure.get("currency") or case.currency)
    demand = demand_of(case)
    return asking(
        case,
        demand,
        subject=_("We are looking for your payment towards margin call %(call)s") % {"call": case.reference},
        headline=_("Thank you: we are looking for your payment"),
        opening=_("You told us that you paid %(amount)s, reference %(reference)s. It counts once it has arrived.")
        % {"amount": paid, "reference": wording.isolated(cure.get("reference") or "—")},
    )


def _taken_back(case: Case) -> Letter:
    demand = demand_of(case)
    words = {"amount": money(case, Decimal(case.cure.get("release") or 0)), "call": case.reference}
    subject = _("Payment taken back: %(amount)s no longer counts towards margin call %(call)s") % words
    headline = _("A payment of yours was taken back")
    if demand.state not in ("issued", "escalated"):
        opening = _("It had met a margin call. That call stays closed; if more is due we write to you separately.")
        return quiet(case, subject=subject, headline=headline, opening=opening)
    return asking(
        case, demand, subject=subject, headline=headline, opening=_("What it had covered is outstanding again.")
    )


# --- disputes ---------------------------------------------------------------------------------------------

FINDINGS = {
    "upheld": gettext_lazy("You were right: we have taken the disputed amount off your margin call."),
    "partly": gettext_lazy("You were right in part: we have lowered your margin call by %(granted)s."),
    "rejected": gettext_lazy("We have checked, and the call stands as it was made."),
}


def _disputed(case: Case) -> Letter:
    demand = demand_of(case)
    amount = money(case, Decimal(case.details["amount"]))
    waits = case.details.get("stops_clock")
    return asking(
        case,
        demand,
        subject=_("We have received your objection to margin call %(call)s") % {"call": case.reference},
        headline=_("We are looking into your objection"),
        opening=(
            _("You dispute %(amount)s. The deadline of that part waits for our answer; the rest stays due on time.")
            if waits
            else _("You dispute %(amount)s. The deadline does not change while we look into it.")
        )
        % {"amount": amount},
    )


def _decided(case: Case) -> Letter:
    demand = demand_of(case)
    finding = FINDINGS.get(str(case.details.get("finding")), FINDINGS["rejected"])
    return asking(
        case,
        demand,
        subject=_("Our answer to your objection to margin call %(call)s") % {"call": case.reference},
        headline=_("Our answer to your objection"),
        opening=str(finding) % {"granted": money(case, Decimal(case.details.get("granted") or 0))},
    )


# --- rights -----------------------------------------------------------------------------------------------


def _restricted(case: Case) -> Letter:
    return _rights(
        case,
        subject=_("Account %(account)s is restricted") % {"account": case.account},
        headline=_("Your account is restricted"),
        opening=_effect(case),
    )


def _unrestricted(case: Case) -> Letter:
    return _rights(
        case,
        subject=_("A restriction of account %(account)s has ended") % {"account": case.account},
        headline=_("A restriction of your account has ended"),
        opening=_("This no longer applies: %(effect)s") % {"effect": _effect(case)},
    )


def _rights(case: Case, *, subject: str, headline: str, opening: str) -> Letter:
    until = case.details.get("ends_at")
    sentences = [_("It ends %(instant)s.") % {"instant": _instant(case, until)}] if until else []
    return Letter(
        subject=subject,
        headline=headline,
        opening=opening,
        amount=money(case, Decimal(0)),
        amount_label=_("due for this"),
        sections={"rights": Section(title=_("What this means"), sentences=tuple(sentences)), **closing(case)},
    )


def _effect(case: Case) -> str:
    effect = str(case.details.get("effect") or "")
    if effect not in EFFECTS:
        raise Unwritable(f"event {case.event_id}: {effect or 'no effect'!r} is not a restriction that can be told")
    return str(EFFECTS[effect])


def _instant(case: Case, text: str) -> str:
    return wording.instant(datetime.fromisoformat(text), case.zone)


WRITERS: Mapping[str, Callable[[Case], Letter]] = {
    "call.reminded": _reminded,
    "call.extended": _extended,
    "call.accelerated": _accelerated,
    "call.rescheduled": _rescheduled,
    "claim.made": _claimed,
    "cure.reversed": _taken_back,
    "dispute.opened": _disputed,
    "dispute.decided": _decided,
    "restriction.placed": _restricted,
    "restriction.lifted": _unrestricted,
}
