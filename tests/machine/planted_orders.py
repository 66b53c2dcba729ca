"""Planted bugs of plans, approvals, releases, orders, fills, seals and letters, beside those of `planted`."""

from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import Any
from unittest.mock import MagicMock

from accounts.models import Contact
from margin import approvals, booking, calls, control_switches, orders, seals, sending
from margin.models import Event, Order, Plan
from margin.venues import interface
from margin.workflow import Verb
from notifications import notices
from tests.machine.planted import APPROVAL, PLAN, Bug, without_trigger

_check_due, _notice = approvals._check_due, notices._notice
_keep, _executions, _after = orders.keep, orders.executions, sending._after
_numbers = count(1)


def however_late(plan: Plan, *, at: datetime) -> None:
    _check_due(plan, at=min(at, plan.expires_at))


def though_held(plan: Plan, *, at: datetime) -> None:
    plan.call.held_until = None
    _check_due(plan, at=at)


def in_any_state(plan: Plan, *, at: datetime) -> None:
    _check_due(plan, at=at)


def as_told_anew(report: interface.Report) -> Any:
    return _keep(replace(report, report_id=f"{report.report_id}/{next(_numbers)}"))


def to_the_wrong_client(event: Event, gathered: Any, contact: Contact | None, at: datetime) -> Any:
    other = Contact.objects.exclude(client=event.account.client).order_by("pk")[0]
    return _notice(event, gathered, other, at)


def nobody_pulled_it() -> MagicMock:
    switches = MagicMock()
    switches.objects.filter.return_value.exists.return_value = False
    return switches


def whatever_is_over(*, at: datetime) -> int:
    return 0


def sent_again_blindly(claimed: Order, state: Any, error: str, *, at: datetime) -> None:
    _after(claimed, Order.State.NEW if state == Order.State.UNKNOWN else state, error, at=at)


def what_was_never_busted(reports: Any) -> Any:
    return _executions([one for one in reports if one.told not in (interface.Told.BUSTED, interface.Told.CORRECTED)])


UNSEALED_BUT_SOME = seals.UNSEALED.replace("ORDER BY", "AND e.id %% 7 <> 0 ORDER BY")
BUGS: dict[str, Bug] = {
    "a plan is approved after its time": Bug(((approvals, "_check_due", however_late),), **APPROVAL),
    "a plan of a held call is approved": Bug(((approvals, "_check_due", though_held),)),
    "a plan that was decided is approved": Bug(
        ((approvals, "check_open", in_any_state),),
        (*APPROVAL["draw"], *PLAN["draw"]),
        (*APPROVAL["put_back"], *PLAN["put_back"]),
    ),
    "a price that moved keeps no plan back": Bug(((approvals, "_check_prices", lambda plan, terms, at: None),)),
    "one yes is enough for what the system proposed": Bug(((approvals, "needed", lambda plan: 1),), **PLAN),
    "a plan is released while the switch is pulled": Bug(
        ((approvals, "KillSwitch", nobody_pulled_it()),), **without_trigger("margin_release", "margin_release_is_due")
    ),
    "an auditor proposes sales": Bug(((calls, "MAY", {**calls.MAY, Verb.PROPOSE: (*calls.MAKERS, "Auditor")}),)),
    "an order goes under a name of chance": Bug(
        ((orders, "client_order_id", lambda *given: f"MD-{next(_numbers)}"),),
        **without_trigger("margin_order", "margin_order_is_kept"),
    ),
    "a cure leaves orders out": Bug(
        (
            (booking, "cancel_rest", lambda plan, *, at, actor, reason: 0),
            (sending, "withdraw_needless", whatever_is_over),
        )
    ),
    "an order whose answer was lost leaves again": Bug(
        ((sending, "_after", sent_again_blindly),), **without_trigger("margin_order", "margin_order_is_kept")
    ),
    "an execution that a venue took back stays booked": Bug(((orders, "executions", what_was_never_busted),)),
    "orders leave while the switch is pulled": Bug(
        ((control_switches, "pulled", lambda: None),), **without_trigger("margin_order", "margin_order_is_kept")
    ),
    "a fill told twice is booked twice": Bug(((orders, "keep", as_told_anew),)),
    "a seal leaves some events out": Bug(((seals, "UNSEALED", UNSEALED_BUT_SOME),)),
    "a letter goes to another client": Bug(((notices, "_notice", to_the_wrong_client),)),
}
