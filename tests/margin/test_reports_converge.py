"""Whatever order a venue's reports come in, the same book and the same end of the call."""

import itertools
from decimal import Decimal
from math import factorial

import pytest
from django.db import transaction

from accounts import holdings
from margin import booking, sweep
from margin.models import MarginCall, Order, PlanFill
from margin.venues.interface import Told
from tests.margin import rows
from tests.margin.liquidating import LATER, VENUE, escalated, released
from tests.margin.test_orders import heard_of, said, state
from tests.margin.world import minutes

D = Decimal


@pytest.fixture
def order(db):
    """7 XYZ to sell at a venue."""
    released(escalated(venue=VENUE))
    return Order.objects.get()


def what_is_left(order):
    call = MarginCall.objects.get()
    position, _ = holdings.held([call.account_id], [order.line.instrument_id]).popitem()[1]
    money, _ = holdings.held([call.account_id], [rows.cash().pk]).popitem()[1]
    sold = PlanFill.objects.filter(fill__reversed_by=None).order_by("fill__quantity", "fill__price")
    return position, money, list(sold.values_list("fill__quantity", "fill__price")), state(order), call.state


def whole_of(order):
    """3 and 4 executed, all that was ordered, the 4 first said as 5; the venue cancels the nothing that is left."""
    return [
        said(order, Told.FILLED, "f1", "3"),
        said(order, Told.FILLED, "f2", "5", second=1),
        said(order, Told.CORRECTED, "c2", "4", refers_to="f2", second=2),
        said(order, Told.CORRECTED, "c2", "4", refers_to="f2", second=2),
        said(order, Told.CANCELLED, "x", second=3),
    ]


# 100 shares less 4; 3,600.00 owed less 2 × 50.00 and 2 × 49.00
IN_PART = (heard_of, (D(96), D("-3402.00"), [(D(-2), D(49)), (D(-2), D(50))], "working", "escalated"))
# 100 shares less 7; 3,600.00 owed less 7 × 50.00: it holds again
WHOLE = (whole_of, (D(93), D("-3250.00"), [(D(-4), D(50)), (D(-3), D(50))], "filled", "liquidated"))


def converge(order, listed, expected):
    """The next sweep sees what came too late to end its plan."""
    for heard in listed:
        with transaction.atomic():
            for one in heard:
                booking.hear(one, at=LATER + minutes(1))
            sweep.run("securities", at=LATER + minutes(2))
            assert what_is_left(order) == expected
            transaction.set_rollback(True)


def converge_from(order, rest, expected):
    """Every order of the rest after what was heard already, which is heard once for all of them; how many there are."""
    if not rest:
        if expected[-1] != "escalated":
            sweep.run("securities", at=LATER + minutes(2))
        assert what_is_left(order) == expected
        return 1
    count = 0
    for one in dict.fromkeys(rest):
        with transaction.atomic():
            booking.hear(one, at=LATER + minutes(1))
            place = rest.index(one)
            count += converge_from(order, rest[:place] + rest[place + 1 :], expected)
            transaction.set_rollback(True)
    return count


@pytest.mark.parametrize(("reports", "expected"), [IN_PART, WHOLE], ids=["in part", "whole"])
def test_fills_converge_in_whatever_order_they_are_heard(order, reports, expected):
    listed = list(itertools.permutations(reports(order)))
    converge(order, listed[:: len(listed) // 8], expected)


@pytest.mark.long
@pytest.mark.parametrize(("reports", "expected"), [IN_PART, WHOLE], ids=["in part", "whole"])
def test_all_permutations_of_fills_converge(committed_db, reports, expected):
    released(escalated(venue=VENUE))
    order = Order.objects.get()
    assert converge_from(order, reports(order), expected) == factorial(len(reports(order))) / 2  # one is said twice
