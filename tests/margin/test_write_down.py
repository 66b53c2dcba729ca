"""After everything was sold: what is still missing is owed as a receivable, once, and the account is quiet again."""

from decimal import Decimal

import pytest

from accounts.models import Position
from margin import approvals, booking, calls, liquidation, planning, sweep
from margin.models import MarginCall, PlanFill, PlanLine, Receivable
from tests.margin import rows, world
from tests.margin.world import MONDAY, minutes, quote

pytestmark = pytest.mark.django_db


@pytest.fixture
def planned():
    """100 × 35.00 = 3,500.00 against 4,000.00 borrowed: the account whose plan, to sell all, is released."""
    rows.policy("us_margin", world.securities(world.HOUSE, world.EXCHANGE))
    xyz = rows.equity("XYZ")
    account = world.long_account("100", "4000", xyz)
    quote(xyz, "35", MONDAY)
    for minute in range(2):  # called, then escalated by severity
        sweep.run("securities", at=MONDAY + minutes(minute))
    call = MarginCall.objects.get(regime="house")
    plan = liquidation.propose(call, at=MONDAY + minutes(2), actor=rows.staff("olive", "Operations"))
    approvals.approve(plan, at=MONDAY + minutes(3), actor=rows.staff("sam", "Supervisor"))
    return account


def sell():
    """All of it at 35.00, with a fee of 3.50: 503.50 are missing then."""
    booking.record_fill(
        PlanLine.objects.get(),
        quantity=Decimal(-100),
        price=Decimal(35),
        fee=Decimal("3.50"),
        source="exchange",
        external_reference="F1",
        at=MONDAY + minutes(4),
        actor=rows.staff("olive", "Operations"),
    )


@pytest.fixture
def sold_out(planned):
    sell()
    return planned


def test_the_residual_is_owed_as_a_receivable_and_no_longer_in_the_account(sold_out):
    receivable = Receivable.objects.get(account=sold_out)
    assert (receivable.amount, receivable.call.state) == (Decimal("503.50"), "liquidated")
    assert receivable.call.amount_outstanding == Decimal("503.50")
    assert Position.objects.get(account=sold_out, instrument__kind="cash").quantity == 0


def test_what_is_owed_as_a_receivable_is_not_called_again(sold_out):
    sweep.run("securities", at=MONDAY + minutes(5))
    sweep.run("securities", at=MONDAY + minutes(6))
    assert list(MarginCall.objects.order_by("regime").values_list("regime", "state", "resolution")) == [
        ("exchange", "met", "mixed"),  # the sale, and what was written down
        ("house", "liquidated", "liquidation"),
    ]


def test_a_sale_is_booked_also_where_nobody_can_say_what_else_might_be_sold(planned, monkeypatch):
    def unsizable(*_):
        raise calls.Refused("it cannot be sized: the cost of XYZ is not known")

    monkeypatch.setattr(planning, "size", unsizable)
    sell()
    fill = PlanFill.objects.select_related("line__plan__call").get()
    assert (fill.line.plan.state, fill.line.plan.call.state) == ("done", "escalated")
    assert not Receivable.objects.exists()
