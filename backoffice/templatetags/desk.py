"""`market.figures` for templates: one way to write an amount, an instant, a countdown."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template

from backoffice import badges
from market import figures

register = template.Library()


@register.filter
def money(value: Decimal | str | None, currency: str) -> Any:
    return figures.amount(value, currency)


@register.filter
def instant(value: datetime | None) -> Any:
    return figures.instant(value)


@register.filter
def to_the_second(value: datetime | None) -> Any:
    return figures.instant(value, seconds=True)


@register.filter
def cover(value: Decimal | None) -> Any:
    return figures.ratio(value)


@register.filter
def number(value: Any) -> Any:
    return figures.missing() if value is None else figures.quantity(Decimal(value))


@register.filter
def age(since: datetime | None, at: datetime) -> Any:
    return figures.age(since, at)


@register.filter
def countdown(due_at: datetime, at: datetime) -> Any:
    return figures.countdown(due_at, at)


@register.filter
def state_badge(call: Any) -> Any:
    return badges.state_badge(call)


@register.filter
def delivery_badge(state: str) -> Any:
    return badges.delivery_badge(state)


@register.filter
def words(kind: str) -> str:
    """call.amount_changed → call amount changed"""
    return kind.replace(".", " ").replace("_", " ")


@register.simple_tag
def badge(word: str, look: str = "", icon: str = "") -> Any:
    return figures.badge(word, look=look, icon=icon)


@register.filter
def dispute_reason(code: str) -> str:
    """mark_to_market → The valuation is disputed"""
    from margin import reasons

    return reasons.DISPUTE.get(code, words(code))
