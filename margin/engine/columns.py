"""What the engine sees and says: frozen columns, one-dimensional arrays side by side, one row per thing.

Three grains: instruments (prices and terms, exact Decimals), positions (64-bit mantissas with their decimals) and
accounts. Build them with `margin.engine.build`; nothing here computes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from decimal import Decimal
from enum import IntEnum
from typing import Any

from numpy.typing import NDArray

from margin.engine.exact import ONE, ZERO, inverse

Array = NDArray[Any]

KINDS = (
    "cash",
    "equity",
    "etf",
    "bond",
    "option",
    "future",
    "future_option",
    "perpetual",
    "crypto",
    "otc",
    "index",  # never held: its level prices what is written on it
    "warrant",
)
CASH = KINDS.index("cash")
# What the percentages of the option rules depend on (FINRA 4210(f)(2), Cboe Rule 10.3).
MARGIN_CLASSES = (
    "equity",
    "etf_narrow",
    "etf_broad",
    "etn_broad",
    "narrow_index",
    "broad_index",
    "high_cap_index",  # broad, and of high capitalisation: a narrower range in portfolio margin
    "vol_index",
    "fx",
)


class Status(IntEnum):
    """How an account stands in a regime, from calm to grave. UNPRICED outranks all: no number is known."""

    QUIET = 0
    WATCH = 1  # nearer to a call than the policy's watch level
    WARNING = 2  # at the warning level, or in a deficit the policy disregards
    DEFICIT = 3  # below the requirement: a call
    SEVERE = 4  # below the severe requirement too: liquidation level
    UNPRICED = 5  # a price, a rate or a rule is missing: shown, never called, never cleared


@dataclass(frozen=True)
class Contract:
    """What a derivative, a convertible or a warrant is written on, as far as margin rules read it.

    `spot` is the price of the underlying; it is None, with the reason beside it, when it is not known.
    """

    underlying: int  # instrument id; of a convertible or warrant: what it turns into; 0: nothing that is priced here
    spot: Decimal | None
    spot_reason: str = ""
    margin_class: str = "equity"  # of the underlying, one of MARGIN_CLASSES
    leverage: Decimal = ONE  # absolute factor of the underlying fund
    index: int = 0  # the full-size index the underlying is or follows; 0: none
    scale: Decimal = ONE  # size of the underlying in full-size indexes: 0.1 for a reduced-value index
    dividend_rate: Decimal = ZERO  # continuous yield of the underlying, per year
    right: str = ""  # "call" or "put"
    strike: Decimal = ZERO
    style: str = ""  # "american" or "european"
    expires_on: date | None = None
    is_cash_settled: bool = False
    settles: str = "pm"  # "am": at the opening of its last day
    venue: str = "listed"  # or "otc"
    is_guaranteed: bool = False  # OTC: by the carrying broker
    is_flex: bool = False
    # Adjusted contracts: what one contract delivers, as (instrument id, units, price or None), and cash.
    is_adjusted: bool = False
    deliverable: tuple[tuple[int, Decimal, Decimal | None], ...] = ()
    deliverable_cash: Decimal = ZERO
    # Convertibles and warrants: shares for one unit, and what must be paid for them.
    conversion: Decimal = ZERO
    exercise_price: Decimal = ZERO  # per share
    underlying_code: str = ""  # how the underlying is named; '' when not stated
    issuer: str = ""  # of the underlying: one name for concentration; '' when not stated
    # Futures, perpetuals and options on them.
    is_inverse: bool = False  # paid in the coin it is priced in: one unit is worth -multiplier / price coins
    commodity: str = ""  # the product that published margin parameters name
    implied_volatility: Decimal | None = None  # of an option, as quoted
    # Uncleared contracts: what a margin schedule reads.
    asset_class: str = ""
    notional: Decimal = ZERO  # of one unit


@dataclass(frozen=True)
class Instruments:
    """n instruments. Object columns hold exact Decimals, strings or dates; a price that is not known is 0 and not
    `priced`, with the reason beside it."""

    ids: Array  # int64
    codes: Array  # str
    kind: Array  # int8, index into KINDS
    currency: Array  # int32, index into `currencies`
    price: Array  # Decimal per unit, in `currency`; bonds per 100 of principal
    multiplier: Array  # Decimal, units of the underlying per contract
    leverage: Array  # Decimal, absolute factor of a leveraged ETF or ETN
    lot: Array  # Decimal, smallest quantity that can be traded
    margin_eligible: Array  # bool
    sector: Array  # str
    debt_class: Array  # str
    matures_on: Array  # date or None
    priced: Array  # bool
    unpriced_reason: Array  # str, '' when priced
    contract: Array  # Contract, or None for what is written on nothing
    margin_class: Array  # str, one of MARGIN_CLASSES: of the instrument itself, as an underlying
    index: Array  # int64 id of the index that a fund follows, 0: none
    issuer: Array  # str, '' when not stated: one name for concentration
    daily_volume: Array  # Decimal units traded on an average day, or None
    currencies: tuple[str, ...]
    minor_exponents: tuple[int | None, ...]  # decimals of each currency's smallest unit; None when not stated

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Array) -> "Instruments":
        """The chosen instruments, in that order, with all currencies."""
        whole = ("currencies", "minor_exponents")
        return Instruments(
            **{f.name: getattr(self, f.name) if f.name in whole else getattr(self, f.name)[rows] for f in fields(self)}
        )

    def minor_exponent(self, currency: int) -> int:
        """Decimals of the currency's smallest unit; ValueError if no cash instrument states it."""
        exponent = self.minor_exponents[currency]
        if exponent is None:
            code = self.currencies[currency]
            raise ValueError(f"No minor unit is known for {code}: add a cash instrument in {code}")
        return exponent


@dataclass(frozen=True)
class Book:
    """m accounts and p positions, sorted by (account, currency, instrument id); zero quantities are left out.

    An account has one position in an instrument, or, in stock, funds and bonds, one long and one short: a box.

    A quantity is quantity / 10^decimals. Segments are the runs of one account and one currency, in which sums are
    taken. `refused` names accounts with a number that cannot be held, with the reason: they are unpriced.
    """

    accounts: Array  # int64[m] ids
    base: Array  # int32[m] index into the instruments' currencies
    policy: Array  # int32[m] index into Rules.policies
    revision: Array  # int64[m] the holdings' version that was read
    offsets: Array  # int64[m + 1]
    instrument: Array  # int32[p] row of Instruments
    quantity: Array  # int64[p]
    decimals: Array  # int8[p]
    cost: Array  # int64[p] paid for what is held, in the instrument's currency
    cost_decimals: Array  # int8[p], -1: cost unknown
    account_segments: Array  # int64[m + 1]
    segment_offsets: Array  # int64[s + 1]
    segment_currency: Array  # int32[s]
    refused: tuple[tuple[int, str], ...] = ()
    in_transit: Array | None = None  # Decimal[m]: agreed transfers that are not settled, in base currency; None: none
    disputed: Array | None = None  # Decimal[m]: the part of what is posted or asked that is in dispute; None: none

    def __len__(self) -> int:
        return len(self.accounts)


@dataclass(frozen=True)
class Market:
    """The day of the sweep, its exchange rates, its risk-free rates, and what methodologies are told from outside.

    fx[base, quoted] is so many units of `quoted` for one of `base`.
    """

    on: date
    fx: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    risk_free: Mapping[str, Decimal] = field(default_factory=dict)  # by currency, continuous, per year
    parameters: Mapping[str, Any] = field(default_factory=dict)  # published documents by the name that terms call them

    def rate(self, base: str, quoted: str) -> Decimal | None:
        """The stated rate, else the inverse of the opposite one to 12 digits; None if neither is known."""
        if base == quoted:
            return ONE
        stated = self.fx.get((base, quoted))
        if stated is not None:
            return stated
        opposite = self.fx.get((quoted, base))
        return None if opposite is None else inverse(opposite)


@dataclass(frozen=True)
class PartRule:
    """A methodology that measures groups of positions within a regime, and the kinds it may take."""

    methodology: str  # CODE
    measure: str
    terms: Any  # instance of the methodology's Terms
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class RegimeRule:
    """How one regime of a policy measures an account: which kinds, by which methodology, and when it bites.

    `parts` measure groups of positions (options with their underlying, a portfolio); what a part claims, the
    regime's own methodology does not charge. Rates multiply the requirement; a methodology with a ladder of its own
    (`loan`) ignores them.
    """

    regime: str
    methodology: str  # CODE
    measure: str  # one of the methodology's MEASURES
    terms: Any  # instance of the methodology's Terms
    kinds: tuple[str, ...]  # cash always belongs to the equity and need not be named
    at_or_beyond: bool = False  # equality already breaches
    de_minimis: Decimal = ZERO  # in base currency; a deficit up to this warns but does not call
    watch_rate: Decimal | None = None
    warning_rate: Decimal | None = None
    restore_rate: Decimal = ONE
    severe_rate: Decimal | None = None  # 0: equity below nothing
    restores_initial: bool = False  # a call asks up to the initial requirement, as in futures; else the maintenance
    parts: tuple[PartRule, ...] = ()

    @property
    def governs(self) -> tuple[str, ...]:
        """Every kind that the regime or one of its parts has a rule for."""
        return (*self.kinds, *(kind for part in self.parts for kind in part.kinds))


@dataclass(frozen=True)
class Policy:
    """A policy version's regimes, in the order in which they are shown."""

    code: str
    regimes: tuple[RegimeRule, ...]


@dataclass(frozen=True)
class Rules:
    """The policies that Book.policy points into."""

    policies: tuple[Policy, ...]


@dataclass(frozen=True)
class Charges:
    """What makes up the requirements of some accounts, one row per charge.

    `amount` is exact, in the account's base currency; the amounts of one (account, regime) add up to its requirement.
    """

    account: Array  # int64 row of Book
    regime: Array  # int16 index into the policy's regimes
    position: Array  # int64 row of the positions, -1 for a charge on the whole account
    code: Array  # str
    branch: Array  # str, the rule's branch that binds
    amount: Array  # Decimal

    def __len__(self) -> int:
        return len(self.account)


@dataclass(frozen=True)
class Figures:
    """One account in one regime, rounded once: requirements and amounts up, equity down. None when unpriced."""

    account_id: int
    regime: str
    status: Status
    currency: str
    revision: int
    equity: Decimal | None = None
    requirement: Decimal | None = None
    initial: Decimal | None = None
    watch_requirement: Decimal | None = None
    warning_requirement: Decimal | None = None
    restore_requirement: Decimal | None = None
    severe_requirement: Decimal | None = None
    deficit: Decimal | None = None  # requirement - equity where positive
    shortfall: Decimal | None = None  # restore requirement - equity where positive: what an open call still misses
    amount: Decimal | None = None  # restore requirement - equity in a deficit, else 0: what a call asks
    reasons: tuple[str, ...] = ()  # why it is unpriced


__all__ = [
    "CASH",
    "KINDS",
    "MARGIN_CLASSES",
    "Array",
    "Book",
    "Charges",
    "Contract",
    "Figures",
    "Instruments",
    "Market",
    "PartRule",
    "Policy",
    "RegimeRule",
    "Rules",
    "Status",
]
