"""From a case to a letter: what is said to the client, the same for the text and the HTML part. Pure.

One writer per kind of notice. Sentences go through the translation catalogues, figures through `wording`;
`layouts` sets the letter as a mail.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from notifications import sections, wording
from notifications.cases import Case, Demand
from notifications.sections import ZERO, Section, money


class Unwritable(ValueError):
    """The case lacks what its notice must say; nothing is sent with a gap. The message names what is missing."""


@dataclass(frozen=True)
class Letter:
    """All that a layout sets. `sections` are by name; a layout chooses which, and in which order."""

    subject: str
    headline: str
    opening: str
    amount: str
    amount_label: str
    deadline: str = ""
    deadline_note: str = ""
    is_overdue: bool = False
    """The only case for the colour of alarm."""
    sections: Mapping[str, Section] = field(default_factory=dict)


def demand_of(case: Case) -> Demand:
    """The call the letter is about. Raises Unwritable."""
    if case.demand is None:
        raise Unwritable(f"event {case.event_id} ({case.kind}) says nothing of its call")
    return case.demand


# --- a call asks ------------------------------------------------------------------------------------------


def _issued(case: Case) -> Letter:
    demand = demand_of(case)
    return asking(
        case,
        demand,
        subject=_("Margin call: %(amount)s due %(due)s") % amount_and_due(case, demand),
        headline=_("Margin call on your account"),
        opening=_("Your account no longer meets its margin requirement. Please bring in the amount below in time."),
    )


def _changed(case: Case) -> Letter:
    demand = demand_of(case)
    if demand.called_before is None:
        raise Unwritable(f"event {case.event_id}: what was called before is not in the history")
    opening = _("Your account lost more value: the amount called rose from %(before)s to %(now)s. The deadline stays.")
    return asking(
        case,
        demand,
        subject=_("Margin call increased: %(amount)s due %(due)s") % amount_and_due(case, demand),
        headline=_("The amount of your margin call has risen"),
        opening=opening % {"before": money(case, demand.called_before), "now": money(case, demand.called)},
    )


def _escalated(case: Case) -> Letter:
    demand = demand_of(case)
    is_overdue = demand.due_at <= case.at
    subject = (
        _("Margin call overdue: %(amount)s, we may now sell positions")
        if is_overdue
        else _("Margin call urgent: %(amount)s, we may now sell positions")
    )
    cause = sections.ESCALATIONS.get(demand.cause, sections.ESCALATIONS["person"])
    return asking(
        case,
        demand,
        subject=subject % {"amount": money(case, demand.outstanding)},
        headline=_("We may now sell positions in your account"),
        opening=str(cause),
    )


def asking(case: Case, demand: Demand, *, subject: str, headline: str, opening: str) -> Letter:
    """A letter that asks for money: how much, by when, why, how, and what happens otherwise."""
    return Letter(
        subject=subject,
        headline=headline,
        opening=opening,
        amount=money(case, demand.outstanding),
        amount_label=_("due"),
        deadline=wording.instant(demand.due_at, case.zone),
        deadline_note=_deadline_note(case, demand),
        is_overdue=demand.due_at <= case.at,
        sections={
            "why": sections.why(case, case.figures),
            "this_call": sections.this_call(case, demand),
            "cures": sections.cures(case, demand),
            "what_counts": sections.what_counts(),
            "consequences": sections.consequences(case),
            "positions": sections.positions(case),
            **closing(case),
        },
    )


def amount_and_due(case: Case, demand: Demand) -> dict[str, str]:
    """What a subject says of a call that is open."""
    return {
        "amount": money(case, demand.outstanding),
        "due": wording.deadline(demand.due_at, case.at, case.zone),
    }


def _deadline_note(case: Case, demand: Demand) -> str:
    """The same instant at the firm, and how far away it was."""
    parts = []
    if case.firm.zone != case.zone:
        parts.append(_("At our desk: %(instant)s.") % {"instant": wording.instant(demand.due_at, case.firm.zone)})
    left = wording.countdown(demand.due_at, case.at)
    prepared = {"left": left, "instant": wording.instant(case.at, case.zone)}
    parts.append(_("That is %(left)s after %(instant)s.") % prepared if left else _("This deadline has passed."))
    return " ".join(parts)


# --- a call is answered -----------------------------------------------------------------------------------


def _cured(case: Case) -> Letter:
    demand = demand_of(case)
    if demand.released is None:
        raise Unwritable(f"event {case.event_id}: the cure does not say what it releases")
    received = money(case, demand.released)
    if demand.outstanding <= 0:
        return quiet(
            case,
            subject=_("Received: %(amount)s towards margin call %(call)s")
            % {"amount": received, "call": case.reference},
            headline=_("We have received %(amount)s") % {"amount": received},
            opening=_("It covers what was outstanding. We write again when the call is closed."),
        )
    return Letter(
        subject=_("Received: %(received)s. Still due: %(amount)s %(due)s")
        % {"received": received, **amount_and_due(case, demand)},
        headline=_("We have received %(amount)s") % {"amount": received},
        opening=_("It counts towards margin call %(call)s, which stays open for the rest.") % {"call": case.reference},
        amount=money(case, demand.outstanding),
        amount_label=_("still due"),
        deadline=wording.instant(demand.due_at, case.zone),
        deadline_note=_deadline_note(case, demand),
        is_overdue=demand.due_at <= case.at,
        sections={
            "this_call": sections.this_call(case, demand),
            "cures": sections.cures(case, demand),
            **closing(case),
        },
    )


def _met(case: Case) -> Letter:
    resolution = sections.RESOLUTIONS.get(demand_of(case).resolution, sections.RESOLUTIONS["mixed"])
    return quiet(
        case,
        subject=_("Margin call %(call)s is met: nothing more is due") % {"call": case.reference},
        headline=_("Your margin call is met"),
        opening=str(resolution),
    )


def _cancelled(case: Case) -> Letter:
    return quiet(
        case,
        subject=_("Margin call %(call)s is withdrawn: please disregard it") % {"call": case.reference},
        headline=_("We have withdrawn this margin call"),
        opening=_(
            "It should not have been made, and you need not act on it. We apologise. If you have already paid or sold "
            "because of it, please contact us."
        ),
    )


def _liquidated(case: Case) -> Letter:
    if not case.sales:
        raise Unwritable(f"event {case.event_id}: a liquidation without fills cannot be told")
    owed = case.residual or ZERO
    words = {"call": case.reference, "amount": money(case, owed)}
    subject = (
        _("Positions closed for margin call %(call)s: %(amount)s remains due")
        if owed
        else _("Positions closed for margin call %(call)s: nothing more is due")
    )
    return Letter(
        subject=subject % words,
        headline=_("We have closed positions in your account"),
        opening=_("The margin call was not met, so we closed the positions listed here, as your agreement allows."),
        amount=money(case, owed),
        amount_label=_("remains due"),
        is_overdue=bool(owed),
        sections={
            "sold": sections.sold(case),
            "this_call": sections.this_call(case, demand_of(case)),
            **closing(case),
        },
    )


def quiet(case: Case, *, subject: str, headline: str, opening: str) -> Letter:
    """A letter after which nothing is asked."""
    return Letter(
        subject=subject,
        headline=headline,
        opening=opening,
        amount=money(case, ZERO),
        amount_label=_("due on this call"),
        sections={"this_call": sections.this_call(case, demand_of(case)), **closing(case)},
    )


# --- a warning --------------------------------------------------------------------------------------------


def _warning(case: Case) -> Letter:
    """Never a call (workflow.md §1.2): nothing is due, and nothing says so."""
    figures = case.figures
    if figures is None:
        raise Unwritable(f"event {case.event_id}: its assessment has no {case.regime} figures to warn of")
    return Letter(
        subject=_("Margin warning: account %(account)s is close to a margin call") % {"account": case.account},
        headline=_("Your account is close to a margin call"),
        opening=_(
            "This is a warning, not a call: nothing is due. We call for margin if your account loses more value."
        ),
        amount=money(case, figures.equity - figures.requirement),
        amount_label=_("equity less required"),
        sections={
            "why": sections.why(case, figures),
            "distance": sections.distance(case),
            "advice": sections.advice(),
            "consequences": sections.warned_consequences(),
            "positions": sections.positions(case),
            **closing(case),
        },
    )


def closing(case: Case) -> dict[str, Section]:
    """The sections that every letter ends with."""
    return {"contact": sections.contact(case), "account": sections.account(case)}


WRITERS: dict[str, Callable[[Case], Letter]] = {
    "warning.raised": _warning,
    "call.issued": _issued,
    "call.finalised": _issued,
    "call.amount_changed": _changed,
    "cure.applied": _cured,
    "cure.moved": _cured,
    "claim.checked": _cured,
    "call.met": _met,
    "call.escalated": _escalated,
    "call.cancelled": _cancelled,
    "call.liquidated": _liquidated,
}
