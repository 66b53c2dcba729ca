"""A small world for the tests of the accounts room."""

import itertools
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import Sum

from accounts.models import Account, Client, Position, PositionFact, Revision
from market.models import CorporateAction, Instrument

D = Decimal
AT = datetime(2026, 11, 20, 21, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
numbers = itertools.count(1)


def instrument(code: str, kind: str = "equity", **terms: Any) -> Instrument:
    given = {"name": code, "currency": "USD", **terms}
    if kind == "cash":
        given = {"minor_exponent": 2, **given, "currency": terms.get("currency", code)}
    return Instrument.objects.create(code=code, kind=kind, **given)


def usd() -> Instrument:
    return Instrument.objects.filter(code="USD").first() or instrument("USD", "cash")


def account(code: str = "A1") -> Account:
    client, _ = Client.objects.get_or_create(code=f"C-{code}", defaults={"name": f"Client of {code}"})
    return Account.objects.create(code=code, client=client, agreement="reg-t", opened_on=date(2020, 1, 2))


def person(name: str) -> Any:
    return get_user_model().objects.get_or_create(username=name)[0]


def action(kind: str, of: Instrument, *, effective_at: datetime, **terms: Any) -> CorporateAction:
    """An action that one person entered and another approved."""
    return CorporateAction.objects.create(
        kind=kind,
        instrument=of,
        effective_at=effective_at,
        reason="announced",
        proposed_by=person("operations"),
        approved_by=person("risk"),
        approved_at=effective_at - HOUR,
        **terms,
    )


def holds(of: Account, what: Instrument) -> Decimal:
    found = Position.objects.filter(account=of, instrument=what).first()
    return found.quantity if found else Decimal(0)


def cost(of: Account, what: Instrument) -> Decimal | None:
    return Position.objects.get(account=of, instrument=what).cost


def revision(of: Account) -> int:
    found = Revision.objects.filter(account=of).first()
    return found.number if found else 0


def reference() -> str:
    return f"ref-{next(numbers)}"


def assert_positions_are_the_sums_of_their_facts() -> None:
    facts = PositionFact.objects.order_by().values_list("account", "instrument").annotate(Sum("change"))
    sums = {(of, what): total for of, what, total in facts}
    assert {(row.account_id, row.instrument_id): row.quantity for row in Position.objects.all()} == sums
    with connection.cursor() as cursor:  # and every fact continues its predecessor
        cursor.execute(
            "SELECT id FROM (SELECT id, quantity, sum(change) OVER (PARTITION BY account_id, instrument_id ORDER BY id)"
            " AS total FROM accounts_positionfact) facts WHERE quantity <> total"
        )
        assert cursor.fetchall() == []


def instrument_of(code: str) -> Instrument:
    return Instrument.objects.get(code=code)
