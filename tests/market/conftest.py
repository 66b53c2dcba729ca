"""Small worlds for the market room's tests: instruments and instants, nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from market.guard import Incoming
from market.models import Instrument

NOON = datetime(2026, 11, 20, 17, tzinfo=UTC)


def quote(
    instrument: str = "ACME", mark: str | None = "100", *, seconds: float = 0, source: str = "alpha", **more: Any
) -> Incoming:
    """A quote `seconds` after noon in New York on 2026-11-20."""
    prices = {name: Decimal(more.pop(name)) for name in ("bid", "ask", "implied_volatility") if name in more}
    as_of = NOON + timedelta(seconds=seconds)
    return Incoming(instrument, source, as_of, Decimal(mark) if mark is not None else None, **prices, **more)


def instrument(code: str = "ACME", **more: Any) -> Instrument:
    more.setdefault("kind", "equity")
    more.setdefault("currency", "USD")
    return Instrument.objects.create(code=code, name=code, **more)


@pytest.fixture
def acme(db: None) -> Instrument:
    return instrument()


@pytest.fixture
def people(db: None, django_user_model: Any) -> Callable[[str, str], Any]:
    """`people("ria", "Risk")` is a member of staff in that role."""
    from django.contrib.auth.models import Group

    def make(name: str, role: str) -> Any:
        user = django_user_model.objects.create_user(username=name, is_staff=True)
        user.groups.add(Group.objects.get_or_create(name=role)[0])
        return user

    return make
