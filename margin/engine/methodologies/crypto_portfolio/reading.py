"""From instruments to the model's columns: forwards, volatilities and confidences, or why there are none."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from math import exp

import numpy as np

from margin.engine import pricing
from margin.engine import terms as reading
from margin.engine.columns import KINDS, Array, Contract, Instruments, Market
from margin.engine.exact import ONE, ZERO
from margin.engine.methodologies.crypto_portfolio.books import YEAR_SECONDS, Options, split_forward
from margin.engine.methodologies.crypto_portfolio.terms import CoinFeed, Collateral, ExpiryFeed, Feeds, Terms

CRYPTO, OPTION = KINDS.index("crypto"), KINDS.index("option")
LINEAR = (KINDS.index("future"), KINDS.index("perpetual"))
_DAY_SECONDS = 86400
_RIGHTS = ("call", "put")


class _Unreadable(ValueError):
    """Why an instrument cannot be measured."""


@dataclass(frozen=True)
class Listed:
    """n instruments as the models read them; columns mean nothing where `refused` says why. float64."""

    spot: Array  # of the coin; of a token: its own price
    price: Array  # of the instrument, in the same currency
    units: Array  # what one instrument is worth, in its own currency, for one unit of price
    coins: Array  # that one instrument stands for
    forward: Array
    strike: Array
    seconds: Array  # to expiry
    expiry: Array  # int64: the day of expiry, 0: none
    rate: Array
    volatility: Array
    is_call: Array  # bool
    confidence: Array  # of the feeds that this instrument alone depends on
    spot_confidence: Array
    perpetual_confidence: Array
    haircut: Array
    initial_haircut: Array
    moves: Array  # bool: a token that moves with the coin of its book
    refused: Array  # str

    def options(self, rows: Array, is_discounted: bool) -> Options:
        """The chosen instruments as options."""
        moving, fixed = split_forward(self.forward[rows], self.seconds[rows])
        return Options(
            spot=self.spot[rows],
            forward=moving,
            fixed=fixed,
            strike=self.strike[rows],
            seconds=self.seconds[rows],
            rate=self.rate[rows] if is_discounted else np.zeros(len(rows)),
            volatility=self.volatility[rows],
            is_call=self.is_call[rows],
        )


def coin_of(instruments: Instruments, row: int, terms: Terms) -> str:
    """The coin whose book an instrument belongs to; '' for none of the terms' coins."""
    if instruments.kind[row] == CRYPTO:
        code = str(instruments.codes[row])
        coin = terms.collateral[code].coin if code in terms.collateral else code
    else:
        contract: Contract | None = instruments.contract[row]
        coin = "" if contract is None else contract.underlying_code or contract.commodity
    return coin if coin in terms.coins else ""


def feeds_of(market: Market, terms: Terms) -> Feeds:
    """The published feeds that the terms name. Raises ValueError saying why there are none."""
    if not terms.feeds:
        return Feeds()
    document = market.parameters.get(terms.feeds)
    if document is None:
        raise ValueError(f"no published parameters {terms.feeds!r}")
    return reading.read(Feeds, document, terms.feeds)


def stablecoin_of(market: Market, terms: Terms) -> float:
    """What the stablecoin is worth. Raises ValueError where nobody says."""
    if not terms.stablecoin:
        return 1.0
    price = market.rate(terms.stablecoin, terms.currency)
    if price is None:
        raise ValueError(f"no rate {terms.stablecoin}/{terms.currency}")
    return float(price)


def listed(
    instruments: Instruments, rows: Iterable[int], market: Market, feeds: Feeds, terms: Terms, is_standard: bool
) -> Listed:
    """The chosen instruments, read one by one; the other rows are empty. `is_standard`: coins at the standard's rates,
    and volatilities from values that are not discounted."""
    found = _empty(len(instruments))
    quoted = np.full(len(instruments), np.nan)
    for row in rows:
        try:
            _read(found, quoted, instruments, row, market, feeds, terms, is_standard)
        except _Unreadable as reason:
            found.refused[row] = f"{instruments.codes[row]}: {reason}"
    return _with_volatility(found, quoted, instruments, float(terms.parity_tolerance_rate), is_standard)


def _empty(count: int) -> Listed:
    names = [name for name in Listed.__annotations__ if name not in ("expiry", "is_call", "moves", "refused")]
    return Listed(
        **{name: np.zeros(count) for name in names},
        expiry=np.zeros(count, np.int64),
        is_call=np.zeros(count, bool),
        moves=np.zeros(count, bool),
        refused=np.full(count, "", object),
    )


def _read(
    found: Listed,
    quoted: Array,
    instruments: Instruments,
    row: int,
    market: Market,
    feeds: Feeds,
    terms: Terms,
    is_standard: bool,
) -> None:
    """Fill one row. Raises _Unreadable."""
    if instruments.unpriced_reason[row]:
        found.refused[row] = instruments.unpriced_reason[row]
        return
    coin = coin_of(instruments, row, terms)
    feed = feeds.coins.get(coin, CoinFeed())
    found.spot_confidence[row] = float(feed.spot_confidence)
    found.perpetual_confidence[row] = float(feed.perpetual_confidence)
    if instruments.kind[row] == CRYPTO:
        _read_token(found, instruments, row, feeds, terms, is_standard)
        return
    contract: Contract | None = instruments.contract[row]
    if contract is None or not coin:
        raise _Unreadable(f"what it is written on is none of {', '.join(terms.coins)}")
    price, multiplier = float(instruments.price[row]), float(instruments.multiplier[row])
    is_option = instruments.kind[row] == OPTION
    found.spot[row] = spot = _spot(contract, price, is_option)
    found.coins[row] = multiplier / price if contract.is_inverse and not is_option else multiplier
    # What one unit of price is worth: an inverse contract pays coins, each worth its spot price.
    found.units[row] = found.coins[row] / spot if contract.is_inverse else multiplier
    found.price[row] = price * spot if contract.is_inverse and is_option else price
    expiry = feed.expiries.get(contract.expires_on.isoformat()) if contract.expires_on else None
    found.confidence[row] = float(expiry.confidence) if expiry else 1.0
    if contract.expires_on is not None:
        found.expiry[row] = contract.expires_on.toordinal()
        found.seconds[row] = _seconds(market.on, contract.expires_on, expiry)
        found.rate[row] = _rate(market, terms, expiry, is_option)
    if is_option:
        _read_option(found, quoted, contract, row, expiry)


def _read_token(
    found: Listed, instruments: Instruments, row: int, feeds: Feeds, terms: Terms, is_standard: bool
) -> None:
    code = str(instruments.codes[row])
    held = terms.collateral.get(code)
    if held is None and code in terms.coins:
        standard = terms.standard
        held = (
            Collateral(standard.coin_rate, standard.coin_initial_rate, code) if is_standard else Collateral(coin=code)
        )
    elif held is None:
        held = Collateral(rate=ONE, initial_rate=ZERO)
    found.spot[row] = found.price[row] = float(instruments.price[row])
    found.units[row] = float(instruments.multiplier[row])
    found.haircut[row], found.initial_haircut[row] = float(held.rate), float(held.initial_rate)
    found.moves[row] = bool(held.coin)
    found.confidence[row] = float(feeds.tokens.get(code, ONE))


def _read_option(found: Listed, quoted: Array, contract: Contract, row: int, expiry: ExpiryFeed | None) -> None:
    if contract.right not in _RIGHTS or contract.style != "european":
        raise _Unreadable(f"right {contract.right!r} and style {contract.style!r}: only European calls and puts")
    if contract.strike <= 0:
        raise _Unreadable("its strike is not known")
    if contract.expires_on is None:
        raise _Unreadable("its expiry is not known")
    found.strike[row], found.is_call[row] = float(contract.strike), contract.right == "call"
    grown = found.spot[row] * exp((found.rate[row] - float(contract.dividend_rate)) * found.seconds[row] / YEAR_SECONDS)
    found.forward[row] = float(expiry.forward) if expiry and expiry.forward is not None else grown
    if contract.implied_volatility is not None:
        quoted[row] = float(contract.implied_volatility)


def _spot(contract: Contract, price: float, is_option: bool) -> float:
    """The coin's price; a future or perpetual whose underlying is not listed stands for it itself."""
    if contract.spot_reason:
        raise _Unreadable(contract.spot_reason)
    if contract.spot is None and is_option:
        raise _Unreadable("the price of its underlying is not known")
    spot = price if contract.spot is None else float(contract.spot)
    if spot <= 0 or (price <= 0 and not is_option):
        raise _Unreadable(f"price {price:.6g} and underlying at {spot:.6g} must both be positive")
    return spot


def _seconds(on: date, expires_on: date, expiry: ExpiryFeed | None) -> float:
    """As published, else whole days and at least one."""
    if expiry is not None and expiry.seconds is not None:
        return float(expiry.seconds)
    if expires_on < on:
        raise _Unreadable(f"expired on {expires_on.isoformat()}")
    return float(max((expires_on - on).days, 1) * _DAY_SECONDS)


def _rate(market: Market, terms: Terms, expiry: ExpiryFeed | None, is_option: bool) -> float:
    """As published, else the risk-free rate; a future needs none."""
    rate = expiry.rate if expiry is not None and expiry.rate is not None else market.risk_free.get(terms.currency)
    if rate is None and not is_option:
        return 0.0
    if rate is None:
        raise _Unreadable(f"risk_free: no rate for {terms.currency}")
    return float(rate)


def _with_volatility(
    found: Listed, quoted: Array, instruments: Instruments, tolerance: float, is_standard: bool
) -> Listed:
    """As quoted, else implied by the price: 0 after expiry, and where the price is below the least value by no more
    than the tolerance."""
    volatility = np.where(np.isnan(quoted), 0.0, quoted)
    rows = np.flatnonzero((found.strike > 0) & (found.seconds > 0) & np.isnan(quoted) & (found.refused == ""))
    if rows.size:
        rate = np.zeros(len(rows)) if is_standard else np.maximum(found.rate[rows], 0.0)
        years = np.maximum(found.seconds[rows], 0.0) / YEAR_SECONDS
        forward, strike, price, is_call = (
            column[rows] for column in (found.forward, found.strike, found.price, found.is_call)
        )
        implied = pricing.implied_volatility(price, forward, strike, years, rate, rate, is_call, np.zeros(len(rows)))
        sign = np.where(is_call, 1.0, -1.0)
        least = np.maximum(sign * (forward - strike), 0.0) * np.exp(-rate * years)
        below = (implied.reason == pricing.BELOW) & (least - price <= tolerance * found.spot[rows])
        volatility[rows] = np.where(implied.reason == "", implied.volatility, 0.0)
        for at in np.flatnonzero((implied.reason != "") & ~below):
            found.refused[rows[at]] = f"{instruments.codes[rows[at]]}: price {price[at]:.6g} is {implied.reason[at]}"
    return replace(found, volatility=volatility)
