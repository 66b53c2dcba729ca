"""SMA that keeps itself: every cash movement and every fill of accounts under Regulation T is posted, once, in order.

At the close of a day, on the book and the prices of one sweep: what has no entry yet is taken in the order in which it
took effect and posted as `margin.engine.sma_day` plans it. An account is posted whole or waits whole, named with the
reason: if it is unpriced, if a rate is missing, if it moved on while it was measured. Nothing is guessed; the next
close tries again, and may run twice or die half-way with the same end.

An account that was there before SMA was kept begins with an entry "opening": the excess it then had, not below zero,
which holds all that came before. One whose first holding came since begins with nothing, and all of it is posted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, Min, Q

from accounts import holdings
from accounts.models import Account, Cause, PositionFact, Revision
from margin import sma, sma_sources
from margin.engine import sma_day
from margin.engine.account import Rules
from margin.engine.exact import ZERO
from margin.engine.sma import Kind, Refused, Resulting, State
from margin.models import SmaEntry
from margin.sma import Posting
from margin.sma_sources import Close, NotKnown, Source
from market import strict

CHUNK = 250  # accounts posted in one transaction
NEW_FOR = timedelta(days=7)  # an older account without an entry came under Regulation T with a history of its own
OVERTAKEN = "it moved on while it was measured"


@dataclass
class Fed:
    """How many accounts were opened and how many sources posted; the accounts that wait, by id, with the reason."""

    opened: int = 0
    posted: int = 0
    waiting: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Chunk:
    """Some accounts under lock: their rows, last entries and sources, and which of them moved on or begin."""

    accounts: dict[int, Account]
    last: dict[int, SmaEntry]
    sources: dict[int, list[Source]]
    moved_on: set[int]
    opening: set[int]


def feed(close: Close) -> Fed:
    """Post what waits of every account of the close, chunk by chunk, each in a transaction of its own."""
    fed = Fed(waiting={pk: "; ".join(reasons) for pk, reasons in close.found.unpriced.items()})
    accounts = sorted(close.found.standing)
    for start in range(0, len(accounts), CHUNK):
        with transaction.atomic():
            _feed_chunk(accounts[start : start + CHUNK], close, fed)
    return fed


def _feed_chunk(ids: Sequence[int], close: Close, fed: Fed) -> None:
    chunk = _locked(ids, close)
    fed.waiting |= dict.fromkeys(chunk.moved_on, OVERTAKEN)
    planned: dict[int, list[Posting]] = {}
    by_rules: dict[Rules, list[list[Posting]]] = {}
    for pk in sorted((chunk.opening | chunk.sources.keys()) - chunk.moved_on):
        try:
            rules, postings = close.rules(pk), _postings(chunk.accounts[pk], chunk, close)
        except NotKnown as unknown:
            fed.waiting[pk] = str(unknown)
            continue
        planned[pk] = postings
        by_rules.setdefault(rules, []).append(postings)
    for rules, lists in by_rules.items():
        for batch in _batches(lists):
            _post(batch, rules, close, fed)
    posted = planned.keys() - fed.waiting.keys()
    fed.opened += len(posted & chunk.opening)
    fed.posted += sum(not posting.reference for pk in posted for posting in planned[pk])


def _batches(lists: Sequence[list[Posting]]) -> Iterator[list[list[Posting]]]:
    """The lists of whole accounts, together no more than one batch may hold; a longer list comes alone."""
    batch: list[list[Posting]] = []
    for postings in lists:
        if batch and sum(map(len, batch)) + len(postings) > sma.LARGEST_BATCH:
            yield batch
            batch = []
        batch.append(postings)
    if batch:
        yield batch


def _post(batch: Sequence[list[Posting]], rules: Rules, close: Close, fed: Fed) -> None:
    """Post these accounts' lists at once; if one is refused, each by itself, so that it alone waits."""
    try:
        with transaction.atomic():
            together = [posting for postings in batch for posting in postings]
            for start in range(0, len(together), sma.LARGEST_BATCH):
                sma.post_all(together[start : start + sma.LARGEST_BATCH], at=close.sweep.at, rules=rules)
    except (Refused, strict.Refused) as refusal:
        if len(batch) == 1:
            fed.waiting[batch[0][0].account.pk] = str(refusal)
            return
        for postings in batch:
            _post([postings], rules, close, fed)


def _postings(account: Account, chunk: Chunk, close: Close) -> list[Posting]:
    """What an account's sources make of its SMA, in order; an opening stands alone, a raise comes first."""
    standing, sweep = close.found.standing[account.pk], close.sweep
    if account.pk in chunk.opening:
        return [Posting(account, Kind.CLOSE, ZERO, Resulting(standing.excess), reference=sma.OPENING, sweep=sweep)]
    sources, last = chunk.sources[account.pk], chunk.last.get(account.pk)
    state = State(last.balance, last.called) if last else State()
    entries = sma_sources.entries(sources, close)
    day = sma_day.plan(state, entries, standing, close.exponent(account.pk), close.rules(account.pk))
    postings = [
        Posting(account, one.kind, one.amount, one.resulting, source.movement, source.fill, sweep=sweep)
        for source, one in zip(sources, day.entries, strict=True)
    ]
    if day.raised_to is None:
        return postings
    before = sma.BEFORE + postings[0].source
    return [Posting(account, Kind.CLOSE, ZERO, Resulting(day.raised_to), reference=before, sweep=sweep), *postings]


# --- rows -------------------------------------------------------------------------------------------


def _locked(ids: Sequence[int], close: Close) -> Chunk:
    """The accounts with nobody else moving them: what was measured still holds, or the account has moved on."""
    at = close.sweep.at
    holdings.lock_accounts(ids)
    accounts = {row.pk: row for row in Account.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")}
    last = sma.latest(ids)
    revisions = dict(Revision.objects.filter(pk__in=ids).values_list("pk", "number"))
    seen = close.snap.book.revision
    moved_on = {
        pk
        for pk in ids
        if revisions[pk] != int(seen[close.account_rows[pk]])
        or (last[pk].number if pk in last else 0) != close.numbers.get(pk, 0)
        or (pk in last and last[pk].at > at)
    }
    fresh = [pk for pk in ids if pk not in last]
    return Chunk(accounts, last, sma_sources.unposted(ids, until=at), moved_on, opening(fresh, at))


def opening(accounts: Sequence[int], at: datetime) -> set[int]:
    """Which of these, none with an entry, were there before SMA was kept, or came under it with a history."""
    began_at = SmaEntry.objects.order_by("pk").values_list("at", flat=True).first() or at
    facts = PositionFact.objects.filter(account__in=accounts, effective_at__lte=at).values_list("account")
    known = facts.annotate(first=Min("effective_at"), loaded=Count("pk", filter=Q(cause=Cause.BOOK)))
    return {pk for pk, first, loaded in known if loaded or first <= began_at or first < at - NEW_FOR}
