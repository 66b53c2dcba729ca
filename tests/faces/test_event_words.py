"""What an event's details say on a page: words for codes, the desk's own time for instants."""

import pytest

from backoffice import event_words
from margin import disputes, sweep
from margin.models import MarginCall
from tests.margin import rows, world


@pytest.mark.parametrize(
    ("kind", "key", "value", "expected"),
    [
        ("dispute.opened", "reason_code", "mark_to_market", "The valuation is disputed"),
        ("extension.requested", "reason_code", "bank_transfer", "A bank transfer is under way and proven"),
        ("dispute.opened", "reason_code", "of_old", "of old"),
        ("contact.logged", "channel", "phone", "Telephone"),
        ("dispute.opened", "stops_clock", True, "yes"),
        ("plan.released", "orders", ["MD1-a", "MD2-b"], "MD1-a, MD2-b"),
        ("call.note", "who", "2026", "2026"),
    ],
)
def test_codes_are_words(kind, key, value, expected):
    assert event_words.shown(kind, key, value) == expected


@pytest.mark.parametrize("text", ["2026-03-03T15:00:00Z", "2026-03-03T15:00:00.123456Z", "2026-03-03T16:00:00+01:00"])
def test_instants_are_the_desks_time(text):
    assert "2026-03-03 10:00 EST" in event_words.shown("contact.logged", "deadline_quoted", text)


def test_the_calls_page_says_why_it_is_disputed_in_words(db, sign_in):
    rows.policy("us_margin", world.securities())
    xyz = rows.equity("XYZ")
    rows.cash()
    world.long_account("100", "3600", xyz)
    world.quote(xyz, "50", world.MONDAY)
    sweep.run("securities", at=world.MONDAY)
    call = MarginCall.objects.get()
    disputes.dispute(
        call, amount=call.amount_outstanding, reason_code="held_collateral", reason="", at=world.MONDAY,
        actor=rows.staff("olga", "Operations"),
    )  # fmt: skip
    page = sign_in("Auditor").get(f"/admin/margin/margincall/{call.pk}/change/").content.decode()
    assert page.count("Collateral held is not counted") == 2  # among the disputes, and on the timeline
    assert "held_collateral" not in page
