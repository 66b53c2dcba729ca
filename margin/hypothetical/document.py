"""The self-contained book: everything a calculation needs, in one JSON document, named by codes (docs/whatif.md)."""

# ruff: noqa: RUF009  `said` is dataclasses.field
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from margin.engine.columns import KINDS, MARGIN_CLASSES
from margin.hypothetical.forms import said
from market.models import DebtClass, Right, Style

LARGEST = 10_000  # accounts, and instruments
MOST_POSITIONS = 100_000
MOST_EXPLAINED = 100
ONE = Decimal(1)


@dataclass(frozen=True)
class BookInstrument:
    """An instrument. What is not said is as in an instruments file (docs/formats.md)."""

    code: str = said("Its name in this document", code=48)
    kind: str = said("What it is", of=KINDS)
    currency: str = said("In which it is priced; cash is its own", code=12)
    price: Decimal | None = said("Per unit as quoted, bonds per 100; null: not known", default=None)
    unpriced: str = said("Why the price cannot be used, such as stale; its holders are then unpriced", default="")
    price_divisor: int = said("100 where prices are in pence or cents", default=1, of=(1, 10, 100, 1000))
    multiplier: Decimal = said("Units of the underlying per contract", default=ONE, positive=True)
    leverage: Decimal = said("Absolute factor of a leveraged fund", default=ONE, positive=True)
    lot_size: Decimal = said("Smallest quantity that can be traded", default=ONE, positive=True)
    margin_eligible: bool = said("Whether it has loan value", default=True)
    sector: str = said("For house rates", default="")
    issuer: str = said("For concentration", default="")
    debt_class: str = said("Of a bond", default="", of=("", *DebtClass.values))
    matures_on: str = said("Of a bond", default="", day=True)
    minor_exponent: int | None = said(
        "Of cash: decimals of its smallest unit; known for the main currencies", default=None, of=range(13)
    )
    daily_volume: Decimal | None = said("Units traded on an average day", default=None, positive=True)
    margin_class: str = said("As an underlying", default="equity", of=MARGIN_CLASSES)
    index: str = said("Code of the full-size index that it follows or is a part of", default="", code=48)
    index_scale: Decimal = said("Size in full-size indexes: 0.1 for a tenth", default=ONE, positive=True)
    dividend_rate: Decimal = said("Yield per year, continuous, as a fraction", default=Decimal(0), within=5)
    underlying: str = said("Code of what it is written on", default="", code=48)
    right: str = said("Of an option", default="", of=("", *Right.values))
    strike: Decimal | None = said("Of an option", default=None, positive=True)
    style: str = said("Of an option", default="", of=("", *Style.values))
    expires_on: str = said("Its last day, where its venue stands", default="", day=True)
    cash_settled: bool = said("Whether exercise pays money", default=False)
    inverse: bool = said("Whether a contract is paid in the coin that it is priced in", default=False)
    implied_volatility: Decimal | None = said(
        "Of an option, as quoted: 0.25 is 25 %", default=None, positive=True, within=50
    )
    deliverable: Mapping[str, Any] = said("Adjusted options: units by code, and cash", default={})
    terms: Mapping[str, Any] = said(
        "venue, guaranteed, flex, settles, conversion, exercise_price, commodity, asset_class, notional, adjusted "
        "(docs/formats.md)",
        default={},
    )


@dataclass(frozen=True)
class BookPosition:
    """A holding; negative is short."""

    instrument: str = said("Its code; cash belongs in `cash`", code=48)
    quantity: Decimal = said("Units or contracts")
    cost: Decimal | None = said("Paid for all of it, with its sign; null: unknown", default=None)


@dataclass(frozen=True)
class BookAccount:
    """An account under one of the document's policies."""

    code: str = said("Its name in this document and in the answer", code=48)
    currency: str = said("In which it is measured", code=12)
    policy: str = said("The name of one of the policies")
    positions: tuple[BookPosition, ...] = said("What it holds", default=())
    cash: Mapping[str, Decimal] = said("By currency; negative is borrowed", default={})


@dataclass(frozen=True)
class BookDocument:
    """Instruments with their prices, policies and accounts: nothing else is read, least of all a database."""

    on: str = said("The day for which it is computed", day=True)
    instruments: tuple[BookInstrument, ...] = said("Held ones and what they are written on", most=LARGEST)
    policies: Mapping[str, Any] = said("Terms by name (docs/policy.schema.json); sweep and clock may be left out")
    accounts: tuple[BookAccount, ...] = said("To be measured, each by itself", most=LARGEST)
    fx: tuple[tuple[str, ...], ...] = said("[base, quoted, units of quoted for one base]", default=())
    risk_free: Mapping[str, Decimal] = said("Yearly rate by currency, continuous, as a fraction", default={}, within=5)
    parameters: Mapping[str, Any] = said("Published documents by the name that terms call them", default={})
    explain: bool = said(f"Answer with every charge as well; at most {MOST_EXPLAINED} accounts", default=False)


@dataclass(frozen=True)
class HypotheticalTrade:
    """A purchase or, negative, a sale."""

    instrument: str = said("Its code", code=48)
    quantity: Decimal = said("Bought is positive, sold negative")
    price: Decimal | None = said("As quoted; null: the price before anything else is supposed", default=None)


@dataclass(frozen=True)
class HypotheticalPolicy:
    """Another policy: a stored one by its code, or terms of its own."""

    code: str = said("Of a stored policy", default="", code=48)
    version: int | None = said("Its number; null: the one in force", default=None)
    terms: Mapping[str, Any] | None = said(
        "Terms (docs/policy.schema.json); sweep and clock may be left out", default=None
    )


@dataclass(frozen=True)
class Hypotheses:
    """What is supposed about an account that exists."""

    trades: tuple[HypotheticalTrade, ...] = said("Booked as fills are", default=(), most=1000)
    fees: bool = said("Whether each trade costs the policy's fee_rate", default=False)
    cash: Mapping[str, Decimal] = said("Paid in, or out where negative, by currency", default={})
    prices: Mapping[str, Decimal] = said("By instrument code, as quoted", default={})
    price_shifts: Mapping[str, Decimal] = said("By instrument code, as a fraction: -0.10 is 10 % down", default={})
    volatility_shifts: Mapping[str, Decimal] = said(
        "By the code of an option or of an underlying, in yearly volatility: 0.05 is 5 points up", default={}, within=5
    )
    policy: HypotheticalPolicy | None = said("Instead of the one in force", default=None)
    explain: bool = said("Answer with every charge as well", default=False)


@dataclass(frozen=True)
class StressGrid:
    """Every price shock with every volatility shock."""

    price_shocks: tuple[Decimal, ...] = said(
        "Of every price, as fractions above -1",
        default=tuple(Decimal(each).scaleb(-2) for each in (-15, -10, -5, 0, 5, 10, 15)),
        most=41,
    )
    volatility_shocks: tuple[Decimal, ...] = said(
        "Of every option's yearly volatility, in points: 0.10 is 10 points up",
        default=(Decimal("-0.10"), Decimal(0), Decimal("0.10")),
        most=11,
        within=5,
    )
    bonds: bool = said("Whether bonds are shocked as well", default=False)
    kind: str = said("Of the whole house: which sweep's accounts", default="", of=("", "securities", "crypto"))
