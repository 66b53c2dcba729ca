"""Figures and instants as clients read them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from notifications import wording
from notifications.cases import masked, zone_or

D = Decimal
AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)  # a Monday, 10:00 in New York, before summer time


@pytest.mark.parametrize(
    ("value", "currency", "minor", "told"),
    [
        ("71964", "USD", 2, "71,964.00 USD"),
        ("0", "USD", 2, "0.00 USD"),
        ("-0.5", "USD", 2, "−0.50 USD"),
        ("-1234567.891", "USD", 2, "−1,234,567.891 USD"),
        ("1E+6", "USD", 2, "1,000,000.00 USD"),
        ("1E-8", "BTC", 8, "0.00000001 BTC"),
        ("150000", "JPY", 0, "150,000 JPY"),
        ("99999999999999999999.99", "USD", 2, "99,999,999,999,999,999,999.99 USD"),
    ],
)
def test_an_amount_keeps_sign_and_every_digit_and_is_never_in_exponents(value, currency, minor, told):
    assert wording.money(D(value), currency, minor) == told


@pytest.mark.parametrize(("rate", "told"), [("0.3", "30"), ("0.001", "0.1"), ("0.3334", "33.34"), ("1", "100")])
def test_a_rate_reads_as_per_cent(rate, told):
    assert wording.percent(D(rate)) == f"{told}\u00a0%"


@pytest.mark.parametrize(
    ("at", "zone", "told"),
    [
        (AT, "America/New_York", "Mon 2 Mar 2026, 10:00 New York time (UTC−05:00)"),
        (
            datetime(2026, 3, 9, 15, 0, tzinfo=UTC),
            "America/New_York",
            "Mon 9 Mar 2026, 11:00 New York time (UTC−04:00)",
        ),
        (AT, "Asia/Kolkata", "Mon 2 Mar 2026, 20:30 Kolkata time (UTC+05:30)"),
        (AT, "America/St_Johns", "Mon 2 Mar 2026, 11:30 St Johns time (UTC−03:30)"),
        (AT, "Pacific/Kiritimati", "Tue 3 Mar 2026, 05:00 Kiritimati time (UTC+14:00)"),
        (AT, "America/Argentina/Buenos_Aires", "Mon 2 Mar 2026, 12:00 Buenos Aires time (UTC−03:00)"),
        (AT, "UTC", "Mon 2 Mar 2026, 15:00 UTC"),
        (AT, "EST5EDT", "Mon 2 Mar 2026, 10:00 UTC−05:00"),
    ],
)
def test_an_instant_names_its_zone_and_offset(at, zone, told):
    assert wording.instant(at, zone) == told


@pytest.mark.parametrize(
    ("due_at", "zone", "told"),
    [
        (datetime(2026, 3, 2, 20, 0, tzinfo=UTC), "America/New_York", "today 15:00 New York time (Mon 2 Mar 2026)"),
        (datetime(2026, 3, 3, 20, 0, tzinfo=UTC), "America/New_York", "tomorrow 15:00 New York time (Tue 3 Mar 2026)"),
        (datetime(2026, 3, 4, 20, 0, tzinfo=UTC), "America/New_York", "Wed 4 Mar 2026, 15:00 New York time"),
        # one instant, two readers: in Tokyo the 3rd has begun when the notice is prepared
        (datetime(2026, 3, 2, 20, 0, tzinfo=UTC), "Asia/Tokyo", "today 05:00 Tokyo time (Tue 3 Mar 2026)"),
        (AT, "America/New_York", "now (since 10:00 New York time, Mon 2 Mar 2026)"),
    ],
)
def test_a_deadline_is_told_in_the_readers_day(due_at, zone, told):
    assert wording.deadline(due_at, AT, zone) == told


@pytest.mark.parametrize(
    ("minutes", "told"),
    [(0, ""), (-5, ""), (1, "1 minute"), (330, "5 hours 30 minutes"), (2880, "2 days"), (1505, "1 day 1 hour")],
)
def test_the_time_left_is_told_in_its_two_largest_parts(minutes, told):
    assert wording.countdown(AT + timedelta(minutes=minutes), AT) == told


@pytest.mark.parametrize(("code", "shown"), [("A1008", "•••1008"), ("AB12", "•••12"), ("U0012345", "•••2345")])
def test_an_account_is_masked(code, shown):
    assert masked(code) == shown


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "America/New_York\n", "a" * 500])
def test_an_unknown_zone_falls_back_to_the_desks(name):
    assert zone_or(name, "America/New_York") == "America/New_York"
