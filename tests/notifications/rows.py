"""What tests of the notifications room start from: real events, made through the door or by a real sweep."""

from datetime import datetime, timedelta
from typing import Any

from accounts.models import Account, Client, Contact
from margin import calls, sweep
from margin.models import Event, MarginCall, PolicyVersion
from tests.margin import rows, world

MONDAY = world.MONDAY  # Monday 2 March 2026, 10:00 in New York
LATER = MONDAY + timedelta(hours=1)
SWEEPER = rows.SWEEPER


def issued(
    owner: Account | None = None,
    *,
    amount: str = "71964.00",
    at: datetime = MONDAY,
    version: PolicyVersion | None = None,
    **options: Any,
) -> MarginCall:
    """A call issued through the door, without an assessment."""
    owner, version = owner or rows.account(), version or rows.policy()
    outcome = calls.carry_out([rows.issue(owner, version, amount=amount, at=at, **options)], at=at, actor=SWEEPER)
    assert outcome[0].error is None
    return MarginCall.objects.get(pk=outcome[0].call_id)


def swept_house(*, quantity: str = "100", borrowed: str = "3600", price: str = "50", name: str = "XYZ") -> Account:
    """An account long XYZ under the reg_t policy of `tests.margin.world`, and one sweep: by default called for 100."""
    if not MarginCall.objects.exists():
        rows.policy("us_margin", world.securities())
    xyz = rows.equity("XYZ", name=name)
    owner = world.long_account(quantity, borrowed, xyz)
    world.quote(xyz, price, MONDAY)
    sweep.run("securities", at=MONDAY)
    return owner


def event(call: MarginCall, kind: str) -> Event:
    return call.events.filter(kind=kind).order_by("-seq")[0]


def named(owner: Account, name: str, **columns: Any) -> Client:
    client = owner.client
    client.name = name
    for column, value in columns.items():
        setattr(client, column, value)
    client.save()
    return client


def contact(owner: Account, email: str, **columns: Any) -> Contact:
    return Contact.objects.create(client=owner.client, name="Second desk", email=email, **columns)
