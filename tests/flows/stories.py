"""A broker's day as others see it: requests with a key or a login, management commands, and a clock that is set.

Nothing here calls the domain. The world comes in through files, feeds and policies as it would at a real house.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from market import clock
from tests.margin import world

STAFF = {
    "olga": "Operations",
    "otto": "Operations",
    "sam": "Supervisor",
    "sue": "Supervisor",
    "rita": "Risk",
    "rolf": "Risk",
    "cora": "Compliance",
}
SCOPES = ("read", "quotes:write", "positions:write", "fills:write", "cash:write")
INSTRUMENTS = """code,name,kind,currency,minor_exponent,lot_size,max_age_seconds,jump_limit_rate
USD,US dollar,cash,USD,2,,,
XYZ,Xyz Inc,equity,USD,,1,31536000,
ABC,Abc Inc,equity,USD,,1,31536000,
BTC,Bitcoin,crypto,USD,,0.00000001,31536000,
"""
HOUSE = {**world.HOUSE, "market_cures": False}
TERMS: dict[str, Any] = {**world.securities(HOUSE), "calendar": "24/7"}
BOOK = (
    "record,client,name,language,time_zone,email,phone,receives_notices,account,agreement,base_currency,opened_on,"
    "instrument,quantity,cost\n"
)


def text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


@dataclass
class House:
    """The desk from outside. `at` is what every clock of the house says."""

    folder: Path
    at: datetime
    machine: Client = field(default_factory=Client)
    numbers: Any = field(default_factory=lambda: count(1))

    # --- asking -----------------------------------------------------------------------------------------

    def send(self, client: Client, address: str, body: Any, expect: int = 200) -> Any:
        reply = client.post(
            f"/api/v1/{address}/",
            json.dumps(body),
            content_type="application/json",
            headers={"Idempotency-Key": f"k-{next(self.numbers)}"},
        )
        assert reply.status_code == expect, (address, reply.status_code, reply.content)
        return reply.json()

    def do(self, who: str, address: str, /, expect: int = 200, **body: Any) -> Any:
        """A member of staff does it, logged in again: days may lie between."""
        client = Client()
        client.force_login(User.objects.get(username=who))
        return self.send(client, address, body, expect)

    def batch(self, name: str, **row: Any) -> Any:
        return self.send(self.machine, name, {"rows": [row]}, 201)

    def get(self, address: str, **query: Any) -> Any:
        reply = self.machine.get(f"/api/v1/{address}/", query)
        assert reply.status_code == 200, (address, reply.content)
        return reply.json()

    def rows(self, name: str, **query: Any) -> list[Any]:
        found: list[Any] = self.get(name, **query)["results"]
        return found

    def call(self, account: str = "S-1", **query: Any) -> Any:
        """The account's latest call."""
        return max(self.rows("calls", account=account, **query), key=lambda call: call["id"])

    def kinds(self, account: str = "S-1") -> list[str]:
        """What happened to the account, in order, warnings and notices aside."""
        found = self.rows("events", account=account, ordering="seq", page_size=200)
        return [one["kind"] for one in found]

    # --- the world --------------------------------------------------------------------------------------

    def later(self, **span: float) -> None:
        self.at += timedelta(**span)

    def mark(self, instrument: str, price: str) -> None:
        self.later(seconds=1)
        self.batch("quotes", instrument=instrument, source="venue", as_of=text(self.at), mark=price)

    def deposit(self, amount: str, account: str = "S-1", **row: Any) -> int:
        reference = row.pop("external_reference", f"FT-{next(self.numbers)}")
        moved = {"kind": "deposit", "amount": amount, "source": "bank", "effective_at": text(self.at), **row}
        (made,) = self.batch("cash-movements", account=account, currency="USD", external_reference=reference, **moved)[
            "ids"
        ]
        return int(made)

    def publish(self, code: str, terms: Mapping[str, Any]) -> None:
        """One person of Risk publishes, another approves."""
        self.do("rita", f"policies/{code}/publish", terms=terms, effective_at=text(self.at))
        number = max(one["number"] for one in self.get(f"policies/{code}")["versions"])
        self.do("rita", f"policies/{code}/approve", number=number, expect=422)
        self.do("rolf", f"policies/{code}/approve", number=number)

    def open(self, account: str, holdings: Mapping[str, str], agreement: str = "us_margin") -> None:
        """A client with one account and what it holds, by a book file."""
        who = f"C-{account}"
        lines = [
            f"client,{who},Client {account},en,America/New_York,,,,,,,,,,",
            f"contact,{who},Treasury,,,{account.lower()}@clients.example,+1 555 0100,true,,,,,,,",
            f"account,{who},Account {account},,,,,,{account},{agreement},USD,2020-01-02,,,",
            *(f"position,,,,,,,,{account},,,,{code},{quantity}," for code, quantity in holdings.items()),
        ]
        file = self.folder / f"{account}.csv"
        file.write_text(BOOK + "\n".join(lines) + "\n")
        self.run("load_book", str(file), effective_at=text(self.at))

    # --- what runs by the clock -------------------------------------------------------------------------

    def run(self, command: str, *words: str, **options: Any) -> str:
        out = StringIO()
        call_command(command, *words, stdout=out, stderr=StringIO(), **options)
        return out.getvalue()

    def sweep(self, kind: str = "securities") -> str:
        """A sweep, and a second later the mail about what it did."""
        told = self.run("sweep", kind)
        self.later(seconds=1)
        self.run("send_notices")
        self.later(seconds=1)
        return told


def build(folder: Path, monkeypatch: Any, *, at: datetime | None = None) -> House:
    """An empty house on Monday, 2026-03-02, 15:00 UTC: people, a key, calendars, instruments, a policy."""
    house = House(folder, at or datetime(2026, 3, 2, 15, 0, tzinfo=UTC))
    monkeypatch.setattr(clock, "now", lambda: house.at)
    monkeypatch.setattr(timezone, "now", lambda: house.at)
    for name, role in STAFF.items():
        user = User.objects.create_user(name, is_staff=True)
        user.groups.add(Group.objects.get(name=role))
    scopes = [word for scope in SCOPES for word in ("--scope", scope)]
    key = house.run("create_api_key", "machines", "--by", "olga", "--days", "300", *scopes).strip()
    house.machine = Client(headers={"Authorization": f"Bearer {key}"})
    house.run("load_calendars", "--first", "2026-01-01", "--until", "2026-12-31")
    (folder / "instruments.csv").write_text(INSTRUMENTS)
    house.run("load_instruments", str(folder / "instruments.csv"))
    for code, price in (("XYZ", "100"), ("ABC", "50"), ("BTC", "100000")):
        house.mark(code, price)
    return house
