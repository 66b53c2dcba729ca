"""Rows that tests of the margin room start from: the least that the schema allows, said in one line each."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count

from django.contrib.auth.models import Group, User

from accounts.models import Account, Client, Contact, Position, Revision
from margin.actors import Actor, person, system
from margin.calls import Move
from margin.models import Assessment, ChargeList, Measure, Policy, PolicyVersion, Sweep, Wording
from margin.workflow import Verb
from market.models import Instrument

AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
SWEEPER = system("sweep 1")
numbers = count(1)


def staff(name: str, role: str) -> Actor:
    user, _ = User.objects.get_or_create(username=name)
    user.groups.set([Group.objects.get_or_create(name=role)[0]])
    return person(user)


def account(code: str = "", *, agreement: str = "us_margin", currency: str = "USD") -> Account:
    code = code or f"A{next(numbers):05}"
    client, _ = Client.objects.get_or_create(code=f"C-{code}", defaults={"name": f"Client of {code}"})
    Contact.objects.get_or_create(client=client, name="Desk", email=f"{code.lower()}@clients.example")
    made = Account.objects.create(
        code=code, client=client, agreement=agreement, base_currency=currency, opened_on=date(2020, 1, 1)
    )
    Revision.objects.create(account=made)
    return made


def cash(code: str = "USD", exponent: int = 2) -> Instrument:
    return Instrument.objects.get_or_create(
        code=code, defaults={"name": code, "kind": "cash", "currency": code, "minor_exponent": exponent}
    )[0]


def equity(code: str, **columns: object) -> Instrument:
    return Instrument.objects.get_or_create(
        code=code, defaults={"name": code, "kind": "equity", "currency": "USD", **columns}
    )[0]


def hold(owner: Account, instrument: Instrument, quantity: str) -> Position:
    return Position.objects.create(account=owner, instrument=instrument, quantity=Decimal(quantity))


def policy(code: str = "us_margin", terms: dict[str, object] | None = None) -> PolicyVersion:
    """An approved version with the given terms, in force since 2000."""
    row, _ = Policy.objects.get_or_create(code=code, defaults={"name": code})
    maker, _ = User.objects.get_or_create(username="risk.one")
    checker, _ = User.objects.get_or_create(username="risk.two")
    since = datetime(2000, 1, 1, tzinfo=UTC)
    version = PolicyVersion.objects.create(
        policy=row,
        number=row.versions.count() + 1,
        terms=terms or {},
        effective_at=since,
        published_by=maker,
        published_at=since,
    )
    version.approved_by, version.approved_at = checker, since
    version.save()
    return version


def assessment(owner: Account, version: PolicyVersion, *, at: datetime = AT) -> Assessment:
    sweep, _ = Sweep.objects.get_or_create(kind="securities", slot_at=at, defaults={"at": at, "started_at": at})
    return Assessment.objects.create(
        sweep=sweep, account=owner, policy_version=version, at=at, status="priced", currency=owner.base_currency
    )


def issue(
    owner: Account,
    version: PolicyVersion,
    *,
    amount: str = "100.00",
    regime: str = "house",
    at: datetime = AT,
    due_in: timedelta = timedelta(days=2),
    assessment_id: int | None = None,
) -> Move:
    """The move that issues a call."""
    changes = {
        "policy_version_id": version.pk,
        "assessment_id": assessment_id,
        "currency": "USD",
        "amount_called": Decimal(amount),
        "amount_outstanding": Decimal(amount),
        "tolerance": Decimal(0),
        "market_cures": True,
        "due_at": at + due_in,
        "original_due_at": at + due_in,
        "due_basis": "2 business days, 15:00 New York",
    }
    return Move(verb=Verb.ISSUE, account_id=owner.pk, regime=regime, changes=changes)


def charge(measure: Measure, instrument: Instrument, *, code: str, amount: str, explanation: dict[str, object]) -> None:
    """The only charge of a measure."""
    wording = Wording.objects.create(instrument=instrument, code=code, text=json.dumps(explanation))
    ChargeList.objects.create(measure=measure, lines=[[wording.pk, "", "", "", amount]])
