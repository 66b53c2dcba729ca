"""Stored SMA: postings to the special memorandum account of Regulation T, and the ratchet at the close of a day.

    sma.post(account, kind=Kind.DEPOSIT, amount=Decimal("5000"), movement=movement, at=at)

What a posting does is decided by `margin.engine.sma`; here it is done once per source, in the order of an account's
postings, and kept. A posting sent again returns the entry that is there; another amount under its reference is a
Conflict. Credits are rounded down to the currency's smallest unit, what is used or called up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import Max

from accounts import cash, ledgers
from accounts.models import Account, CashMovement, Fill
from margin.engine.account import RULE_BOOK, Rules
from margin.engine.exact import exactly, round_down, round_up
from margin.engine.sma import UNKNOWN, Entry, Kind, Refused, Resulting, State
from margin.engine.sma import post as posted
from margin.models import SmaEntry, Sweep
from market import strict
from market.models import Instrument

LARGEST_BATCH = 500
OPENING = "opening"  # the first entry of an account that was there before its SMA: the excess it had
BEFORE = "before:"  # and of a source: SMA raised before that is posted (margin.engine.sma_day)


@dataclass(frozen=True)
class Posting:
    """What is to be posted; its source is a cash movement, a fill, or, for all else, a reference of its own."""

    account: Account
    kind: Kind
    amount: Decimal  # in the base currency
    resulting: Resulting = UNKNOWN
    movement: CashMovement | None = None
    fill: Fill | None = None
    reference: str = ""
    sweep: Sweep | None = None  # on whose prices `resulting` was seen

    @property
    def source(self) -> str:
        if self.movement is not None:
            return f"movement:{self.movement.pk}"
        return f"fill:{self.fill.pk}" if self.fill is not None else self.reference


@dataclass(frozen=True)
class Closed:
    """`raised`: accounts whose SMA rose. `overtaken`: those with a posting later than their excess; measure again."""

    raised: int
    overtaken: tuple[int, ...]


def post(
    account: Account,
    *,
    kind: Kind,
    amount: Decimal,
    at: datetime,
    resulting: Resulting = UNKNOWN,
    movement: CashMovement | None = None,
    fill: Fill | None = None,
    reference: str = "",
    rules: Rules = RULE_BOOK,
) -> SmaEntry:
    """One posting; see `post_all`."""
    return post_all([Posting(account, kind, amount, resulting, movement, fill, reference)], at=at, rules=rules)[0]


def post_all(postings: Sequence[Posting], *, at: datetime, rules: Rules = RULE_BOOK) -> list[SmaEntry]:
    """Post in the order given, all or nothing; returns the stored entries in that order.

    Raises Refused (of the engine) where SMA may not be used so, Conflict where a reference stands for something else,
    and strict.Refused for a malformed posting or one that comes before the account's last.
    """
    if len(postings) > LARGEST_BATCH:
        raise ValueError(f"{len(postings)} postings; give at most {LARGEST_BATCH} at once")
    currencies = cash.instruments({posting.account.base_currency for posting in postings})
    for posting in postings:
        _check(posting, currencies[posting.account.base_currency])
    with transaction.atomic():
        accounts = sorted({posting.account.pk for posting in postings})
        _lock(accounts)
        last = latest(accounts)
        there = _stored(postings)
        fresh: list[SmaEntry] = []
        for posting in postings:
            name = (posting.account.pk, posting.source)
            if name in there:
                _check_same(there[name], posting)
                continue
            before = last.get(posting.account.pk)
            entry = _entry(posting, before, currencies[posting.account.base_currency], at=at, rules=rules)
            last[posting.account.pk] = there[name] = entry
            fresh.append(entry)
        SmaEntry.objects.bulk_create(fresh)
    return [there[posting.account.pk, posting.source] for posting in postings]


def close_of_day(excesses: Mapping[int, Decimal], *, day: date, at: datetime, sweep: Sweep | None = None) -> Closed:
    """Raise the SMA of each account (by id) to its Regulation T excess as seen at `at`, where that is more.

    One statement for all accounts; a day closes an account once. Falling prices write nothing. An account that was
    posted to after `at` is not touched: its excess no longer holds, and would give back what was just used.
    """
    for pk, excess in excesses.items():
        if not excess.is_finite():
            raise strict.refuse("excess", f"of account {pk} is {excess}; leave out what is not known")
    exponents = _exponents(excesses)
    rows = [(pk, round_down(excess, exponents[pk])) for pk, excess in sorted(excesses.items())]
    terms: dict[str, Any] = {
        "ids": [pk for pk, _ in rows],
        "excesses": [excess for _, excess in rows],
        "at": at,
        "reference": f"close:{day.isoformat()}",
        "sweep": sweep.pk if sweep else None,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(LOCK_RISING, terms)
        cursor.execute(CLOSE, terms)
        raised = cursor.rowcount
        cursor.execute(OVERTAKEN, terms)
        return Closed(raised, tuple(row[0] for row in cursor.fetchall()))


def state(account: Account) -> State:
    """What stands in the account's SMA now: the balance, and what is called."""
    entry = latest([account.pk]).get(account.pk)
    return State(entry.balance, entry.called) if entry else State()


def balance(account: Account, *, at: datetime | None = None) -> Decimal:
    """The balance after the last posting, or after the last one up to `at`; zero where there was none."""
    entries = SmaEntry.objects.filter(account=account, **({"at__lte": at} if at else {}))
    found = entries.order_by("-number").values_list("balance", flat=True).first()
    return Decimal(0) if found is None else found


# --- one posting ------------------------------------------------------------------------------------


def _check(posting: Posting, currency: Instrument) -> None:
    """Refused unless the posting is well-formed and its source is the account's own."""
    is_raise = posting.reference == OPENING or posting.reference.startswith(BEFORE)
    if posting.kind is Kind.CLOSE and not is_raise:
        raise strict.refuse("kind", "a close is not posted; use close_of_day")
    cash.checked(posting.amount, currency)
    if bool(posting.movement) + bool(posting.fill) + bool(posting.reference) != 1:
        raise strict.refuse("reference", "give one source: a movement, a fill or a reference")
    strict.code(posting.source, field="reference", length=120)
    if posting.source.startswith("close:") or (is_raise and posting.kind is not Kind.CLOSE):
        raise strict.refuse("reference", "closes have their own references; choose another")
    for source in (posting.movement, posting.fill):
        if source is not None and source.account_id != posting.account.pk:
            raise strict.refuse("account", f"{source} is not of account {posting.account.code}")
    moved = posting.movement
    if moved is not None and moved.currency_id == currency.pk and abs(moved.amount) != posting.amount:
        raise strict.refuse("amount", f"{posting.amount} is not what moved, {abs(moved.amount)}")


def _check_same(entry: SmaEntry, posting: Posting) -> None:
    if (entry.kind, entry.amount) != (posting.kind.value, posting.amount):
        raise ledgers.conflict("reference", f"{entry.reference} is posted already, as {entry.kind} of {entry.amount}")


def _entry(posting: Posting, before: SmaEntry | None, currency: Instrument, *, at: datetime, rules: Rules) -> SmaEntry:
    """The row that the posting makes after `before`."""
    if before is not None and at < before.at:
        raise strict.refuse("at", f"{at.isoformat()} is before the last posting, {before.at.isoformat()}")
    stood = State(before.balance, before.called) if before else State()
    try:
        after = posted(stood, Entry(posting.kind, posting.amount, posting.resulting), rules)
    except Refused as refusal:
        raise Refused(f"{posting.account.code}: {refusal}; nothing was posted") from None
    exponent = currency.minor_exponent or 0
    excess = posting.resulting.excess
    with exactly():
        return SmaEntry(
            account=posting.account,
            number=before.number + 1 if before else 1,
            kind=posting.kind.value,
            amount=posting.amount,
            excess=None if excess is None else round_down(excess, exponent),
            balance=round_down(after.balance, exponent),
            called=round_up(after.called, exponent),
            reference=posting.source,
            movement=posting.movement,
            fill=posting.fill,
            sweep=posting.sweep,
            at=at,
        )


# --- rows -------------------------------------------------------------------------------------------


def _lock(accounts: Sequence[int]) -> None:
    """One poster per account at a time, in account order, until the transaction ends."""
    list(Account.objects.select_for_update(no_key=True).filter(pk__in=accounts).order_by("pk").values_list("pk"))


def latest(accounts: Sequence[int]) -> dict[int, SmaEntry]:
    """The last entry of each of these accounts that has one, by account id."""
    newest = SmaEntry.objects.filter(account__in=accounts).order_by("account_id", "-number").distinct("account_id")
    return {entry.account_id: entry for entry in newest}


def numbers(accounts: Sequence[int] | None, *, first: int, last: int) -> dict[int, int]:
    """How many entries each account has: of these ids or, without them, of this range of ids."""
    chosen = {"account__pk__range": (first, last)} if accounts is None else {"account__in": accounts}
    return dict(SmaEntry.objects.filter(**chosen).order_by().values_list("account").annotate(Max("number")))


def _stored(postings: Sequence[Posting]) -> dict[tuple[int, str], SmaEntry]:
    """The entries that carry the references of these postings, by account and reference."""
    found = SmaEntry.objects.filter(
        account__in={posting.account.pk for posting in postings}, reference__in={posting.source for posting in postings}
    )
    return {(entry.account_id, entry.reference): entry for entry in found}


def _exponents(accounts: Mapping[int, object]) -> dict[int, int]:
    """The decimals of each account's base currency; Refused where one is not known."""
    bases = dict(Account.objects.filter(pk__in=list(accounts)).values_list("pk", "base_currency"))
    if missing := sorted(set(accounts) - bases.keys()):
        raise strict.refuse("account", f"there is no account {missing[0]}")
    known = cash.instruments(set(bases.values()))
    return {pk: known[code].minor_exponent or 0 for pk, code in bases.items()}


SEEN = """
FROM unnest(%(ids)s::bigint[], %(excesses)s::numeric[]) AS seen (account_id, excess)
LEFT JOIN LATERAL (
    SELECT number, balance, called, at FROM margin_smaentry entry
    WHERE entry.account_id = seen.account_id ORDER BY number DESC LIMIT 1
) last ON true
"""
LOCK_RISING = f"""
SELECT account.id {SEEN}
JOIN accounts_account account ON account.id = seen.account_id
WHERE seen.excess > coalesce(last.balance, 0)
ORDER BY account.id FOR NO KEY UPDATE OF account
"""
CLOSE = f"""
INSERT INTO margin_smaentry (account_id, number, kind, amount, excess, balance, called, reference, sweep_id, at)
SELECT seen.account_id, coalesce(last.number, 0) + 1, 'close', 0, seen.excess, seen.excess, coalesce(last.called, 0),
       %(reference)s, %(sweep)s, %(at)s
{SEEN}
WHERE seen.excess > coalesce(last.balance, 0) AND (last.at IS NULL OR last.at <= %(at)s)
ON CONFLICT (account_id, reference) DO NOTHING
"""
OVERTAKEN = f"""
SELECT seen.account_id {SEEN}
WHERE seen.excess > coalesce(last.balance, 0) AND last.at > %(at)s
ORDER BY seen.account_id
"""
