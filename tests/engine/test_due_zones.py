"""Wall times that the clocks skip or repeat: every change of clocks 2024 to 2035 in two dozen zones."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from margin import due

# Changes of an hour, of half an hour (Lord Howe) and of two (Troll); at midnight, so that a day begins at 01:00
# (Beirut, Santiago); in both hemispheres; and those of Casablanca around Ramadan.
ZONES = (
    *("America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles", "America/St_Johns"),
    *("America/Havana", "America/Santiago", "America/Halifax", "America/Anchorage", "America/Nuuk"),
    *("Europe/London", "Europe/Dublin", "Europe/Berlin", "Europe/Lisbon", "Europe/Athens", "Europe/Chisinau"),
    *("Asia/Beirut", "Asia/Jerusalem", "Africa/Cairo", "Africa/Casablanca", "Atlantic/Azores"),
    *("Australia/Sydney", "Australia/Adelaide", "Australia/Lord_Howe", "Pacific/Auckland", "Pacific/Chatham"),
    *("Pacific/Norfolk", "Antarctica/Troll", "Pacific/Easter"),
)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
FIRST, LAST = date(2024, 1, 1), date(2035, 12, 31)


def offset(zone: ZoneInfo, at: datetime) -> timedelta:
    found = at.astimezone(zone).utcoffset()
    assert found is not None
    return found


def changes(zone: ZoneInfo) -> list[date]:
    """The local days on which the offset changes."""
    found, at = [], datetime(2024, 1, 1, tzinfo=UTC)
    while at.date() <= LAST:
        if offset(zone, at) != offset(zone, at + DAY):
            low, high = at, at + DAY
            while high - low > MINUTE:
                middle = low + (high - low) // MINUTE // 2 * MINUTE
                low, high = (middle, high) if offset(zone, middle) == offset(zone, at) else (low, middle)
            found.append((high - MINUTE).astimezone(zone).date())
            if high.astimezone(zone).date() != found[-1]:
                found.append(high.astimezone(zone).date())
        at += DAY
    return found


def table(zone: ZoneInfo, on: date) -> dict[datetime, datetime]:
    """Wall time of that day and its neighbours → the last instant that reads so, minute by minute, from UTC alone."""
    start = datetime.combine(on, time(), UTC) - timedelta(hours=15)
    minutes = (start + k * MINUTE for k in range(54 * 60))
    return {at.astimezone(zone).replace(tzinfo=None, fold=0): at for at in minutes}


def expected(read: dict[datetime, datetime], wall: datetime) -> datetime:
    """The last instant that reads so; a skipped time is as long after the last one before it as it says."""
    back = 0
    while wall - back * MINUTE not in read:
        back += 1
    return read[wall - back * MINUTE] + back * MINUTE


@pytest.mark.parametrize("name", ZONES)
def test_skipped_times_move_by_the_gap_and_of_repeated_ones_the_later_counts(name):
    zone = ZoneInfo(name)
    found = changes(zone)
    assert len(found) >= 18, "a zone that changes its clocks"
    skipped = repeated = 0
    for on in found:
        read = table(zone, on)
        days = (on - DAY, on, on + DAY)
        noon = datetime.combine(on - DAY, time(12), zone)
        for minute in range(0, 24 * 60, 15):
            wall = datetime.combine(on, time(minute // 60, minute % 60))
            rule = due.Rule("business_days", 1, name, "24/7", f"{wall:%H:%M}")
            got = due.due(rule, base_at=noon, business_days=days, known_until=days[-1]).at
            assert got == expected(read, wall), (on, wall)
            skipped += wall not in read
            repeated += wall in read and got.astimezone(zone).fold == 1
    assert skipped >= 9
    assert repeated >= 9


@pytest.mark.parametrize("name", ZONES)
def test_a_day_of_hours_is_a_day_of_hours_across_every_change(name):
    zone = ZoneInfo(name)
    for on in changes(zone):
        noon = datetime.combine(on - DAY, time(12), zone).astimezone(UTC)
        for hours in (24, 48, 72):
            assert due.due(due.Rule("hours", hours, zone=name), base_at=noon).at == noon + hours * timedelta(hours=1)
