"""An account as it is, and as it would be: trades booked, prices moved, another policy. Reads; never writes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Any

import numpy as np

from accounts import cash, fills, holdings
from accounts.models import Account, Fill
from margin import policies
from margin.engine import alternatives, build, columns
from margin.engine.columns import Array
from margin.engine.exact import ZERO
from margin.hypothetical import books, repricing
from margin.hypothetical.books import Case
from margin.hypothetical.document import Hypotheses, HypotheticalPolicy, HypotheticalTrade
from margin.hypothetical.forms import Wrong
from margin.models import PolicyVersion
from margin.snapshot import Snapshot, documents
from market.models import Instrument, Kind

FOLLOWED = Context(prec=18, rounding=ROUND_HALF_EVEN)  # digits that count of a price that follows another
MOST = Decimal(10) ** 20  # of prices and quantities, as their columns
FOLLOWING = ("equity", "etf", "index", "future", "perpetual")


@dataclass(frozen=True)
class World:
    """A snapshot of one account, with the instruments' rows and where each code is."""

    snap: Snapshot
    stored: Mapping[int, Any]  # instrument rows by id
    rows: Mapping[str, int]  # code → row of the columns

    def row(self, code: str, path: str) -> int:
        """The row of an instrument; Wrong if there is none."""
        if code not in self.rows:
            raise Wrong(path, f"there is no instrument {code}")
        return self.rows[code]

    def listed(self, row: int) -> Any:
        """The stored instrument behind a row."""
        return self.stored[int(self.snap.instruments.ids[row])]


def before(world: World, account: Account) -> Case:
    """The account as it is."""
    snap = world.snap
    return Case(snap.book, snap.instruments, snap.market, snap.rules, snap.readings, {account.pk: account.code})


def after(world: World, account: Account, supposed: Hypotheses) -> Case:
    """The account as it would be. Raises Wrong naming the path."""
    reading = _policy(supposed.policy, world.snap)
    positions = _traded(world, supposed, reading)
    instruments = _moved(world, supposed, positions)
    rows = [build.PositionRow(account.pk, id, quantity, cost) for id, (quantity, cost) in positions.items()]
    owner = build.AccountRow(account.pk, account.base_currency, 0, int(world.snap.book.revision[0]))
    book = build.book(instruments, [owner], rows)
    return replace(
        before(world, account),
        book=replace(book, refused=book.refused + world.snap.book.refused),
        instruments=instruments,
        market=replace(
            repricing.with_rates(world.snap.market, world.snap.instruments, instruments),
            parameters=_parameters(world.snap, reading),
        ),
        rules=columns.Rules((reading.policy,)),
        readings=(reading,),
    )


def _parameters(snap: Snapshot, reading: policies.Reading) -> dict[str, Any]:
    """What another policy names as well as what the account's own does."""
    return {**snap.market.parameters, **documents([reading], replace(snap.prices, parameters=None))}


def _policy(wanted: HypotheticalPolicy | None, snap: Snapshot) -> policies.Reading:
    if wanted is None:
        return snap.readings[0]
    if wanted.terms is not None:
        if wanted.code or wanted.version is not None:
            raise Wrong("policy", "name a stored policy or give terms, not both")
        return books.reading("policy", wanted.terms, "policy.terms")
    if not wanted.code:
        raise Wrong("policy", "name a stored policy, or give terms")
    if wanted.version is None:
        version = policies.in_force(snap.at).get(wanted.code)
    else:
        found = PolicyVersion.objects.select_related("policy").filter(policy__code=wanted.code)
        version = found.filter(number=wanted.version).first() if 0 <= wanted.version < 2**31 else None
    if version is None:
        which = "version in force" if wanted.version is None else f"version {wanted.version}"
        raise Wrong("policy", f"there is no {which} of a policy {wanted.code!r}")
    return policies.read(version)


# --- trades and cash ----------------------------------------------------------------------------------


def _traded(world: World, supposed: Hypotheses, reading: policies.Reading) -> dict[int, holdings.Held]:
    """Instrument id → (quantity, cost) once the trades are booked and the cash has moved."""
    snap = world.snap
    held: dict[int, holdings.Held] = {
        int(snap.instruments.ids[row]): found for row, found in alternatives.positions_of(snap.book, 0).items()
    }
    codes = {trade.instrument for trade in supposed.trades}
    bought = {one.code: one for one in Instrument.objects.filter(code__in=codes)}
    money = {row.currency: row.id for row in world.stored.values() if row.kind == Kind.CASH}
    currencies = Instrument.objects.in_bulk([*money.values()])
    for place, trade in enumerate(supposed.trades):
        path = f"trades[{place}]"
        world.row(trade.instrument, f"{path}.instrument")
        instrument = bought[trade.instrument]
        if instrument.kind == Kind.CASH:
            raise Wrong(f"{path}.instrument", f"{instrument.code} is cash; say it under cash")
        if instrument.currency not in money:
            raise Wrong(f"{path}.instrument", f"no cash instrument is known in {instrument.currency}")
        currency = currencies[money[instrument.currency]]
        price = _price(world, trade, supposed, instrument, path)
        fee = _fee(trade, price, instrument, currency, reading) if supposed.fees else ZERO
        _book(held, instrument, currency, trade.quantity, price, fee, path)
    for code, amount in supposed.cash.items():
        if code not in money:
            raise Wrong(f"cash.{code}", f"no cash instrument is known in {code}")
        quantity, cost = held.get(money[code], holdings.NOTHING)
        held[money[code]] = (quantity + amount, cost)
    return held


def _price(world: World, trade: HypotheticalTrade, supposed: Hypotheses, instrument: Instrument, path: str) -> Decimal:
    """As quoted: the trade's own, else the mark of now, else what the price is supposed to be."""
    if not trade.quantity:
        raise Wrong(f"{path}.quantity", "is zero; a trade moves something")
    if trade.price is not None and trade.price < 0 and not instrument.may_be_negative:
        raise Wrong(f"{path}.price", f"{trade.price} is negative, which {instrument.code} may not be")
    price = price_of(world, trade, supposed, instrument.pk)
    if price is None:
        raise Wrong(f"{path}.price", f"missing, and {instrument.code} has no price: state one")
    return price


def price_of(world: World, trade: HypotheticalTrade, supposed: Hypotheses, id: int) -> Decimal | None:
    """At which a trade in the instrument `id` is done, as quoted; None where nothing says it."""
    known = world.snap.prices.prices.get(id)
    is_known = known is not None and known.mark is not None and not known.refused
    mark = known.mark if known is not None and is_known else supposed.prices.get(trade.instrument)
    return mark if trade.price is None else trade.price


def _fee(
    trade: HypotheticalTrade, price: Decimal, instrument: Instrument, currency: Instrument, reading: policies.Reading
) -> Decimal:
    """The policy's fee_rate of what is traded, rounded up to the smallest unit."""
    with localcontext(holdings.ARITHMETIC):
        paid = abs(trade.quantity * price * instrument.multiplier / instrument.price_divisor)
        return (paid * reading.terms.fee_rate).quantize(cash.minor(currency), rounding=ROUND_CEILING)


def _book(
    held: dict[int, holdings.Held],
    instrument: Instrument,
    currency: Instrument,
    quantity: Decimal,
    price: Decimal,
    fee: Decimal,
    path: str,
) -> None:
    """Move the instrument, its cost and its cash as a fill would (`accounts.fills`)."""
    cost = fills.notional(quantity, price, instrument)
    paid = fills.cash_effect(Fill(quantity=quantity, price=price, fee=fee), instrument, currency)
    if instrument.kind in fills.MARGINED:
        moved = holdings.Change(0, instrument.pk, quantity, "", _NO_INSTANT, cost=cost)
        paid += fills.to_cash(holdings.realised(held.get(instrument.pk, holdings.NOTHING), moved), currency)
    moves = ((instrument.pk, quantity, cost), (currency.pk, paid, None))
    for id, change, paid_for in moves:
        there = held.get(id, holdings.NOTHING)
        booked = holdings.Change(0, id, change, "", _NO_INSTANT, cost=paid_for)
        held[id] = (there[0] + change, holdings.cost_after(there, booked))
        if abs(held[id][0]) >= MOST:
            raise Wrong(f"{path}.quantity", "would hold more than 10^20")


_NO_INSTANT: Any = None  # a cost does not depend on when


# --- prices -------------------------------------------------------------------------------------------


def _moved(world: World, supposed: Hypotheses, positions: Mapping[int, Any]) -> columns.Instruments:
    """The instruments under the supposed prices and volatilities, with what follows them."""
    instruments = world.snap.instruments
    prices, is_moved = instruments.price.copy(), np.zeros(len(instruments), bool)
    for row, price in _stated(world, supposed).items():
        prices[row], is_moved[row] = price, True
    _follow(world, prices, is_moved)
    shifts = _volatilities(world, supposed)
    if not is_moved.any() and not shifts.any():
        return instruments
    held = np.flatnonzero(np.isin(instruments.ids, list(positions)))
    options = repricing.options_of(instruments, world.snap.market, held)
    return repricing.moved(instruments, options, prices=prices, is_moved=is_moved, volatility_shifts=shifts)


def _stated(world: World, supposed: Hypotheses) -> dict[int, Decimal]:
    """Row → price in the main unit, from prices and shifts."""
    found: dict[int, Decimal] = {}
    for code, price in supposed.prices.items():
        row = _priceable(world, code, f"prices.{code}")
        found[row] = _allowed(world, row, price / world.listed(row).price_divisor, f"prices.{code}")
    for code, shift in supposed.price_shifts.items():
        path = f"price_shifts.{code}"
        row = _priceable(world, code, path)
        if row in found:
            raise Wrong(path, f"{code} is given a price already")
        if not world.snap.instruments.priced[row]:
            raise Wrong(path, f"{world.snap.instruments.unpriced_reason[row]}: give it a price instead")
        price = world.snap.instruments.price[row]
        found[row] = _allowed(world, row, price + abs(price) * shift, path)
    return found


def _priceable(world: World, code: str, path: str) -> int:
    row = world.row(code, path)
    if world.listed(row).kind == Kind.CASH:
        raise Wrong(path, f"{code} is cash, which is worth itself")
    return row


def _allowed(world: World, row: int, price: Decimal, path: str) -> Decimal:
    kind = world.listed(row).kind
    if abs(price) >= MOST:
        raise Wrong(path, "the price would have more than 20 digits before the point")
    if price < 0 and kind in (Kind.OPTION, Kind.FUTURE_OPTION):
        raise Wrong(path, "an option is not worth less than nothing")
    if price <= 0 and kind in build.ALWAYS_POSITIVE:
        raise Wrong(path, f"the price would not be more than 0, which {kind} must be")
    return price


def _follow(world: World, prices: Array, is_moved: Array) -> None:
    """What follows an index, or is a future of something, moves by the same rate, times a fund's leverage.

    Twice, because a future may follow what follows an index.
    """
    instruments = world.snap.instruments
    places = {int(id): row for row, id in enumerate(instruments.ids)}
    for _ in range(2):
        for row, led_by in _followers(world, places):
            if is_moved[led_by] and not is_moved[row] and instruments.priced[row] and instruments.priced[led_by]:
                old, new = instruments.price[led_by], prices[led_by]
                if old > 0:
                    prices[row] = following(instruments.price[row], new / old - 1, instruments.leverage[row])
                    is_moved[row] = True


def _followers(world: World, places: Mapping[int, int]) -> Iterable[tuple[int, int]]:
    """(row, the row it follows)."""
    for id, listed in world.stored.items():
        leader = listed.underlying_id if listed.kind in (Kind.FUTURE, Kind.PERPETUAL) else listed.index_id
        if leader is not None and listed.kind in FOLLOWING:
            yield places[id], places[leader]


def following(price: Decimal, rate: Decimal, leverage: Decimal) -> Decimal:
    """A price that moves by so many times a rate; a fund loses 99.99 % at most, for nothing is worth nothing here."""
    factor = max(Decimal("-0.9999"), rate * leverage)
    with localcontext(holdings.ARITHMETIC):
        return FOLLOWED.plus(price + abs(price) * factor)


def _volatilities(world: World, supposed: Hypotheses) -> Array:
    """Float64 shift per row: of the option itself, or of all options on it; their own wins."""
    instruments = world.snap.instruments
    shifts = np.zeros(len(instruments))
    own: dict[int, float] = {}
    for code, shift in supposed.volatility_shifts.items():
        row = world.row(code, f"volatility_shifts.{code}")
        if instruments.contract[row] is not None:
            own[row] = float(shift)
            continue
        for option, contract in enumerate(instruments.contract):
            if contract is not None and contract.underlying == instruments.ids[row]:
                shifts[option] = float(shift)
    for row, by in own.items():
        shifts[row] = by
    return shifts
