"""How amounts, quantities and instants are written in a notice. Pure; the locale is the active translation's.

Nothing is rounded away: an amount has at least its currency's decimals, and more where it needs them.
"""

import unicodedata
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel.dates import format_date
from django.utils.translation import get_language, gettext, ngettext

from market.figures import separated


def money(value: Decimal, currency: str, minor: int = 2) -> str:
    """`71964` → `71,964.00 USD`; negative amounts keep their sign, nothing is in exponents."""
    return f"{number(value, minor)} {currency}"


def number(value: Decimal, at_least: int = 0) -> str:
    """With separators, and at least so many decimals."""
    decimals = max(0, -int(value.normalize().as_tuple().exponent)) if value else 0
    return separated(value, max(decimals, at_least))


def percent(rate: Decimal) -> str:
    """`0.3` → `30 %`, not broken across lines."""
    return f"{separated((rate * 100).normalize())}\u00a0%"


def isolated(name: str) -> str:
    """A name inside a sentence: one written from right to left must not turn the figures beside it."""
    is_turning = any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in name)
    return f"\u2068{name}\u2069" if is_turning else name


def day(at: datetime) -> str:
    """`Mon 2 Mar 2026`, in the language of the reader."""
    return format_date(at.date(), "EEE d MMM yyyy", locale=get_language() or "en")


def place(zone: str, at: datetime) -> str:
    """`New York time`; zones without a city by their offset."""
    city = zone.rpartition("/")[2].replace("_", " ")
    if zone in ("UTC", "Etc/UTC"):
        return "UTC"
    if "/" not in zone or zone.startswith("Etc/"):
        return offset(at.astimezone(ZoneInfo(zone)))
    return gettext("%(city)s time") % {"city": city}


def offset(local: datetime) -> str:
    """`UTC−05:00`."""
    east = local.utcoffset() or timedelta(0)
    minutes = int(abs(east).total_seconds()) // 60
    sign = "−" if east < timedelta(0) else "+"
    return f"UTC{sign}{minutes // 60:02}:{minutes % 60:02}"


def instant(at: datetime, zone: str) -> str:
    """`Mon 2 Mar 2026, 15:00 New York time (UTC−05:00)`."""
    local = at.astimezone(ZoneInfo(zone))
    name, shift = place(zone, at), offset(local)
    stated = name if name in (shift, "UTC") else f"{name} ({shift})"
    return f"{day(local)}, {local:%H:%M} {stated}"


def deadline(due_at: datetime, at: datetime, zone: str) -> str:
    """For a subject: `today 15:00 New York time (Mon 2 Mar 2026)`. The day stays: a mail may be read tomorrow."""
    local, now = due_at.astimezone(ZoneInfo(zone)), at.astimezone(ZoneInfo(zone))
    moment = f"{local:%H:%M} {place(zone, due_at)}"
    if due_at <= at:
        return gettext("now (since %(moment)s, %(day)s)") % {"moment": moment, "day": day(local)}
    days = (local.date() - now.date()).days
    if days == 0:
        return gettext("today %(moment)s (%(day)s)") % {"moment": moment, "day": day(local)}
    if days == 1:
        return gettext("tomorrow %(moment)s (%(day)s)") % {"moment": moment, "day": day(local)}
    return gettext("%(day)s, %(moment)s") % {"moment": moment, "day": day(local)}


def countdown(due_at: datetime, at: datetime) -> str:
    """`5 hours 30 minutes` between the two; empty once due."""
    minutes = int((due_at - at).total_seconds() // 60)
    if minutes <= 0:
        return ""
    days, hours, left = minutes // 1440, minutes % 1440 // 60, minutes % 60
    parts = [
        (days, ngettext("%(n)s day", "%(n)s days", days)),
        (hours, ngettext("%(n)s hour", "%(n)s hours", hours)),
        (left if not days else 0, ngettext("%(n)s minute", "%(n)s minutes", left)),
    ]
    return " ".join(words % {"n": count} for count, words in parts if count)
