"""How figures and instants are written on a screen: tabular, with separators, zone and reason. Pure.

Money is shown half-even to the minor unit (settled.md 17); missing is "—" with its reason on hover, never zero.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

MINOR_EXPONENTS = {"JPY": 0, "KRW": 0, "CLP": 0, "ISK": 0, "VND": 0, "BTC": 8, "ETH": 8, "SOL": 8}
MINUS = "−"
UNBOUNDED = 99_999_999  # what a cover is stored as where nothing is required
HOUR, DAY = 3600, 86400


def missing(reason: str = "not known") -> SafeString:
    return format_html('<span class="missing" title="{}">—</span>', reason)


def _absent(reason: str) -> SafeString:
    """A missing figure: it stands where the figure would."""
    return format_html('<span class="figure missing" title="{}">—</span>', reason)


def separated(value: Decimal, places: int | None = None, *, rounding: str = ROUND_HALF_EVEN) -> str:
    """`-1234.5` → `−1,234.50`. Without `places`: as many as the value needs. Never an exponent."""
    if places is not None:
        value = value.quantize(Decimal(1).scaleb(-places), rounding=rounding)
    text = f"{abs(value):,f}"
    if places is None and "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{MINUS}{text}" if value < 0 else text


def amount(value: Decimal | str | None, currency: str, *, why: str = "not known") -> SafeString:
    """Money with its currency code; `value` may be text, as in explanations."""
    if value is None or value == "":
        return _absent(why)
    text = separated(Decimal(value), MINOR_EXPONENTS.get(currency, 2))
    return format_html('<span class="figure">{} <span class="unit">{}</span></span>', text, currency)


def total(amounts: Iterable[tuple[str, Decimal]]) -> SafeString:
    """Sums per currency, never across currencies: "1,240,000.00 USD · 300.00 EUR"."""
    return format_html_join(" · ", "{}", ((amount(value, currency),) for currency, value in amounts))


def quantity(value: Decimal | None, *, why: str = "not known") -> SafeString:
    return _absent(why) if value is None else format_html('<span class="figure">{}</span>', separated(value))


def price(value: Decimal | None, currency: str = "", *, why: str = "no price") -> SafeString:
    """At least two decimals, more where the price has them."""
    if value is None:
        return _absent(why)
    exact = value.normalize()
    places = max(2, -int(exact.as_tuple().exponent))
    return format_html(
        '<span class="figure">{} <span class="unit">{}</span></span>', separated(value, places), currency
    )


def ratio(value: Decimal | None, *, why: str = "nothing is required") -> SafeString:
    """A cover such as 1.023. Rounded down: a cover below one never reads as one."""
    if value is None or abs(value) >= UNBOUNDED:
        return _absent(why)
    return format_html('<span class="figure">{}</span>', separated(value, 3, rounding=ROUND_DOWN))


def percent(value: Decimal | None, *, why: str = "not known") -> SafeString:
    if value is None:
        return _absent(why)
    return format_html('<span class="figure">{} %</span>', separated((value * 100).normalize()))


# --- instants ---------------------------------------------------------------------------------------


def wall(at: datetime, zone: str | None = None, *, seconds: bool = False) -> str:
    """ "2026-11-22 09:31 EST": wall time with its zone named; the desk's zone unless another is given."""
    local = at.astimezone(ZoneInfo(zone or settings.TIME_ZONE))
    return f"{local:%Y-%m-%d %H:%M:%S %Z}" if seconds else f"{local:%Y-%m-%d %H:%M %Z}"


def instant(at: datetime | None, *, seconds: bool = False, why: str = "not yet") -> SafeString:
    if at is None:
        return missing(why)
    utc = at.astimezone(ZoneInfo("UTC"))
    hover = f"{utc:%Y-%m-%d %H:%M:%S} UTC"
    return format_html('<time datetime="{}" title="{}">{}</time>', utc.isoformat(), hover, wall(at, seconds=seconds))


def lapse(seconds: float) -> str:
    """ "2 d 4 h", "3 h 12 m", "12 m", "40 s": the two largest parts."""
    left = int(abs(seconds))
    days, hours, minutes = left // DAY, left % DAY // HOUR, left % HOUR // 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes:02} m"
    return f"{minutes} m" if minutes else f"{left} s"


def urgency(due_at: datetime, at: datetime) -> str:
    """overdue, hour, today or later: what colours a countdown. "Today" is the desk's day."""
    if due_at <= at:
        return "overdue"
    if (due_at - at).total_seconds() < HOUR:
        return "hour"
    zone = ZoneInfo(settings.TIME_ZONE)
    return "today" if due_at.astimezone(zone).date() == at.astimezone(zone).date() else "later"


def countdown(due_at: datetime, at: datetime, *, client_zone: str = "") -> SafeString:
    """ "3 h 12 m left", with the instant in desk zone, client zone and UTC on hover. Words stand with the colour."""
    kind = urgency(due_at, at)
    seconds = (due_at - at).total_seconds()
    words = f"overdue {lapse(seconds)}" if kind == "overdue" else f"{lapse(seconds)} left"
    zones = dict.fromkeys((wall(due_at), *([wall(due_at, client_zone)] if client_zone else []), wall(due_at, "UTC")))
    return format_html('<span class="countdown due-{}" title="{}">{}</span>', kind, " · ".join(zones), words)


def age(since: datetime | None, at: datetime, *, limit_seconds: float | None = None, why: str = "never") -> SafeString:
    """ "17 m old"; a chip that stands out once older than its limit."""
    if since is None:
        return missing(why)
    seconds = (at - since).total_seconds()
    old = limit_seconds is not None and seconds > limit_seconds
    return format_html(
        '<span class="age{}" title="{}">{} old</span>', " age-stale" if old else "", wall(since, "UTC"), lapse(seconds)
    )


def badge(word: Any, *, look: str = "", icon: str = "") -> SafeString:
    """A word in a coloured pill; the icon and the word say what the colour says."""
    symbol = format_html('<span class="material-symbols-outlined" aria-hidden="true">{}</span>', icon) if icon else ""
    return format_html('<span class="badge badge-{}">{}{}</span>', look or word, symbol, str(word).replace("_", " "))
