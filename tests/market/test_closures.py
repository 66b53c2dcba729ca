"""Days out of turn are facts, and the sessions follow them; settlement cycles are rows by trade date."""

from datetime import UTC, date, datetime

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from market import calendars, closures, cycles, strict
from market.calendars import CalendarUnknown
from market.models import DayChange, Session

MOURNING = date(2025, 1, 9)  # NYSE closed for President Carter; Nasdaq and Cboe as well


@pytest.fixture
def tokyo(db: None) -> str:
    calendars.fill("XTKS", date(2026, 11, 2), date(2026, 11, 30))
    return "XTKS"


def days(code: str) -> tuple[date, ...]:
    return calendars.business_days(code).dates


def test_a_day_is_closed_and_opened_again_with_the_hours_it_lost(tokyo: str) -> None:
    on = date(2026, 11, 20)
    before = Session.objects.values("opens_at", "closes_at", "break_starts_at", "break_ends_at").get(on=on)
    known = days(tokyo)
    closures.close_day(tokyo, on, reason="system failure, announced by JPX", source="test")
    assert days(tokyo) == tuple(day for day in known if day != on)
    closures.open_day(tokyo, on, reason="repaired", source="test")
    assert days(tokyo) == known
    assert Session.objects.values("opens_at", "closes_at", "break_starts_at", "break_ends_at").get(on=on) == before
    assert list(DayChange.objects.values_list("is_open", flat=True)) == [False, True]


def test_filling_again_does_not_open_a_closed_day(tokyo: str) -> None:
    closures.close_day(tokyo, date(2026, 11, 20), reason="typhoon", source="test")
    calendars.fill(tokyo, date(2026, 11, 2), date(2026, 12, 30))
    assert date(2026, 11, 20) not in days(tokyo)


def test_a_saturday_is_opened_with_stated_hours(tokyo: str, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("close_calendar", tokyo, "2026-11-21", "--reason=rehearsal", "--open", "--hours", "09:00", "11:30")
    assert Session.objects.get(on=date(2026, 11, 21)).opens_at == datetime(2026, 11, 21, 0, 0, tzinfo=UTC)
    assert capsys.readouterr().out.strip() == "XTKS 2026-11-21 opened: rehearsal"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["XTKS", "2026-11-21", "--reason=x"], "closed on 2026-11-21 already"),
        (["XTKS", "2026-11-20", "--reason=x", "--open"], "open on 2026-11-20 already"),
        (["XTKS", "2026-11-21", "--reason=x", "--open"], "never been open"),
        (["XTKS", "2026-11-21", "--reason=x", "--open", "--hours", "11:00", "9"], "09:30 16:00"),
        (["XTKS", "2026-11-21", "--reason=x", "--open", "--hours", "11:00", "09:00"], "must lie before"),
        (["XTKS", "2026-11-20", "--reason= "], "reason"),
        (["XTKS", "2027-11-19", "--reason=x"], "known from 2026-11-02 until 2026-11-30"),
        (["XLON", "2026-11-20", "--reason=x"], "there is no calendar"),
        (["24/7", "2026-11-20", "--reason=x"], "never closes"),
    ],
)
def test_what_cannot_be_closed_or_opened_is_refused(tokyo: str, arguments: list[str], said: str) -> None:
    calendars.fill("24/7", date(2026, 11, 2), date(2026, 11, 30))
    with pytest.raises(CommandError, match=said):
        call_command("close_calendar", *arguments)
    assert not DayChange.objects.exists()


def test_the_days_of_the_past_are_read_as_they_were_known(tokyo: str) -> None:
    known, start = calendars.business_days(tokyo), datetime(2000, 1, 1, tzinfo=UTC)
    closures.close_day(tokyo, date(2026, 11, 20), reason="typhoon", source="test")
    closures.close_day(tokyo, date(2026, 11, 24), reason="typhoon", source="test")
    closures.open_day(tokyo, date(2026, 11, 20), reason="it passed by", source="test")
    made = closures.changes(tokyo, since=start)
    assert closures.before(calendars.business_days(tokyo), made) == known
    assert closures.before(calendars.business_days(tokyo), made[1:]).dates == tuple(
        day for day in known.dates if day != date(2026, 11, 20)
    )
    assert set(closures.latest()) == {tokyo}


@pytest.mark.parametrize("table", ["market_daychange", "market_settlementcycle"])
def test_what_was_recorded_of_days_stays(tokyo: str, table: str) -> None:
    closures.close_day(tokyo, date(2026, 11, 20), reason="typhoon", source="test")
    for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET source = 'x'"):
        with pytest.raises(DatabaseError, match="append only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def test_the_cycles_are_those_that_the_markets_announced(db: None) -> None:
    assert cycles.known("US") == ((date(1995, 6, 7), 3), (date(2017, 9, 5), 2), (date(2024, 5, 28), 1))
    assert cycles.known("JP")[-1] == (date(2019, 7, 16), 2)
    assert cycles.known("UK")[-2:] == cycles.known("EU")[-2:] == ((date(2014, 10, 6), 2), (date(2027, 10, 11), 1))
    assert cycles.known("XX") == ()


def test_a_change_that_is_put_off_is_a_later_row(db: None) -> None:
    call_command("settlement_cycle", "UK", "2027-10-11", "2", "--source=put off by half a year")
    call_command("settlement_cycle", "UK", "2028-04-03", "1", "--source=put off by half a year")
    assert cycles.known("UK")[-2:] == ((date(2027, 10, 11), 2), (date(2028, 4, 3), 1))
    for days_stated, source in (("9", "x"), ("1", " ")):
        with pytest.raises(CommandError):
            call_command("settlement_cycle", "UK", "2028-04-03", days_stated, f"--source={source}")


def test_the_day_of_mourning_was_no_business_day_of_regulation_t(db: None) -> None:
    for code in ("US-REGT", "US-BANK"):
        calendars.fill(code, date(2024, 10, 1), date(2025, 1, 31))
    assert MOURNING not in days("US-REGT")
    assert MOURNING in days("US-BANK")
    for holiday in (date(2024, 10, 14), date(2024, 11, 11)):  # Columbus Day, Veterans Day: exchanges trade, banks rest
        assert holiday in days("US-REGT")
        assert holiday not in days("US-BANK")


def test_banks_of_london_and_tokyo_rest_on_the_days_of_the_law(db: None) -> None:
    for code in ("UK-BANK", "JP-BANK"):
        calendars.fill(code, date(2026, 4, 1), date(2026, 5, 31))
    missing = {
        code: [
            f"{day:%m-%d}"
            for k in range(61)
            if (day := date.fromordinal(date(2026, 4, 1).toordinal() + k)).weekday() < 5 and day not in days(code)
        ]
        for code in ("UK-BANK", "JP-BANK")
    }
    assert missing["UK-BANK"] == ["04-03", "04-06", "05-04", "05-25"]  # gov.uk/bank-holidays
    assert missing["JP-BANK"] == ["04-29", "05-04", "05-05", "05-06"]  # 3 May is a Sunday: the 6th stands in for it


def test_a_bad_cycle_is_refused(db: None) -> None:
    with pytest.raises(strict.Refused):
        cycles.record("", effective_on=date(2028, 1, 3), days=1, source="x")
    with pytest.raises(CalendarUnknown):
        closures.close_day("NONE", date(2028, 1, 3), reason="x", source="x")
