"""Build the demonstration house through the rooms' own doors, once."""

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import transaction

from accounts import positions, together
from accounts.models import Account, Client
from backoffice.demo import closes as simulated
from backoffice.demo import papers
from backoffice.demo.policies import POLICIES
from backoffice.roles import ROLES
from margin import adaptive, policies
from margin.actors import person
from margin.models import RightsChange
from market import calendars, closes, fx, instruments, parameters, quotes, rates
from market.guard import Incoming
from market.models import Instrument, ParameterSet

FOLDER = Path(__file__).parent
SOURCE = "demo"
STAFF = (  # login, role: two people wherever two must decide
    ("operations", "Operations"),
    ("operations2", "Operations"),
    ("supervisor", "Supervisor"),
    ("supervisor2", "Supervisor"),
    ("risk", "Risk"),
    ("risk2", "Risk"),
    ("compliance", "Compliance"),
    ("auditor", "Auditor"),
    ("administrator", "Administrator"),
)
OPENED = timedelta(days=10)  # policies have been in force for some days: calls were made under them (casework)
PARAMETERS = {
    "demo_exchange": ParameterSet.Kind.SPAN,
    "demo_brackets": ParameterSet.Kind.BRACKETS,
    "demo_ratios": ParameterSet.Kind.COLLATERAL,
}
MARGINED_TOGETHER = (("F8001", "F8002"),)  # lead, member


def build(*, at: datetime, password: str) -> bool:
    """Build the house as of `at`; False if there is a client already. All or nothing."""
    if Client.objects.exists():
        return False
    with transaction.atomic():
        _staff(password, at=at)
        _calendars(at)
        instruments.load(FOLDER / "instruments.csv")
        _quotes(at)
        _closes(at)
        _rates(at)
        _parameters(at)
        _policies(at)
        positions.load(FOLDER / "book.csv", at=at, effective_at=at, file_name="the demonstration book")
        for lead, member in MARGINED_TOGETHER:
            together.margin([Account.objects.get(code=member)], lead=Account.objects.get(code=lead))
        papers.hand_out(at=at)
    return True


def _staff(password: str, *, at: datetime) -> None:
    """Logins of every role. Whoever builds the house knows of them: only what changes later is worth an alarm."""
    for name, role in STAFF:
        user = User.objects.create_user(name, password=password, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
    RightsChange.objects.filter(told_at=None).update(told_at=at)
    missing = set(ROLES) - {role for _, role in STAFF}
    if missing:
        raise LookupError(f"the demonstration house has nobody for {', '.join(sorted(missing))}")


def _calendars(at: datetime) -> None:
    first, last = date(at.year - 1, 1, 1), date(at.year + 1, 12, 31)
    for code in ("24/7", "XNYS"):
        calendars.fill(code, first, last)


def _quotes(at: datetime) -> None:
    batch = [
        Incoming(
            instrument=row["instrument"],
            source=SOURCE,
            as_of=at,
            mark=Decimal(row["mark"]),
            implied_volatility=Decimal(row["implied_volatility"]) if row["implied_volatility"] else None,
        )
        for row in _rows("quotes.csv")
    ]
    refused = quotes.record(batch, at=at).refused
    if refused:
        raise ValueError(f"the demonstration quotes are refused: {refused[0]}")


def _closes(at: datetime) -> None:
    """A simulated history of what is margined at rates that follow volatility."""
    marks = {row["instrument"]: Decimal(row["mark"]) for row in _rows("quotes.csv")}
    kinds = Instrument.objects.filter(kind__in=simulated.YEARLY_VOLATILITY).values_list("code", "kind")
    wanted = {code: (kind, marks[code]) for code, kind in kinds}
    closes.record(simulated.until(at.date(), wanted, source=SOURCE), at=at)


def _rates(at: datetime) -> None:
    """Euro reference rates of the European Central Bank (real, its source named), and made-up yearly rates."""
    listed = [
        fx.Incoming(row["base"], row["quoted"], Decimal(row["value"]), _fixing(row["on"]), "ECB")
        for row in _rows("fx.csv")
    ]
    last = listed[-1]
    listed.append(fx.Incoming(last.base, last.quoted, last.value, at, f"{SOURCE}-ECB"))
    fx.record(listed, at=at)
    yearly = [
        rates.Incoming(rates.Subject(kind, currency=currency), Decimal(value), at - OPENED, SOURCE)
        for kind, currency, value in (
            ("lending", "USD", "0.0725"),
            ("lending", "EUR", "0.0480"),
            ("risk_free", "USD", "0.0400"),
            ("risk_free", "EUR", "0.0200"),
        )
    ]
    rates.record(yearly, at=at)


def _fixing(on: str) -> datetime:
    """Reference rates are published around 16:00 Frankfurt time, 15:00 UTC in winter."""
    return datetime.combine(date.fromisoformat(on), time(15), UTC)


def _parameters(at: datetime) -> None:
    """Documents as venues publish them, made up for the demonstration."""
    for name, kind in PARAMETERS.items():
        content = (FOLDER / "parameters" / f"{name}.json").read_bytes()
        parameters.load(content, name=name, kind=kind, effective_on=(at - OPENED).date(), source=SOURCE)


def _policies(at: datetime) -> None:
    """Published by one person of Risk, approved by another; then the rates that follow volatility, which they name."""
    maker, checker = (person(User.objects.get(username=name)) for name in ("risk", "risk2"))
    since = at - OPENED
    for code, terms in POLICIES.items():
        version = policies.publish(code, terms=terms, effective_at=since, at=since, actor=maker, note="demonstration")
        policies.approve(version, at=since, actor=checker)
    adaptive.publish(on=at.date(), at=at)


def _rows(name: str) -> Iterator[dict[str, Any]]:
    with (FOLDER / name).open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)
