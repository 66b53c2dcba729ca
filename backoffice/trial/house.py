"""The house a trial runs in: staff, calendars, instruments, a policy and the book, by the rooms' own doors."""

import csv
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from typing import Any

from django.contrib.auth.models import Group, User

from accounts import books, positions
from accounts.models import Client
from backoffice.trial.acts import Book
from margin import policies
from margin.actors import Actor, person
from market import calendars, instruments

STAFF = {  # login → role; Risk twice, because a policy needs two people
    "operations": "Operations",
    "supervisor": "Supervisor",
    "risk": "Risk",
    "second_risk": "Risk",
}


class TrialError(Exception):
    """The trial cannot run here; the message says what to do."""


@dataclass(frozen=True)
class Staff:
    """The people of the trial, as users and as actors, by login."""

    users: dict[str, User]
    actors: dict[str, Actor]


def found(book: Book) -> Staff:
    """Set the house up for a book, in an empty database. Raises TrialError if there are clients already."""
    if Client.objects.exists():
        raise TrialError("this database has clients; a trial needs a database of its own (manage.py trial makes one)")
    staff = _staff()
    for span in book.calendars:
        calendars.fill(span.calendar, span.first, span.last)
    instruments.load(book.instruments.encode())
    version = policies.publish(
        book.agreement,
        terms=book.terms,
        effective_at=book.published_at,
        at=book.published_at,
        actor=staff.actors["risk"],
        note=book.name,
    )
    policies.approve(version, at=book.published_at, actor=staff.actors["second_risk"])
    positions.load(book_file(book), at=book.loaded_at, file_name=f"{book.name}.csv", person=staff.users["operations"])
    return staff


def _staff() -> Staff:
    users = {}
    for login, role in STAFF.items():
        users[login] = User.objects.create_user(login, is_staff=True)  # no password: nobody logs in
        users[login].groups.add(Group.objects.get(name=role))
    return Staff(users, {login: person(user) for login, user in users.items()})


def book_file(book: Book) -> bytes:
    """The book as the file that a custodian would send (docs/formats_book.md), with its control totals."""
    text = StringIO()
    writer = csv.DictWriter(text, list(books.COLUMNS), lineterminator="\n")
    writer.writeheader()
    total, count = 0, 0
    for row in _rows(book, book.loaded_at):
        writer.writerow(row)
        total, count = total + row.get("quantity", 0), count + 1
    text.write(f"#rows={count},total={total}\n")
    return text.getvalue().encode()


def _rows(book: Book, at: datetime) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for holder in book.holders:
        client, account = {"client": f"C-{holder.account}"}, {"account": holder.account}
        email = f"{holder.account.lower()}@clients.example"
        rows += [
            {"record": "client", **client, "name": holder.client, "language": "en", "time_zone": book.time_zone},
            {"record": "contact", **client, "name": holder.client, "email": email},
            {
                "record": "account",
                **client,
                **account,
                "name": holder.shows,
                "agreement": book.agreement,
                "base_currency": "USD",
                "opened_on": at.date(),
            },
        ]
        rows += [
            {"record": "position", **account, "instrument": code, "quantity": quantity}
            for code, quantity in holder.holdings.items()
        ]
    return rows
