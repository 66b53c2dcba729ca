"""A seeded synthetic house of any size: clients, margin accounts, instruments, positions, prices and a policy.

    with database.opened():
        house.build(accounts=100_000, positions=10, instruments=5_000, in_deficit=0.0, seed=1)

Holdings are drawn by popularity (a few instruments are in many accounts, most in few); cash is set so that an account
has a third more equity than its house requirement, or, for the share `in_deficit`, a tenth less.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np

HOUSE_RATE = Decimal("0.30")
OPENED_AT = datetime(2026, 1, 2, 15, 0, tzinfo=UTC)
PRICED_AT = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
CHUNK = 20_000
PLAIN = ("regime", "methodology", "measure", "kinds", "terms", "parts", "watch_rate", "warning_rate", "severe_rate")
"""What the house states of its regime: no storm gate, which would hold the calls, and no restrictions beside them."""


def build(
    *, accounts: int, positions: int = 10, instruments: int = 5_000, in_deficit: float = 0.0, seed: int = 1
) -> None:
    """Build the house in the empty database Django is connected to."""
    draws = np.random.default_rng(seed)
    prices = _instruments(instruments, draws)
    _policy()
    ids = _accounts(accounts)
    short = draws.random(accounts) < in_deficit
    from accounts import positions as book

    for number, rows in enumerate(_positions(ids, prices, short, positions, draws)):
        book.write(rows, cause="book", reference=f"bench {seed}/{number}", effective_at=PRICED_AT)


def _instruments(count: int, draws: np.random.Generator) -> list[tuple[int, Decimal]]:
    """Equities with their prices; returns (id, price), the most popular first."""
    from market import quotes
    from market.guard import Incoming
    from market.models import Instrument

    Instrument.objects.create(code="USD", name="US dollar", kind="cash", currency="USD", minor_exponent=2)
    made = Instrument.objects.bulk_create(
        [
            Instrument(
                code=f"S{number:05}", name=f"Stock {number}", kind="equity", currency="USD", max_age_seconds=10**8
            )
            for number in range(count)
        ],
        batch_size=2_000,
    )
    marks = [Decimal(int(cents)) / 100 for cents in np.round(np.exp(draws.normal(3.6, 0.8, count)) * 100).clip(600)]
    batch = [Incoming(one.code, "bench", PRICED_AT, mark) for one, mark in zip(made, marks, strict=True)]
    for start in range(0, count, 10_000):
        quotes.record(batch[start : start + 10_000], at=PRICED_AT)
    return [(one.pk, mark) for one, mark in zip(made, marks, strict=True)]


def _policy() -> None:
    from django.contrib.auth.models import Group, User

    from backoffice.demo.policies import US_MARGIN
    from margin import policies
    from margin.actors import person

    people = []
    for name in ("bench.risk", "bench.risk2"):
        user = User.objects.create_user(name)
        user.groups.add(Group.objects.get(name="Risk"))
        people.append(person(user))
    stated = US_MARGIN["regimes"][0]
    plain = {key: stated[key] for key in PLAIN}
    house_only = {"sweep": US_MARGIN["sweep"], "regimes": [{**plain, "clock": {"unit": "hours", "count": 48}}]}
    version = policies.publish("us_margin", terms=house_only, effective_at=OPENED_AT, at=OPENED_AT, actor=people[0])
    policies.approve(version, at=OPENED_AT, actor=people[1])


def _accounts(count: int) -> list[int]:
    from accounts.models import Account, Client, Contact, Revision

    ids: list[int] = []
    for start in range(0, count, CHUNK):
        numbers = range(start, min(count, start + CHUNK))
        clients = Client.objects.bulk_create([Client(code=f"C{n:07}", name=f"Client {n}") for n in numbers], 5_000)
        Contact.objects.bulk_create(
            [Contact(client=c, name="Desk", email=f"{c.code}@bench.example") for c in clients], 5_000
        )
        made = Account.objects.bulk_create(
            [
                Account(code=f"A{n:07}", client=client, agreement="us_margin", opened_on=date(2020, 1, 1))
                for n, client in zip(numbers, clients, strict=True)
            ],
            5_000,
        )
        Revision.objects.bulk_create([Revision(account=account) for account in made], 5_000)
        ids += [account.pk for account in made]
    return ids


Row = tuple[int, int, Decimal, Decimal | None]


def _positions(
    ids: list[int], prices: list[tuple[int, Decimal]], short: np.ndarray, each: int, draws: np.random.Generator
) -> Iterator[list[Row]]:
    """Chunks of (account, instrument, quantity, cost): `each` holdings an account, one of them its cash."""
    from market.models import Instrument

    dollars = Instrument.objects.get(code="USD").pk
    weights = 1.0 / np.arange(1, len(prices) + 1) ** 0.7
    weights /= weights.sum()
    for start in range(0, len(ids), CHUNK):
        rows: list[Row] = []
        for place in range(start, min(len(ids), start + CHUNK)):
            value = Decimal(0)
            chosen = np.unique(draws.choice(len(prices), size=each - 1, p=weights))
            for quantity, number in zip(draws.integers(10, 500, len(chosen)).tolist(), chosen.tolist(), strict=True):
                instrument, mark = prices[number]
                value += mark * quantity
                rows.append((ids[place], instrument, Decimal(quantity), mark * quantity))
            equity = value * HOUSE_RATE * (Decimal("0.9") if short[place] else Decimal("1.34"))
            rows.append((ids[place], dollars, -(value - equity).quantize(Decimal("0.01")), None))
        yield rows


__all__ = ["PRICED_AT", "build"]
