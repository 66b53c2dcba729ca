"""An order that waits in a restored database may have left the one that was lost: it is asked about, then sent."""

from datetime import datetime, timedelta

import pytest

from margin import epochs, orders, sending
from margin.models import Order
from tests.margin import rows
from tests.margin.liquidating import LATER, VENUE, CountingVenue, escalated, released

BEFORE = LATER - timedelta(days=30)


@pytest.fixture
def outside(settings, tmp_path):
    settings.HISTORY_KEYS = str(tmp_path / "keys")
    settings.HISTORY_ANCHOR_FILE = str(tmp_path / "anchors.txt")


@pytest.fixture
def venue(tmp_path):
    return CountingVenue(tmp_path)


def worked(venue: CountingVenue, at: datetime = LATER) -> str:
    """The order's state after one round of the sender."""
    sending.run({venue.code: venue}, clock=lambda: at)
    return Order.objects.get().state


def release_epoch() -> None:
    epochs.compare({}, at=LATER, actor=rows.staff("ann", "Supervisor"))
    epochs.release(reason="the venue was asked", at=LATER, actor=rows.staff("bob", "Risk"))


@pytest.mark.parametrize("has_left", [True, False])
def test_an_order_that_waited_is_held_then_asked_about_and_never_sent_twice(db, outside, venue, has_left):
    released(escalated(venue=VENUE))
    order = Order.objects.select_related("release__plan").get()
    epochs.look(at=order.release.plan.proposed_at)
    if has_left:  # by the database that was lost, under the name that it has here too
        venue.send(orders.as_sent(order))
    epochs.begin("restored from last night's dump", at=LATER)
    before = [order.client_order_id] if has_left else []
    assert (worked(venue), venue.lines()) == ("new", before)
    release_epoch()
    assert (worked(venue), venue.lines()) == ("unknown", before)
    assert (worked(venue), venue.lines()) == ("working" if has_left else "new", before)
    for round_number in (1, 2):
        worked(venue, LATER + round_number * sending.LEASE)
        assert venue.lines() == [order.client_order_id]


def test_an_order_of_a_plan_made_since_leaves_at_once(db, outside, venue):
    epochs.look(at=BEFORE)
    epochs.begin("restored from last night's dump", at=BEFORE)
    release_epoch()
    released(escalated(venue=VENUE))
    assert worked(venue) == "sent"
