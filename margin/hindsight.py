"""A past sweep done again as it should have been: under corrected prices, or under another policy.

Unlike `replay`, which must find what was found, hindsight asks what would have been found. Everything that is not
corrected is as it was: positions, rates, published parameters and what models said.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np

from margin import prices, snapshot, sweep
from margin.engine import alternatives, assess, memory
from margin.engine.columns import Book, Figures, Status
from margin.models import PolicyVersion, Shard, Sweep
from margin.prices import Price, PriceSet

EVER = datetime.max.replace(tzinfo=UTC)

Undone = Mapping[int, Mapping[int, Decimal]]
"""Account id → instrument id → what is put back to its holdings, from now on."""


@dataclass(frozen=True)
class Corrected:
    """What an instrument was truly quoted at, from `since` until before `until`."""

    instrument_id: int
    mark: Decimal
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Otherwise:
    """What should have held: corrected prices, and policy versions, by code, in place of those in force."""

    prices: tuple[Corrected, ...] = ()
    policies: Mapping[str, PolicyVersion] = field(default_factory=dict)

    def corrected(self, known: PriceSet) -> PriceSet:
        """The price set with what is corrected at its instant."""
        right = {
            each.instrument_id: Price(each.mark, known.at, "corrected")
            for each in self.prices
            if each.since <= known.at < each.until
        }
        return replace(known, prices={**known.prices, **right}) if right else known

    def in_force(self, known: Mapping[str, PolicyVersion]) -> dict[str, PolicyVersion]:
        """The policies that govern instead."""
        return {code: self.policies.get(code, version) for code, version in known.items()}


@dataclass(frozen=True)
class Seen:
    """What one shard of a past sweep would have found, by account and regime."""

    figures: Mapping[tuple[int, str], Figures]
    covered: Collection[int]
    """Accounts that the shard looked at."""


def of_sweep(past: Sweep, otherwise: Otherwise, *, wanted: Collection[int], undone: Undone) -> Iterator[Seen]:
    """The figures of a finished sweep, shard by shard: of accounts in deficit, and of those `wanted`."""
    for shard in past.shards.exclude(visible=""):
        with memory.recalling(memory.Notes.unpack(bytes(shard.said))):
            yield _of_shard(shard, past, otherwise, wanted, undone)


def _of_shard(shard: Shard, past: Sweep, otherwise: Otherwise, wanted: Collection[int], undone: Undone) -> Seen:
    snap = snapshot.take(
        prices=otherwise.corrected(prices.of(past)),
        in_force=otherwise.in_force(sweep.policies_of(past.kind, past.at)),
        accounts=snapshot.Accounts(shard.first_account, shard.last_account, shard.account_ids),
        past=snapshot.Past(at=EVER, visible=shard.visible),
    )
    found = assess.assess(snap.book, snap.instruments, snap.market, snap.rules)
    is_wanted = np.isin(found.book.accounts[found.account], np.fromiter(wanted, np.int64, len(wanted)))
    rows = np.flatnonzero(is_wanted | (found.status >= Status.DEFICIT))
    figures = {(each.account_id, each.regime): each for each in found.figures(rows)}
    for place, account in enumerate(snap.book.accounts.tolist()):
        if undone.get(account):
            book = put_back(snap, place, undone[account])
            again = assess.assess(book, snap.instruments, snap.market, snap.rules)
            for each in again.figures(np.arange(len(again))):
                figures[account, each.regime] = replace(each, account_id=account)
    return Seen(figures, frozenset(snap.book.accounts.tolist()))


def put_back(snap: snapshot.Snapshot, account_row: int, changes: Mapping[int, Decimal]) -> Book:
    """The book of one account with what is put back to it, as the only account of the book."""
    places = {int(instrument): place for place, instrument in enumerate(snap.instruments.ids.tolist())}
    change = {places[instrument]: quantity for instrument, quantity in changes.items() if quantity}
    return alternatives.books(snap.instruments, snap.book, account_row, [change])
