"""Columns from rows: instruments and books."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np

from margin.engine import kernels
from margin.engine.columns import KINDS, MARGIN_CLASSES, Array, Book, Contract, Instruments
from margin.engine.exact import ONE, ZERO, exactly, plain, scaled

_MANTISSA_LIMIT = 2**63
BOXED = ("equity", "etf", "bond")  # kinds that may be held long and short at once
ALWAYS_POSITIVE = frozenset({"equity", "etf", "bond", "crypto", "index", "warrant"})


@dataclass(frozen=True)
class InstrumentRow:
    """One instrument. `price` None, or a `reason`, makes it unpriced; cash is worth 1 and needs neither."""

    id: int
    code: str
    kind: str
    currency: str
    price: Decimal | None = None
    reason: str = ""
    price_divisor: int = 1
    multiplier: Decimal = ONE
    leverage: Decimal = ONE
    lot: Decimal = ONE
    margin_eligible: bool = True
    sector: str = ""
    debt_class: str = ""
    matures_on: date | None = None
    minor_exponent: int | None = None
    contract: Contract | None = None
    margin_class: str = "equity"
    index: int = 0
    issuer: str = ""
    daily_volume: Decimal | None = None


@dataclass(frozen=True)
class AccountRow:
    """One account; `policy` is an index into Rules.policies."""

    id: int
    currency: str
    policy: int = 0
    revision: int = 0


@dataclass(frozen=True)
class PositionRow:
    """One holding, signed; `cost` is what was paid for it in its currency, None if unknown."""

    account: int
    instrument: int
    quantity: Decimal
    cost: Decimal | None = None


@dataclass(frozen=True)
class Columns:
    """Positions as they were decoded, in any order: ids, and numbers as mantissa / 10^decimals."""

    account: Array  # int64 ids
    instrument: Array  # int64 ids
    quantity: Array  # int64
    decimals: Array  # int8
    cost: Array  # int64
    cost_decimals: Array  # int8, -1: unknown
    refused: tuple[tuple[int, str], ...] = ()  # (account id, reason)


class BadRows(ValueError):
    """The rows do not describe a book; the message names the row and what is wrong with it."""


def instruments(rows: Iterable[InstrumentRow], extra_currencies: Iterable[str] = ()) -> Instruments:
    """Instruments from rows; `extra_currencies` are account currencies in which nothing is priced."""
    listed = list(rows)
    currencies = tuple(sorted({row.currency for row in listed} | set(extra_currencies)))
    index = {code: k for k, code in enumerate(currencies)}
    minor: list[int | None] = [None] * len(currencies)
    for row in listed:
        if row.kind not in KINDS:
            raise BadRows(f"Instrument {row.code}: kind {row.kind!r} is not one of {', '.join(KINDS)}")
        if row.margin_class not in MARGIN_CLASSES:
            classes = ", ".join(MARGIN_CLASSES)
            raise BadRows(f"Instrument {row.code}: margin class {row.margin_class!r} is not one of {classes}")
        if row.kind == "cash":
            minor[index[row.currency]] = row.minor_exponent
    prices, reasons = zip(*[_price(row) for row in listed], strict=True) if listed else ((), ())
    return Instruments(
        ids=_unique(np.array([row.id for row in listed], np.int64), "instrument"),
        codes=_objects([row.code for row in listed]),
        kind=np.array([KINDS.index(row.kind) for row in listed], np.int8),
        currency=np.array([index[row.currency] for row in listed], np.int32),
        price=_objects(list(prices)),
        multiplier=_objects([_shortest(row.multiplier) for row in listed]),
        leverage=_objects([_shortest(row.leverage) for row in listed]),
        lot=_objects([_shortest(row.lot) for row in listed]),
        margin_eligible=np.array([row.margin_eligible for row in listed], bool),
        sector=_objects([row.sector for row in listed]),
        debt_class=_objects([row.debt_class for row in listed]),
        matures_on=_objects([row.matures_on for row in listed]),
        priced=np.array([not reason for reason in reasons], bool),
        unpriced_reason=_objects(list(reasons)),
        contract=_objects([row.contract for row in listed]),
        margin_class=_objects([row.margin_class for row in listed]),
        index=np.array([row.index for row in listed], np.int64),
        issuer=_objects([row.issuer for row in listed]),
        daily_volume=_objects([row.daily_volume for row in listed]),
        currencies=currencies,
        minor_exponents=tuple(minor),
    )


def _price(row: InstrumentRow) -> tuple[Decimal, str]:
    """(price per unit, reason it cannot be used)."""
    if row.kind == "cash":
        return ONE, ""
    if row.reason:
        return ZERO, f"{row.code}: {row.reason}"
    if row.price is None:
        return ZERO, f"{row.code}: no price"
    if not row.price.is_finite():
        return ZERO, f"{row.code}: price {row.price} is not a number"
    if row.price <= 0 and row.kind in ALWAYS_POSITIVE:
        return ZERO, f"{row.code}: price {plain(row.price)} is not positive"
    with exactly():
        mantissa, decimals = scaled(row.price)
        return _divided(Decimal(mantissa).scaleb(-decimals), row.price_divisor), ""


def _divided(price: Decimal, divisor: int) -> Decimal:
    """Price in the currency's main unit. Divisors are powers of ten in practice (pence, cents), so this is exact."""
    return price if divisor == 1 else price / divisor


def book(columns: Instruments, accounts: Iterable[AccountRow], positions: Iterable[PositionRow]) -> Book:
    """A book from plain rows, for tests, what-ifs and small houses. Raises BadRows naming the row."""
    held = list(positions)
    refused: list[tuple[int, str]] = []
    quantities = [_mantissa(row, row.quantity, "quantity", refused) for row in held]
    costs = [(0, -1) if row.cost is None else _mantissa(row, row.cost, "cost", refused) for row in held]
    decoded = Columns(
        account=np.array([row.account for row in held], np.int64),
        instrument=np.array([row.instrument for row in held], np.int64),
        quantity=np.array([mantissa for mantissa, _ in quantities], np.int64),
        decimals=np.array([decimals for _, decimals in quantities], np.int8),
        cost=np.array([mantissa for mantissa, _ in costs], np.int64),
        cost_decimals=np.array([decimals for _, decimals in costs], np.int8),
        refused=tuple(refused),
    )
    listed = list(accounts)
    index = {code: k for k, code in enumerate(columns.currencies)}
    missing = sorted({row.currency for row in listed} - set(index))
    if missing:
        raise BadRows(f"Accounts in {', '.join(missing)}: pass these as extra_currencies to build.instruments")
    return book_from_columns(
        columns,
        accounts=np.array([row.id for row in listed], np.int64),
        base=np.array([index[row.currency] for row in listed], np.int32),
        policy=np.array([row.policy for row in listed], np.int32),
        revision=np.array([row.revision for row in listed], np.int64),
        positions=decoded,
    )


def _mantissa(row: PositionRow, number: Decimal, name: str, refused: list[tuple[int, str]]) -> tuple[int, int]:
    """The number as (mantissa, decimals); what a 64-bit mantissa cannot hold refuses the account."""
    if not number.is_finite():
        refused.append((row.account, f"instrument {row.instrument}: {name} {number} is not a number"))
        return 0, 0
    mantissa, decimals = scaled(number)
    if abs(mantissa) >= _MANTISSA_LIMIT:
        refused.append((row.account, f"instrument {row.instrument}: {name} has too many digits"))
        return 0, 0
    return mantissa, decimals


def book_from_columns(
    columns: Instruments, *, accounts: Array, base: Array, policy: Array, revision: Array, positions: Columns
) -> Book:
    """A book from arrays, without a Python loop over rows.

    Positions of accounts that are not listed are left out (closed accounts share the id range); a position in an
    unknown instrument, or two positions of one account in one instrument, raise BadRows. Stock, funds and bonds alone
    may be held long and short at once, one position each, the long one first: a box.
    """
    order = np.argsort(accounts, kind="stable")
    accounts = _unique(accounts[order], "account")
    row, kept = _lookup(accounts, positions.account)
    kept &= (positions.quantity != 0) & (row >= 0)
    chosen = np.flatnonzero(kept)
    row = row[chosen]
    instrument = _instrument_rows(columns, positions, chosen)
    sort = _order(columns, row, instrument, len(accounts))
    row, instrument, chosen = row[sort], instrument[sort], chosen[sort]
    twice = np.flatnonzero((row[1:] == row[:-1]) & (instrument[1:] == instrument[:-1]))
    if twice.size:
        _refuse_duplicates(columns, accounts, row, instrument, positions.quantity[chosen], twice)
        backward = twice[positions.quantity[chosen[twice]] < 0]
        chosen[backward], chosen[backward + 1] = chosen[backward + 1], chosen[backward]
    refused = {int(account): reason for account, reason in reversed(positions.refused)}
    rows_of_refused, listed = _lookup(accounts, np.array(list(refused), np.int64))
    return Book(
        accounts=accounts,
        base=np.ascontiguousarray(base[order], np.int32),
        policy=np.ascontiguousarray(policy[order], np.int32),
        revision=np.ascontiguousarray(revision[order], np.int64),
        offsets=_starts(row, len(accounts)),
        instrument=instrument,
        quantity=positions.quantity[chosen],
        decimals=positions.decimals[chosen],
        cost=positions.cost[chosen],
        cost_decimals=positions.cost_decimals[chosen],
        refused=tuple(
            (int(at), reason)
            for at, is_listed, reason in zip(rows_of_refused, listed, refused.values(), strict=True)
            if is_listed
        ),
        **_segments(columns, row, instrument, len(accounts)),
    )


def _lookup(sorted_ids: Array, wanted: Array) -> tuple[Array, Array]:
    """(row of each wanted id, whether it is there), by a table when ids are dense, else by bisection."""
    if len(sorted_ids) == 0 or len(wanted) == 0:
        return np.zeros(len(wanted), np.int32), np.zeros(len(wanted), bool)
    low, high = int(sorted_ids[0]), int(sorted_ids[-1])
    if high - low < 4 * (len(sorted_ids) + len(wanted)):
        table = np.full(high - low + 2, -1, np.int32)  # the last cell stands for "outside"
        table[sorted_ids - low] = np.arange(len(sorted_ids), dtype=np.int32)
        inside = (wanted >= low) & (wanted <= high)
        rows = table[np.where(inside, wanted - low, high - low + 1)]
        return rows, rows >= 0
    rows = np.minimum(np.searchsorted(sorted_ids, wanted), len(sorted_ids) - 1).astype(np.int32)
    return rows, sorted_ids[rows] == wanted


def _instrument_rows(columns: Instruments, positions: Columns, chosen: Array) -> Array:
    order = np.argsort(columns.ids, kind="stable")
    wanted = positions.instrument[chosen]
    rows, known = _lookup(columns.ids[order], wanted)
    if not known.all():
        at = int(np.flatnonzero(~known)[0])
        account = int(positions.account[chosen[at]])
        raise BadRows(f"Account {account} holds instrument {int(wanted[at])}, which is not among the instruments")
    return order[rows].astype(np.int32)


def _order(columns: Instruments, row: Array, instrument: Array, accounts: int) -> Array:
    """Positions by (account, currency, instrument id): two counting passes, the finer key first."""
    rank = np.empty(len(columns), np.int32)
    rank[np.lexsort((columns.ids, columns.currency))] = np.arange(len(columns), dtype=np.int32)
    rows = kernels.rows()
    everything = np.arange(len(row), dtype=np.int64)
    by_instrument = rows.counting_order(np.ascontiguousarray(rank[instrument]), len(columns), everything)
    order: Array = rows.counting_order(np.ascontiguousarray(row), accounts, by_instrument)
    return order


def _refuse_duplicates(
    columns: Instruments, accounts: Array, row: Array, instrument: Array, quantity: Array, twice: Array
) -> None:
    """BadRows where rows `twice` and the ones after them are no box: of one side, of another kind, or three."""
    is_box = np.isin(columns.kind[instrument[twice]], [KINDS.index(kind) for kind in BOXED]) & (
        (quantity[twice] > 0) != (quantity[twice + 1] > 0)
    )
    is_box[1:] &= twice[1:] != twice[:-1] + 1
    for k in np.flatnonzero(~is_box)[:1]:
        account, code = int(accounts[row[twice[k]]]), columns.codes[instrument[twice[k]]]
        raise BadRows(
            f"Account {account} holds {code} twice: one position per account and instrument; stock and bonds may have "
            "one long and one short"
        )


def boxes(whole: Book) -> Array:
    """Positions that are the smaller side of a box, all of which has its counterpart; of equal sides the short."""
    twice = np.flatnonzero(whole.instrument[1:] == whole.instrument[:-1])
    first = np.searchsorted(whole.offsets, twice + 1)
    longs = twice[whole.offsets[first] != twice + 1]  # both of one account
    with exactly():
        smaller = [int(p) + (abs(quantity(whole, int(p) + 1)) <= quantity(whole, int(p))) for p in longs]
    return np.array(smaller, np.int64)


def _segments(columns: Instruments, row: Array, instrument: Array, accounts: int) -> dict[str, Array]:
    currency = columns.currency[instrument]
    starts = np.ones(len(row), bool)
    starts[1:] = (row[1:] != row[:-1]) | (currency[1:] != currency[:-1])
    first = np.flatnonzero(starts).astype(np.int64)
    return {
        "account_segments": _starts(row[first], accounts),
        "segment_offsets": np.append(first, len(row)).astype(np.int64),
        "segment_currency": np.ascontiguousarray(currency[first], np.int32),
    }


def _starts(sorted_rows: Array, buckets: int) -> Array:
    """CSR offsets of sorted bucket numbers."""
    return _sums_from_zero(np.bincount(sorted_rows, minlength=buckets))


def _unique(ids: Array, name: str) -> Array:
    found, counts = np.unique(ids, return_counts=True)
    if len(found) != len(ids):
        raise BadRows(f"The {name} {int(found[counts > 1][0])} is listed twice")
    return ids


def _objects(values: Sequence[object]) -> Array:
    out = np.empty(len(values), object)
    out[:] = values
    return out


def _shortest(number: Decimal) -> Decimal:
    mantissa, decimals = scaled(number)
    with exactly():
        return Decimal(mantissa).scaleb(-decimals)


def quantity(whole: Book, position: int) -> Decimal:
    """How much is held, signed. Call inside `exact.exactly()`."""
    return Decimal(int(whole.quantity[position])).scaleb(-int(whole.decimals[position]))


def take(whole: Book, rows: Array) -> Book:
    """The book of the chosen accounts alone, in that order; account k of it is account rows[k] of the whole."""
    positions = runs(whole.offsets, rows)
    segments = runs(whole.account_segments, rows)
    lengths = (whole.segment_offsets[1:] - whole.segment_offsets[:-1])[segments]
    renumbered = {int(row): k for k, row in enumerate(rows)}
    return Book(
        accounts=whole.accounts[rows],
        base=whole.base[rows],
        policy=whole.policy[rows],
        revision=whole.revision[rows],
        offsets=runs_offsets(whole.offsets, rows),
        instrument=whole.instrument[positions],
        quantity=whole.quantity[positions],
        decimals=whole.decimals[positions],
        cost=whole.cost[positions],
        cost_decimals=whole.cost_decimals[positions],
        account_segments=runs_offsets(whole.account_segments, rows),
        segment_offsets=_sums_from_zero(lengths),
        segment_currency=whole.segment_currency[segments],
        refused=tuple((renumbered[row], reason) for row, reason in whole.refused if row in renumbered),
        in_transit=None if whole.in_transit is None else whole.in_transit[rows],
        disputed=None if whole.disputed is None else whole.disputed[rows],
    )


def runs(offsets: Array, rows: Array) -> Array:
    """The indices of the CSR runs of `rows`, one run after the other."""
    starts, counts = offsets[rows], offsets[np.asarray(rows) + 1] - offsets[rows]
    shift = np.repeat(starts - _sums_from_zero(counts)[:-1], counts)
    return (shift + np.arange(len(shift))).astype(np.int64)


def runs_offsets(offsets: Array, rows: Array) -> Array:
    """CSR offsets of those runs."""
    return _sums_from_zero((offsets[1:] - offsets[:-1])[rows])


def _sums_from_zero(counts: Array) -> Array:
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
