"""Groups to books, books through a model, and its amounts back as exact Decimals."""

from collections.abc import Mapping

import numpy as np

from margin.engine.columns import KINDS, Array, Instruments, Market
from margin.engine.exact import ZERO, exactly
from margin.engine.groups import GroupFigures, Groups, Keys
from margin.engine.measures import pick
from margin.engine.methodologies.crypto_portfolio import grid, reading, standard, telling
from margin.engine.methodologies.crypto_portfolio.books import Assets, Books, Legs, Linears, Runs
from margin.engine.methodologies.crypto_portfolio.reading import CRYPTO, LINEAR, OPTION, Listed
from margin.engine.methodologies.crypto_portfolio.terms import Terms

_PERPETUAL = KINDS.index("perpetual")
_DAY_BITS = 22  # more than any day's number has


def keys(instruments: Instruments, terms: Terms) -> Keys:
    """One group per coin, and one of everything else: tokens of no coin, what cannot be measured. All is claimed."""
    found = np.zeros(len(instruments), np.int64)
    number = {coin: 1 + k for k, coin in enumerate(terms.coins)}
    for row in np.flatnonzero(np.isin(instruments.kind, (CRYPTO, OPTION, *LINEAR))):
        found[row] = number.get(reading.coin_of(instruments, int(row), terms), len(number) + 1)
    return Keys(found, found > 0, spans_currencies=True)


def measure(groups: Groups, market: Market, is_standard: bool, terms: Terms) -> GroupFigures:
    """Requirement and initial per group: what the model asks, each charge rounded once."""
    count = len(groups)
    try:
        feeds, stablecoin = reading.feeds_of(market, terms), reading.stablecoin_of(market, terms)
    except ValueError as why:
        return _nothing(count, str(why))
    held = np.unique(groups.instrument).tolist()
    listed = reading.listed(groups.instruments, held, market, feeds, terms, is_standard)
    books = books_of(groups, listed, stablecoin, is_standard)
    asked = standard.asked(books, terms.standard) if is_standard else grid.asked(books, terms.grid)
    maintenance = {charge: _decimals(amounts) for charge, amounts in asked.maintenance.items()}
    initial = {charge: _decimals(amounts) for charge, amounts in asked.initial.items()}
    refused = _refused(groups, listed, terms)
    is_measured = refused == ""
    told = telling.Explained(groups, terms, is_standard, maintenance, initial, asked.worst).told
    return GroupFigures(
        requirement=pick(is_measured, _sum(maintenance, count), ZERO),
        initial=pick(is_measured, _sum(initial, count), ZERO),
        equity=np.full(count, ZERO, object),
        refused=refused,
        told=told,
    )


def books_of(groups: Groups, listed: Listed, stablecoin: float, is_standard: bool) -> Books:
    """One book per group, in the group's currency. What is refused is left out: its group has no number."""
    row = groups.instrument
    owner = np.repeat(np.arange(len(groups)), np.diff(groups.offsets))
    quantity = groups.quantity.astype(np.float64)
    weight = quantity * groups.to_group.astype(np.float64) * listed.units[row]
    kind = groups.instruments.kind[row]
    good = listed.refused[row] == ""
    dated = good & (listed.expiry[row] > 0)
    day = (owner << _DAY_BITS) + listed.expiry[row]
    days = np.unique(day[dated])
    run = np.searchsorted(days, day)
    option = np.flatnonzero(good & (kind == OPTION))
    option = option[np.argsort(run[option], kind="stable")]  # within a run by instrument, as in the group
    linear, token = np.flatnonzero(good & np.isin(kind, LINEAR)), np.flatnonzero(good & (kind == CRYPTO))
    distinct = np.unique(row[option])
    spot_confidence, of_book = _confidences(groups, listed, owner, good, is_standard)
    seconds, rate, confidence = np.zeros(len(days)), np.zeros(len(days)), np.ones(len(days))
    seconds[run[dated]], rate[run[dated]] = listed.seconds[row[dated]], listed.rate[row[dated]]
    confidence[run[option]] = listed.confidence[row[option]]
    own = np.minimum(listed.confidence[row], of_book[owner])
    return Books(
        runs_of=np.searchsorted(days >> _DAY_BITS, np.arange(len(groups) + 1)).astype(np.int64),
        options=listed.options(distinct, is_discounted=not is_standard),
        legs=Legs(np.searchsorted(distinct, row[option]).astype(np.int64), weight[option]),
        runs=Runs(
            legs=np.searchsorted(run[option], np.arange(len(days) + 1)).astype(np.int64),
            seconds=seconds,
            rate=rate,
            confidence=np.minimum(confidence, (spot_confidence if is_standard else of_book)[days >> _DAY_BITS]),
        ),
        linears=Linears(
            book=owner[linear],
            run=np.where(listed.expiry[row[linear]] > 0, run[linear], -1),
            notional=weight[linear] * listed.price[row[linear]],
            coins=quantity[linear] * listed.coins[row[linear]],
            size=np.abs(weight[linear]) * listed.spot[row[linear]],
            confidence=own[linear],
        ),
        assets=Assets(
            book=owner[token],
            value=weight[token] * listed.price[row[token]],
            confidence=np.minimum(listed.confidence[row[token]], spot_confidence[owner[token]]),
            rate=listed.haircut[row[token]],
            initial_rate=listed.initial_haircut[row[token]],
            moves=listed.moves[row[token]],
        ),
        stablecoin=stablecoin,
    )


def _confidences(groups: Groups, listed: Listed, owner: Array, good: Array, is_standard: bool) -> tuple[Array, Array]:
    """Per group: (confidence of the coin's spot feed, the least of it and, where one is held, the perpetual's feed)."""
    row, of_spot = groups.instrument, np.ones(len(groups))
    of_spot[owner[good]] = listed.spot_confidence[row[good]]
    held = good & (groups.instruments.kind[row] == _PERPETUAL)
    of_book = of_spot.copy()
    of_book[owner[held]] = np.minimum(of_spot[owner[held]], listed.perpetual_confidence[row[held]])
    return of_spot, of_book


def _refused(groups: Groups, listed: Listed, terms: Terms) -> Array:
    """Why a group has no number: the first of its positions that cannot be measured, or must not be owed."""
    reason = listed.refused[groups.instrument]
    owed = np.flatnonzero((groups.instruments.kind[groups.instrument] == CRYPTO) & (groups.quantity < ZERO))
    for p in owed:
        code = str(groups.instruments.codes[groups.instrument[p]])
        if code not in terms.collateral and code not in terms.coins:
            reason[p] = f"{code}: owed, and nothing is stated of it in collateral"
    refused = np.full(len(groups), "", object)
    owner = np.repeat(np.arange(len(groups)), np.diff(groups.offsets))
    for p in np.flatnonzero(reason != "")[::-1]:
        refused[owner[p]] = reason[p]
    return refused


def _nothing(count: int, reason: str) -> GroupFigures:
    zero = np.full(count, ZERO, object)
    return GroupFigures(zero, zero, zero, np.full(count, reason, object), telling.nothing)


def _sum(charges: Mapping[str, Array], count: int) -> Array:
    total = np.full(count, ZERO, object)
    with exactly():
        for amounts in charges.values():
            total = total + amounts
    return total


def _decimals(amounts: Array) -> Array:
    """Amounts rounded once; never -0."""
    out = np.empty(len(amounts), object)
    out[:] = [telling.rounded(amount) if amount else ZERO for amount in amounts.tolist()]
    return out
