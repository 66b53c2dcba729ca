"""Business days of New York, London and Tokyo from the written rules alone: dates and arithmetic, no library.

New York: NYSE Rule 7.2 (a Saturday's holiday is kept on Friday unless a month or year ends there, so never for New
Year; a Sunday's on Monday), Juneteenth since 2022, and the closures announced by themselves. London: Banking and
Financial Dealings Act 1971 with the substitute days proclaimed for weekends. Tokyo: Act on National Holidays (1948, No.
178) with substitute and sandwiched days, equinoxes by the formula of the Hydrographic Department for 1980 to 2099, and
the days from 31 December to 3 January on which JPX rests. Clocks: 15 USC 260a; SI 2002/262; none in Japan.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

DAY = timedelta(days=1)
FIRST, LAST = date(2024, 1, 1), date(2035, 12, 31)
ANNOUNCED = {date(2025, 1, 9)}  # National Day of Mourning for President Carter: exchanges shut, banks open
MON, TUE, WED, THU, FRI, SAT, SUN = range(7)


def easter(year: int) -> date:
    """Easter Sunday (Nature, 20 April 1876; Butcher, Ecclesiastical Calendar, 1877)."""
    a, b, c = year % 19, year // 100, year % 100
    d, e = b // 4, b % 4
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = c // 4, c % 4
    el = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 19 * el) // 433
    month = (h + el - 7 * m + 90) // 25
    return date(year, month, (h + el - 7 * m + 33 * month + 19) % 32)


def nth(year: int, month: int, weekday: int, count: int) -> date:
    day = date(year, month, 1)
    while day.weekday() != weekday:
        day += DAY
    return day + 7 * (count - 1) * DAY


def last(year: int, month: int, weekday: int) -> date:
    day = date(year, month + 1, 1) - DAY
    while day.weekday() != weekday:
        day -= DAY
    return day


def new_york(year: int) -> set[date]:
    kept = set()
    for month, day in ((6, 19), (7, 4), (12, 25)):
        on = date(year, month, day)
        kept.add(on - DAY if on.weekday() == SAT else on + DAY if on.weekday() == SUN else on)
    new_year = date(year, 1, 1)
    if new_year.weekday() != SAT:
        kept.add(new_year + DAY if new_year.weekday() == SUN else new_year)
    kept |= {nth(year, 1, MON, 3), nth(year, 2, MON, 3), easter(year) - 2 * DAY, last(year, 5, MON)}
    return kept | {nth(year, 9, MON, 1), nth(year, 11, THU, 4)} | {on for on in ANNOUNCED if on.year == year}


def reserve_banks(year: int) -> set[date]:
    """Federal Reserve Banks: a Sunday's holiday is kept on Monday, a Saturday's not at all."""
    fixed = [date(year, month, day) for month, day in ((1, 1), (6, 19), (7, 4), (11, 11), (12, 25))]
    kept = {on + DAY if on.weekday() == SUN else on for on in fixed}
    kept |= {nth(year, 1, MON, 3), nth(year, 2, MON, 3), last(year, 5, MON), nth(year, 9, MON, 1)}
    return kept | {nth(year, 10, MON, 2), nth(year, 11, THU, 4)}


def london(year: int) -> set[date]:
    kept = {easter(year) - 2 * DAY, easter(year) + DAY, nth(year, 5, MON, 1), last(year, 5, MON), last(year, 8, MON)}
    for on in (date(year, 1, 1), date(year, 12, 25), date(year, 12, 26)):
        if on.weekday() < SAT:
            kept.add(on)
    for on in (date(year, 1, 1), date(year, 12, 25), date(year, 12, 26)):
        stand_in = on
        while on.weekday() >= SAT and (stand_in.weekday() >= SAT or stand_in in kept):
            stand_in += DAY
        kept.add(stand_in)
    return kept


def tokyo(year: int) -> set[date]:
    since = year - 1980
    spring = int(20.8431 + 0.242194 * since) - since // 4
    autumn = int(23.2488 + 0.242194 * since) - since // 4
    fixed = ((1, 1), (2, 11), (2, 23), (3, spring), (4, 29), (5, 3), (5, 4), (5, 5), (8, 11), (9, autumn), (11, 3))
    named = {date(year, month, day) for month, day in (*fixed, (11, 23))}
    named |= {nth(year, 1, MON, 2), nth(year, 7, MON, 3), nth(year, 9, MON, 3), nth(year, 10, MON, 2)}
    kept = set(named)
    for on in named:
        if on.weekday() == SUN:  # Article 3, paragraph 2: the nearest later day that is no national holiday
            stand_in = on
            while stand_in in named:
                stand_in += DAY
            kept.add(stand_in)
    kept |= {on + DAY for on in named if on + 2 * DAY in named and on + DAY not in named}  # paragraph 3
    return kept | {date(year, 1, 2), date(year, 1, 3), date(year, 12, 31)}


def business_days(*holidays: Callable[[int], set[date]]) -> list[date]:
    """Weekdays of 2024 to 2035 that are a holiday of none of these."""
    shut = {on for rest in holidays for year in range(2024, 2036) for on in rest(year)}
    span = ((FIRST + k * DAY) for k in range((LAST - FIRST).days + 1))
    return [on for on in span if on.weekday() < SAT and on not in shut]


def every_day() -> list[date]:
    return [FIRST + k * DAY for k in range((LAST - FIRST).days + 1)]


# --- clocks -----------------------------------------------------------------------------------------------------


def new_york_utc(on: date, wall: time) -> datetime:
    """A wall time after 02:00: summer time from the second Sunday of March to the first of November."""
    is_summer = nth(on.year, 3, SUN, 2) <= on < nth(on.year, 11, SUN, 1)
    return datetime.combine(on, wall, UTC) + timedelta(hours=4 if is_summer else 5)


def london_utc(on: date, wall: time) -> datetime:
    """A wall time after 02:00: summer time from the last Sunday of March to the last of October."""
    is_summer = last(on.year, 3, SUN) <= on < last(on.year, 10, SUN)
    return datetime.combine(on, wall, UTC) - timedelta(hours=1 if is_summer else 0)


def tokyo_utc(on: date, wall: time) -> datetime:
    return datetime.combine(on, wall, UTC) - timedelta(hours=9)


def utc(on: date, wall: time) -> datetime:
    return datetime.combine(on, wall, UTC)
