"""From rows to columns: the only way into the engine.

`take` reads the accounts of a sweep (or any set of them) as they are, as they were at a past instant, or as one past
transaction saw them. Positions come as one binary COPY and are decoded exactly.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import numpy as np
from django.db import connection, transaction
from django.db.models import F

from margin import contracts, policies
from margin.engine import build, columns, copying
from margin.models import PolicyVersion
from margin.prices import Price, PriceSet
from market import parameters
from market.models import Instrument


@dataclass(frozen=True)
class Accounts:
    """Which accounts: a range of ids, or the ids themselves; always open ones, governed by the given policies."""

    first: int = 0
    last: int = 2**62
    ids: Sequence[int] | None = None

    def condition(self, column: str) -> tuple[str, tuple[Any, ...]]:
        """SQL that `column` is among them, and its parameters."""
        if self.ids is not None:
            return f"{column} = ANY (%s)", (list(self.ids),)
        return f"{column} BETWEEN %s AND %s", (self.first, self.last)


@dataclass(frozen=True)
class Past:
    """Positions as they were: effective until `at`, recorded until `known_at`, visible to a past transaction."""

    at: datetime
    known_at: datetime | None = None
    visible: str = ""


@dataclass(frozen=True)
class Snapshot:
    """The world frozen into columns, with what the columns came from."""

    at: datetime
    book: columns.Book
    instruments: columns.Instruments
    market: columns.Market
    rules: columns.Rules
    readings: tuple[policies.Reading, ...]
    prices: PriceSet
    visible: str

    def reading(self, account_row: int) -> policies.Reading:
        return self.readings[int(self.book.policy[account_row])]


def take(
    *,
    prices: PriceSet,
    in_force: Mapping[str, PolicyVersion],
    accounts: Accounts,
    past: Past | None = None,
) -> Snapshot:
    """Freeze the chosen accounts under the given prices and policies.

    Accounts whose agreement has no policy here are left out: choose the policies of the sweep's kind. Everything is
    read in one repeatable-read transaction, unless the caller is in a transaction already.
    """
    readings = tuple(policies.read(version) for version in in_force.values())
    places = {code: place for place, code in enumerate(in_force)}
    with one_moment():
        account_rows = _accounts(accounts, places, prices.at)
        stream = _positions(accounts, past, prices.at)
        visible = _visible()
    stored = stored_instruments()
    instruments = build.instruments(instrument_rows(stored, prices), {row.currency for row in account_rows})
    index = {code: place for place, code in enumerate(instruments.currencies)}
    book = build.book_from_columns(
        instruments,
        accounts=np.array([row.id for row in account_rows], np.int64),
        base=np.array([index[row.currency] for row in account_rows], np.int32),
        policy=np.array([row.policy for row in account_rows], np.int32),
        revision=np.array([row.revision for row in account_rows], np.int64),
        positions=copying.positions(stream, with_cost=True),
    )
    return Snapshot(
        at=prices.at,
        book=book,
        instruments=instruments,
        market=columns.Market(
            on=prices.at.date(),
            fx={**coin_rates(stored, prices), **prices.fx},
            risk_free=prices.rates_of("risk_free"),
            parameters=documents(readings, prices, known_at=past.known_at if past else None),
        ),
        rules=columns.Rules(tuple(reading.policy for reading in readings)),
        readings=readings,
        prices=prices,
        visible=visible,
    )


@contextmanager
def one_moment() -> Iterator[None]:
    """Everything inside reads the same moment and writes nothing, unless the caller is in a transaction already."""
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield


def _visible() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_snapshot()::text")
        return str(cursor.fetchone()[0])


LEADS = """
SELECT a.id, a.base_currency, a.agreement, coalesce(r.number, 0) + coalesce(m.number, 0)
FROM accounts_account a LEFT JOIN accounts_revision r ON r.account_id = a.id LEFT JOIN (
    SELECT member.margined_with_id AS lead, sum(held.number)::bigint AS number
    FROM accounts_account member JOIN accounts_revision held ON held.account_id = member.id
    WHERE member.margined_with_id IS NOT NULL GROUP BY member.margined_with_id
) m ON m.lead = a.id
WHERE {condition} AND a.agreement = ANY (%s) AND (a.closed_on IS NULL OR a.closed_on > %s)
  AND a.margined_with_id IS NULL
"""


def _accounts(chosen: Accounts, places: Mapping[str, int], at: datetime) -> list[build.AccountRow]:
    """The accounts to measure: members are measured with their lead, whose revision counts theirs as well."""
    condition, parameters = chosen.condition("a.id")
    with connection.cursor() as cursor:
        cursor.execute(LEADS.format(condition=condition), [*parameters, list(places), at.date()])
        return [
            build.AccountRow(account, currency, places[agreement], revision)
            for account, currency, agreement, revision in cursor.fetchall()
        ]


def _members(chosen: Accounts, at: datetime) -> dict[int, int]:
    """Open member → lead, for the leads among the chosen accounts."""
    condition, parameters = chosen.condition("margined_with_id")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, margined_with_id FROM accounts_account"  # noqa: S608 - text of ours
            f" WHERE margined_with_id IS NOT NULL AND {condition} AND (closed_on IS NULL OR closed_on > %s)",
            [*parameters, at.date()],
        )
        return dict(cursor.fetchall())


HELD = "SELECT account_id, instrument_id, quantity, cost FROM accounts_position WHERE {condition}"
HELD_THEN = """
SELECT account_id, instrument_id, sum(change) AS quantity, (array_agg(cost ORDER BY id DESC))[1] AS cost
FROM accounts_positionfact WHERE {condition} AND effective_at <= %s
AND (%s::timestamptz IS NULL OR recorded_at <= %s)
AND (%s = '' OR pg_visible_in_snapshot(transaction_id::text::xid8, nullif(%s, '')::pg_snapshot))
GROUP BY account_id, instrument_id
"""
# What members hold counts as the lead's; a cost is known where all of them are.
TOGETHER = """
SELECT coalesce(g.lead, h.account_id), h.instrument_id, sum(h.quantity),
       CASE WHEN bool_and(h.cost IS NOT NULL OR h.quantity = 0)
            THEN coalesce(sum(h.cost) FILTER (WHERE h.quantity <> 0), 0)
       END
FROM ({held}) h LEFT JOIN unnest(%s::bigint[], %s::bigint[]) AS g(member, lead) ON g.member = h.account_id
GROUP BY 1, 2
"""


def _positions(chosen: Accounts, past: Past | None, at: datetime) -> bytes:
    condition, parameters = chosen.condition("account_id")
    members = _members(chosen, at)
    if members:
        condition, parameters = f"({condition} OR account_id = ANY (%s))", (*parameters, list(members))
    query = (HELD if past is None else HELD_THEN).format(condition=condition)
    if past is not None:
        parameters = (*parameters, past.at, past.known_at, past.known_at, past.visible, past.visible)
    if members:
        query = TOGETHER.format(held=query)
        parameters = (*parameters, list(members), list(members.values()))
    buffer = BytesIO()
    with connection.cursor() as cursor:
        statement = cursor.mogrify(query, parameters).decode()
        cursor.copy_expert(f"COPY ({statement}) TO STDOUT (FORMAT binary)", buffer)
    return buffer.getvalue()


INSTRUMENT_COLUMNS = (
    *("id", "code", "kind", "currency", "price_divisor", "multiplier", "leverage", "lot_size", "margin_eligible"),
    *("sector", "issuer", "debt_class", "matures_on", "minor_exponent", "ended_at", "daily_volume", "margin_class"),
    *("index_id", "index_scale", "underlying_id", "right", "strike", "style", "expires_at", "cash_settled"),
    *("inverse", "deliverable", "terms"),
)


def stored_instruments() -> dict[int, Any]:
    """Every instrument by id, as rows with INSTRUMENT_COLUMNS and the `zone` of its calendar."""
    listed = Instrument.objects.order_by("id").annotate(zone=F("calendar__zone"))
    return {row.id: row for row in listed.values_list(*INSTRUMENT_COLUMNS, "zone", named=True)}


def documents(
    readings: Iterable[policies.Reading], prices: PriceSet, *, known_at: datetime | None = None
) -> dict[str, Any]:
    """The published documents that the policies name: those the sweep of these prices went by, or those in force."""
    if prices.parameters is not None:
        return dict(parameters.documents(prices.parameters))
    names = policies.parameters_of(readings)
    return dict(parameters.documents(parameters.in_force(names, on=prices.at.date(), known_at=known_at)))


def coin_rates(stored: Mapping[int, Any], prices: PriceSet) -> dict[tuple[str, str], Decimal]:
    """What a coin is worth, from its own spot instrument: the one of kind crypto that is named like the currency."""
    currencies = {row.currency for row in stored.values()}
    rates = {}
    for row in stored.values():
        price = prices.prices.get(row.id)
        if row.kind == "crypto" and row.code in currencies and price and price.mark and not price.refused:
            rates[row.code, row.currency] = price.mark / row.price_divisor
    return rates


def instrument_rows(stored: Mapping[int, Any], prices: PriceSet) -> list[build.InstrumentRow]:
    """The engine's rows from stored ones (or from what has the same columns) under the given prices and rates."""
    ids = {row.code: row.id for row in stored.values()}
    world = contracts.World(stored, ids, prices.prices, prices.rates_of("dividend"), prices.at)
    rows = []
    for row in stored.values():
        ended = f"ended {row.ended_at:%Y-%m-%d}" if row.ended_at and row.ended_at <= prices.at else ""
        price = prices.prices.get(row.id, Price(refused=ended or "no price"))
        contract, unreadable = contracts.contract(row, world)
        rows.append(
            build.InstrumentRow(
                id=row.id,
                code=row.code,
                kind=row.kind,
                currency=row.currency,
                price=price.mark,
                reason=ended or price.refused or unreadable,
                price_divisor=row.price_divisor,
                multiplier=row.multiplier,
                leverage=row.leverage,
                lot=row.lot_size,
                margin_eligible=row.margin_eligible,
                sector=row.sector,
                debt_class=row.debt_class,
                matures_on=row.matures_on,
                minor_exponent=row.minor_exponent,
                contract=contract,
                margin_class=row.margin_class,
                index=row.index_id or 0,
                issuer=row.issuer,
                daily_volume=row.daily_volume,
            )
        )
    return rows
