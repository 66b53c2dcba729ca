"""Days closed or opened out of turn: mourning, storms, failed systems. A fact each, and the sessions follow it."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Max

from market.calendars import CalendarUnknown, Days
from market.models import Calendar, DayChange, Session
from market.strict import refuse

HOURS = ("opens_at", "closes_at", "break_starts_at", "break_ends_at")


@transaction.atomic
def close_day(code: str, on: date, *, reason: str, source: str) -> DayChange:
    """Record that a calendar is shut on a day on which it would be open; the hours it loses are kept.

    Raises strict.Refused where the day is shut already, CalendarUnknown where nothing is known of it.
    """
    calendar = _locked(code, on, reason)
    session = calendar.sessions.filter(on=on).first()
    if session is None:
        raise refuse("on", f"calendar {code} is closed on {on} already")
    hours = {name: getattr(session, name) for name in HOURS}
    session.delete()
    return DayChange.objects.create(
        calendar=calendar, on=on, is_open=False, reason=reason.strip(), source=source[:32], **hours
    )


@transaction.atomic
def open_day(code: str, on: date, *, reason: str, source: str, hours: tuple[time, time] | None = None) -> DayChange:
    """Record that a calendar is open on a day on which it would be shut: with these hours, or those it lost.

    Raises strict.Refused where the day is open already or its hours are not known, CalendarUnknown as `close_day`.
    """
    calendar = _locked(code, on, reason)
    if calendar.sessions.filter(on=on).exists():
        raise refuse("on", f"calendar {code} is open on {on} already")
    stated = _hours(calendar, on, hours)
    Session.objects.create(calendar=calendar, on=on, **stated)
    return DayChange.objects.create(
        calendar=calendar, on=on, is_open=True, reason=reason.strip(), source=source[:32], **stated
    )


def latest() -> dict[str, datetime]:
    """When each calendar that was ever changed was changed last."""
    rows = DayChange.objects.order_by().values_list("calendar__code").annotate(last=Max("recorded_at"))
    return dict(rows)


def changes(code: str, *, since: datetime) -> list[DayChange]:
    """The changes of a calendar recorded after an instant, the oldest first."""
    return list(DayChange.objects.filter(calendar__code=code, recorded_at__gt=since).order_by("id"))


def before(days: Days, made: Iterable[DayChange]) -> Days:
    """The business days as they were before these changes, given the oldest first."""
    dates = set(days.dates)
    for change in reversed(list(made)):
        (dates.discard if change.is_open else dates.add)(change.on)
    return replace(days, dates=tuple(sorted(dates)))


def _locked(code: str, on: date, reason: str) -> Calendar:
    if not reason.strip() or len(reason) > 200:
        raise refuse("reason", "must say in at most 200 characters why, and who announced it")
    calendar = Calendar.objects.select_for_update().filter(code=code).first()
    if calendar is None:
        raise CalendarUnknown(f"there is no calendar {code!r}; run manage.py load_calendars {code}")
    if calendar.always_open:
        raise refuse("calendar", f"{code} never closes")
    if not calendar.known_from <= on <= calendar.known_until:
        raise CalendarUnknown(
            f"calendar {code} is known from {calendar.known_from} until {calendar.known_until}, not on {on}; "
            f"run manage.py load_calendars {code}"
        )
    return calendar


def _hours(calendar: Calendar, on: date, hours: tuple[time, time] | None) -> dict[str, datetime | None]:
    """The session's hours: stated as wall times, or those that the last closure of the day took away."""
    if hours is not None:
        zone = ZoneInfo(calendar.zone)
        first, last = (datetime.combine(on, wall, zone) for wall in hours)
        if first >= last:
            raise refuse("hours", f"{hours[0]} must lie before {hours[1]}")
        return {"opens_at": first, "closes_at": last}
    lost = calendar.changes.filter(on=on).order_by("-id").first()
    if lost is None:
        raise refuse("hours", f"calendar {calendar} has never been open on {on}; say from when until when it is")
    return {name: getattr(lost, name) for name in HOURS}
