"""Book files: clients, contacts, accounts and what they hold, loaded whole or not at all (docs/formats_book.md)."""

import hashlib
import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any, NamedTuple

from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import OperationalError, connection, transaction
from django.db.models import Max
from psycopg2.errors import LockNotAvailable

from accounts import cash, holdings, ledgers
from accounts.fills import MARGINED
from accounts.models import Account, BookLoad, Cause, Client, Contact, PositionFact
from market import strict
from market.models import Instrument, Kind
from market.strict import column
from market.strict.files import MAX_BYTES

LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,4})?")
BATCH = 5_000  # rows per statement that writes reference data


def language(text: str, *, field: str) -> str:
    if not LANGUAGE.fullmatch(text):
        raise strict.refuse(field, f"{strict.shown(text)} is no language; write en, de or zh-hans")
    return text


def time_zone(text: str, *, field: str) -> str:
    if text not in ZONES:
        raise strict.refuse(field, f"{strict.shown(text)} is no IANA time zone; write one like America/New_York")
    return text


def email(text: str, *, field: str) -> str:
    """Exactly one ASCII address: no display name, no list, no line break."""
    try:
        validate_email(text)
    except ValidationError:
        raise strict.refuse(field, f"{strict.shown(text)} is not one e-mail address") from None
    if not text.isascii() or len(text) > 254:
        raise strict.refuse(field, f"{strict.shown(text)} must be ASCII and at most 254 characters")
    return text


def currency(text: str, *, field: str) -> str:
    if not re.fullmatch(r"[A-Z0-9]{2,12}", text):
        raise strict.refuse(field, f"{strict.shown(text)} is no currency code; write it like USD")
    return text


ZONES = frozenset(zoneinfo.available_timezones())
RECORDS = ("client", "contact", "account", "position")
COLUMNS = {
    "record": column(strict.choice, of=RECORDS),
    "client": column(strict.code, length=24, optional=True),
    "name": column(strict.words, length=160, optional=True),
    "language": column(language, optional=True),
    "time_zone": column(time_zone, optional=True),
    "is_counterparty": column(strict.boolean, optional=True),
    "email": column(email, optional=True),
    "phone": column(strict.words, length=40, optional=True),
    "receives_notices": column(strict.boolean, optional=True),
    "account": column(strict.code, length=24, optional=True),
    "agreement": column(strict.code, length=48, optional=True),
    "base_currency": column(currency, optional=True),
    "opened_on": column(strict.date, optional=True),
    "instrument": column(strict.code, length=48, optional=True),
    "quantity": column(strict.decimal, digits=32, places=12, optional=True),
    "cost": column(strict.decimal, digits=28, places=8, optional=True),
}
NEEDED = {
    "client": ("client", "name"),
    "contact": ("client", "name", "email"),
    "account": ("client", "account", "agreement", "opened_on"),
    "position": ("account", "instrument", "quantity"),
}
ALLOWED = {
    "client": ("language", "time_zone", "is_counterparty"),
    "contact": ("phone", "language", "receives_notices"),
    "account": ("name", "base_currency"),
    "position": ("cost",),
}
KEYS = {
    "client": ("client",),
    "contact": ("client", "email"),
    "account": ("account",),
    "position": ("account", "instrument"),
}
Rows = list[strict.Row]


@dataclass
class Book:
    """The rows of a file by record, what the house knows of them, and what is wrong."""

    clients: Rows = field(default_factory=list)
    contacts: Rows = field(default_factory=list)
    accounts: Rows = field(default_factory=list)
    positions: Rows = field(default_factory=list)
    problems: strict.Problems = field(default_factory=strict.Problems)

    def of(self, record: str) -> Rows:
        return {"client": self.clients, "contact": self.contacts, "account": self.accounts}.get(record, self.positions)


class Known(NamedTuple):
    """What stands in the database already, by code."""

    clients: Mapping[str, int]
    accounts: Mapping[str, Account]
    instruments: Mapping[str, Instrument]


def load(
    file: strict.File,
    *,
    at: datetime,
    effective_at: datetime | None = None,
    control: strict.Control | None = None,
    file_name: str = "",
    person: AbstractBaseUser | None = None,
) -> BookLoad:
    """Load a book file, all or nothing, as of `effective_at` (or `at`); Refused with every problem and its row.

    Clients, contacts and accounts are added or brought up to date. A position's quantity is what is held from then on;
    positions the file does not name stay as they are. The same file is taken once. `control` and the file's trailer
    announce its rows and the sum of its quantities.
    """
    content = _content(file)
    name = file_name or (file.name if isinstance(file, Path) else "book.csv")
    sha256 = hashlib.sha256(content).hexdigest()
    rows = strict.table(content, COLUMNS, control=control, total_of="quantity")
    return load_rows(rows, at=at, effective_at=effective_at, sha256=sha256, file_name=name, person=person)


def load_rows(
    rows: Rows,
    *,
    at: datetime,
    effective_at: datetime | None = None,
    sha256: str,
    file_name: str,
    person: AbstractBaseUser | None = None,
) -> BookLoad:
    """As `load`, from rows of COLUMNS read already; `sha256` is what they may be sent under only once."""
    effective_at = ledgers.not_in_the_future(effective_at or at, at, field="effective_at")
    book = _sorted(rows)
    with transaction.atomic():
        _one_at_a_time()
        _refuse_twice(sha256)
        known = _known(book)
        _check(book, known, effective_at)
        clients = _write_clients(book)
        _write_contacts(book, clients)
        accounts = _write_accounts(book, clients)
        loaded = BookLoad.objects.create(
            file_name=strict.words(file_name, field="file_name", length=200),
            sha256=sha256,
            row_count=len(rows),
            quantity_total=_total(book),
            effective_at=effective_at,
            loaded_by_id=person.pk if person else None,
        )
        _write_positions(book, accounts, known.instruments, loaded)
    return loaded


def _content(file: strict.File) -> bytes:
    """The file's bytes, needed for its hash; one byte too many is enough for the reader to refuse it."""
    if isinstance(file, bytes):
        return file
    if isinstance(file, Path):
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    return file.read(MAX_BYTES + 1)


def _one_at_a_time() -> None:
    """Wait for a load in progress, as long as the connection's lock_timeout allows."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('accounts.books.load'))")
    except OperationalError as error:
        if isinstance(error.__cause__, LockNotAvailable):
            raise strict.refuse("", "another book is being loaded; send this one when that is done") from None
        raise


def _refuse_twice(sha256: str) -> None:
    earlier = BookLoad.objects.filter(sha256=sha256).first()
    if earlier is not None:
        when = earlier.recorded_at.strftime("%Y-%m-%d %H:%M:%S UTC")
        raise strict.refuse("", f"this file was loaded already, as load {earlier.pk} ({earlier.file_name}) at {when}")


def _total(book: Book) -> Decimal:
    with localcontext(holdings.ARITHMETIC):
        return sum((row.values["quantity"] for row in book.positions), Decimal(0))


# --- checking ---------------------------------------------------------------------------------------


def _sorted(rows: Rows) -> Book:
    """The rows by record, each with exactly the fields of its record, none twice."""
    book = Book()
    seen: dict[tuple[Any, ...], int] = {}
    for row in rows:
        record = row.values["record"]
        fitting = ("record", *NEEDED[record], *ALLOWED[record])
        for name in NEEDED[record]:
            if row.values[name] is None:
                book.problems.add(row.number, name, f"is missing; a {record} needs it")
        for name, value in row.values.items():
            if value is not None and name not in fitting:
                book.problems.add(row.number, name, f"must be empty; it is no field of a {record}")
        identity = (record, *(row.values[name] for name in KEYS[record]))
        if seen.setdefault(identity, row.number) != row.number:
            named = " ".join(map(str, identity))
            book.problems.add(row.number, KEYS[record][-1], f"{named} was given in row {seen[identity]} already")
        book.of(record).append(row)
    book.problems.check()
    return book


def _known(book: Book) -> Known:
    def codes(rows: Rows, name: str) -> set[str]:
        return {row.values[name] for row in rows}

    clients = codes(book.clients, "client") | codes(book.contacts, "client") | codes(book.accounts, "client")
    accounts = codes(book.accounts, "account") | codes(book.positions, "account")
    return Known(
        clients=dict(Client.objects.filter(code__in=clients).values_list("code", "pk")),
        accounts=Account.objects.filter(code__in=accounts).in_bulk(field_name="code"),
        instruments=Instrument.objects.filter(code__in=codes(book.positions, "instrument")).in_bulk(field_name="code"),
    )


def _check(book: Book, known: Known, effective_at: datetime) -> None:
    """Every reference leads somewhere, and nothing says otherwise what cannot change."""
    clients = {row.values["client"] for row in book.clients} | known.clients.keys()
    for row in (*book.contacts, *book.accounts):
        if row.values["client"] not in clients:
            book.problems.add(row.number, "client", f"{row.values['client']} is in neither the file nor the house")
    for row in book.accounts:
        if row.values["name"] is None:
            row.values["name"] = ""
        if there := known.accounts.get(row.values["account"]):
            _check_unchanged(row, there, known.clients, book.problems)
    accounts = {row.values["account"] for row in book.accounts} | known.accounts.keys()
    for row in book.positions:
        if row.values["account"] not in accounts:
            book.problems.add(row.number, "account", f"{row.values['account']} is in neither the file nor the house")
        try:
            _check_position(row.values, known.instruments.get(row.values["instrument"]), effective_at)
        except strict.Refused as refusal:
            book.problems.take(row.number, refusal)
    book.problems.check()


def _check_unchanged(row: strict.Row, there: Account, clients: Mapping[str, int], problems: strict.Problems) -> None:
    same = {
        "client": there.client_id == clients.get(row.values["client"]),
        "base_currency": row.values["base_currency"] in (None, there.base_currency),
        "opened_on": row.values["opened_on"] == there.opened_on,
    }
    for name in (name for name, is_same in same.items() if not is_same):
        problems.add(row.number, name, f"differs from that of account {there.code}, which never changes")


def _check_position(values: Mapping[str, Any], instrument: Instrument | None, effective_at: datetime) -> None:
    quantity, cost = values["quantity"], values["cost"]
    if instrument is None:
        reason = f"{values['instrument']} is not a known instrument; load instruments first"
        raise strict.refuse("instrument", reason)
    if quantity and instrument.ended_at is not None and effective_at >= instrument.ended_at:
        raise strict.refuse("instrument", f"{instrument.code} ended at {instrument.ended_at.isoformat()}")
    owes = instrument.inverse and instrument.kind in MARGINED  # bought, it is a debt in the coin (`accounts.fills`)
    if instrument.kind == Kind.CASH:
        cash.checked(quantity, instrument, field="quantity")
        if cost is not None:
            raise strict.refuse("cost", f"must be empty; {instrument.code} is cash")
    elif cost and (not quantity or (((cost < 0) != (quantity < 0)) != owes and not instrument.may_be_negative)):
        sign = "the opposite sign" if owes else "the quantity's sign"
        raise strict.refuse("cost", f"{cost} does not go with the quantity {quantity}; it has {sign}")


# --- writing ----------------------------------------------------------------------------------------


def _write_clients(book: Book) -> dict[str, int]:
    """Add and update clients; returns the ids of all clients that the file names."""
    names = {row.values["client"] for row in (*book.clients, *book.contacts, *book.accounts)}
    there = Client.objects.filter(code__in=names).in_bulk(field_name="code")
    new: list[Client] = []
    changed: list[Client] = []
    for row in book.clients:
        values = _given(row, "name", "language", "time_zone", "is_counterparty")
        if client := there.get(row.values["client"]):
            _take(client, values, changed)
        else:
            new.append(Client(code=row.values["client"], **values))
    Client.objects.bulk_update(changed, ("name", "language", "time_zone", "is_counterparty"), batch_size=BATCH)
    created = Client.objects.bulk_create(new, batch_size=BATCH)
    return {client.code: client.pk for client in (*there.values(), *created)}


def _write_contacts(book: Book, clients: Mapping[str, int]) -> None:
    people = Contact.objects.filter(client__in={clients[row.values["client"]] for row in book.contacts})
    there = {(contact.client_id, contact.email): contact for contact in people}
    new: list[Contact] = []
    changed: list[Contact] = []
    for row in book.contacts:
        values = _given(row, "name", "phone", "language", "receives_notices")
        client = clients[row.values["client"]]
        if contact := there.get((client, row.values["email"])):
            _take(contact, values, changed)
        else:
            new.append(Contact(client_id=client, email=row.values["email"], **values))
    Contact.objects.bulk_update(changed, ("name", "phone", "language", "receives_notices"), batch_size=BATCH)
    Contact.objects.bulk_create(new, batch_size=BATCH)


def _write_accounts(book: Book, clients: Mapping[str, int]) -> dict[str, int]:
    """Add and update accounts; returns the ids of all accounts that the file names."""
    names = {row.values["account"] for row in (*book.accounts, *book.positions)}
    there = Account.objects.filter(code__in=names).in_bulk(field_name="code")
    new: list[Account] = []
    changed: list[Account] = []
    for row in book.accounts:
        if account := there.get(row.values["account"]):
            _take(account, _given(row, "name", "agreement"), changed)
        else:
            values = _given(row, "name", "agreement", "base_currency", "opened_on")
            new.append(Account(code=row.values["account"], client_id=clients[row.values["client"]], **values))
    Account.objects.bulk_update(changed, ("name", "agreement"), batch_size=BATCH)
    created = Account.objects.bulk_create(new, batch_size=BATCH)
    return {account.code: account.pk for account in (*there.values(), *created)}


def _given(row: strict.Row, *names: str) -> dict[str, Any]:
    """The fields the row fills: what it leaves empty keeps its value, or takes the default."""
    return {name: row.values[name] for name in names if row.values[name] is not None}


def _take(known: Any, values: Mapping[str, Any], changed: list[Any]) -> None:
    if any(getattr(known, name) != value for name, value in values.items()):
        for name, value in values.items():
            setattr(known, name, value)
        changed.append(known)


def _write_positions(
    book: Book, accounts: Mapping[str, int], instruments: Mapping[str, Instrument], loaded: BookLoad
) -> None:
    """Bring the positions to the quantities the file states."""
    places = [(accounts[row.values["account"]], instruments[row.values["instrument"]].pk) for row in book.positions]
    holdings.lock_instruments(instrument for _, instrument in places)
    holdings.lock_accounts(account for account, _ in places)
    _refuse_older(book, accounts, loaded.effective_at)
    there = holdings.held({account for account, _ in places}, {instrument for _, instrument in places})
    changes = []
    with localcontext(holdings.ARITHMETIC):
        for (account, instrument), row in zip(places, book.positions, strict=True):
            held = there.get((account, instrument), holdings.NOTHING)
            change, cost = row.values["quantity"] - held[0], row.values["cost"]
            if change or (cost is not None and cost != held[1]):
                reference, rule = f"book:{loaded.pk}", holdings.CostRule.STATE
                changes.append(
                    holdings.Change(account, instrument, change, reference, loaded.effective_at, cost=cost, rule=rule)
                )
    holdings.write(changes, cause=Cause.BOOK)


def _refuse_older(book: Book, accounts: Mapping[str, int], effective_at: datetime) -> None:
    """A book states what is held; it cannot do so for an instant before changes that are known already."""
    facts = PositionFact.objects.filter(account__in=set(accounts.values()), effective_at__gt=effective_at)
    later = dict(facts.order_by().values_list("account__code").annotate(Max("effective_at")))
    problems = strict.Problems()
    for row in book.positions if later else ():
        if instant := later.get(row.values["account"]):
            reason = f"{row.values['account']} changed at {instant.isoformat()}, after the book's instant"
            problems.add(row.number, "account", f"{reason} {effective_at.isoformat()}; send a newer book")
    problems.check()
