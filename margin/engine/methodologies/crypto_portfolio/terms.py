"""The parameters of `crypto_portfolio`, as a policy's JSON states them, with the published values as defaults.

Published are those of Derive's PMRM_2 and standard manager; `DERIBIT_STANDARD` is the form of Deribit's standard
margin. Venues edit theirs while they run: a policy version says which it means.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

from margin.engine import terms as reading
from margin.engine.exact import ONE, ZERO

VOLATILITIES = ("up", "none", "down", "linear", "absolute")
SKEWS = ("linear", "absolute")  # of a skewed scenario, the size of the change counts, whatever its sign


def _check_amounts(stated: Any) -> None:
    """ValueError naming the first number that is negative."""
    for each in fields(stated):
        value = getattr(stated, each.name)
        if isinstance(value, Decimal) and value < 0:
            raise ValueError(f"{each.name} must not be negative")


@dataclass(frozen=True)
class Scenario:
    """The coin at `price_factor` times its price, volatilities moved in one of VOLATILITIES; `weight` of the profit
    counts."""

    price_factor: Decimal
    volatility: str = "none"
    weight: Decimal = ONE

    def __post_init__(self) -> None:
        _check_amounts(self)
        if self.volatility not in VOLATILITIES:
            raise ValueError(f"volatility: {self.volatility!r} is not one of {', '.join(VOLATILITIES)}")


@dataclass(frozen=True)
class Volatility:
    """Up: × (1 + up × (30 days ÷ time left) ^ power), and at least `least_up`; down likewise, at least 0. `short_power`
    is for less than 30 days, and no time counts as less than `least_seconds`."""

    up: Decimal = Decimal("0.5")
    down: Decimal = Decimal("0.275")
    least_up: Decimal = Decimal("0.45")
    short_power: Decimal = Decimal("0.3")
    long_power: Decimal = Decimal("0.13")
    least_seconds: Decimal = Decimal(86400)

    def __post_init__(self) -> None:
        _check_amounts(self)


@dataclass(frozen=True)
class Skew:
    """How far the wings of the smile turn (linear) or lift (absolute). docs/methodologies/crypto_portfolio.md."""

    linear_cap: Decimal = Decimal("0.15")
    linear_slope: Decimal = Decimal("-0.05")
    absolute_cap: Decimal = Decimal("0.15")
    absolute_slope: Decimal = Decimal("-0.05")
    least_distance: Decimal = Decimal("0.01")
    width: Decimal = Decimal(4)
    volatility: Decimal = Decimal("0.6")
    volatility_slope: Decimal = Decimal("-0.1")


@dataclass(frozen=True)
class Discount:
    """What is counted of the options of one expiry in a scenario: of a value in the account's favour less, of one
    against it more, by a rate r × `multiple` + `rate`."""

    long_base: Decimal = Decimal("0.95")
    long_multiple: Decimal = ONE
    long_rate: Decimal = Decimal("0.08")
    short_base: Decimal = Decimal("1.04")
    short_multiple: Decimal = Decimal("0.5")
    short_rate: Decimal = Decimal("0.08")

    def __post_init__(self) -> None:
        _check_amounts(self)


@dataclass(frozen=True)
class Basis:
    """Each expiry's forward at `up` and `down` times its price; `base` + `yearly` × years of the loss counts."""

    up: Decimal = Decimal("1.045")
    down: Decimal = Decimal("0.955")
    base: Decimal = Decimal("0.5")
    yearly: Decimal = Decimal(2)

    def __post_init__(self) -> None:
        _check_amounts(self)


@dataclass(frozen=True)
class Doubt:
    """What opening needs more while a price feed or the stablecoin is in doubt.

    Below `confidence` (0 … 1) the missing part of it × `confidence_rate` of what depends on the feed; below `peg` the
    missing part of the stablecoin's price × `peg_rate`.
    """

    confidence: Decimal
    confidence_rate: Decimal
    peg: Decimal
    peg_rate: Decimal

    def __post_init__(self) -> None:
        _check_amounts(self)


def _grid() -> tuple[Scenario, ...]:
    """Nine prices in steps of 4.5 % (at the ends volatility goes up only), six tails, two skews."""
    steps = [Decimal(1) + Decimal("0.045") * k for k in (4, 3, 2, 1, 0, -1, -2, -3, -4)]
    inner = [Scenario(step, move) for step in steps[1:-1] for move in ("down", "none", "up")]
    tails = zip(
        ("0.34", "0.67", "1.5", "2", "3", "4"),
        ("0.054545454545", "0.109090909091", "0.072", "0.036", "0.018", "0.012"),
        strict=True,
    )
    return (
        Scenario(steps[0], "up"),
        *inner,
        Scenario(steps[-1], "up"),
        *(Scenario(Decimal(factor), "up", Decimal(weight)) for factor, weight in tails),
        *(Scenario(ONE, skew) for skew in SKEWS),
    )


@dataclass(frozen=True)
class Grid:
    """The scenario grid (measure `requirement`). Rates per option and perpetual are of the coin's price."""

    scenarios: tuple[Scenario, ...] = field(default_factory=_grid)
    volatility: Volatility = field(default_factory=Volatility)
    skew: Skew = field(default_factory=Skew)
    discount: Discount = field(default_factory=Discount)
    basis: Basis = field(default_factory=Basis)
    maintenance_factor: Decimal = Decimal("0.8")  # of the worst scenario
    initial_factor: Decimal = ONE
    option_rate: Decimal = Decimal("0.003")  # per naked short option
    option_initial_rate: Decimal = Decimal("0.002")  # more, to open
    perpetual_rate: Decimal = Decimal("0.015")
    perpetual_initial_rate: Decimal = Decimal("0.005")
    doubt: Doubt = field(default_factory=lambda: Doubt(Decimal("0.55"), ONE, Decimal("0.98"), Decimal(2)))

    def __post_init__(self) -> None:
        _check_amounts(self)
        if not self.scenarios:
            raise ValueError("scenarios: state at least one")


@dataclass(frozen=True)
class Standard:
    """Standard margin (measure `standard`): a rate per short option by how far it is out of the money.

    `is_pooled`: the greatest loss of an expiry caps what its options are asked one by one. Futures and perpetuals are
    asked a rate of notional that rises by `…_slope` per coin.
    """

    is_pooled: bool = True
    option_rate: Decimal = Decimal("0.15")  # less how far it is out of the money, to open
    option_least_rate: Decimal = Decimal("0.10")
    call_rate: Decimal = Decimal("0.075")  # to hold
    put_rate: Decimal = Decimal("0.075")
    put_value_rate: Decimal = Decimal("0.075")
    put_initial_factor: Decimal = Decimal("1.05")
    unbounded_initial_factor: Decimal = Decimal("1.2")  # of the forward, per call sold more than bought
    unbounded_factor: Decimal = Decimal("1.1")
    perpetual_rate: Decimal = Decimal("0.05")
    perpetual_slope: Decimal = ZERO
    perpetual_initial_rate: Decimal = Decimal("0.065")
    perpetual_initial_slope: Decimal = ZERO
    coin_rate: Decimal = Decimal("0.9")  # of the coin held
    coin_initial_rate: Decimal = ZERO  # more, to open
    doubt: Doubt = field(default_factory=lambda: Doubt(Decimal("0.4"), Decimal("0.4"), Decimal("0.98"), Decimal("1.2")))

    def __post_init__(self) -> None:
        _check_amounts(self)


DERIBIT_STANDARD = Standard(
    is_pooled=False,
    put_initial_factor=ONE,
    perpetual_rate=Decimal("0.01"),
    perpetual_slope=Decimal("0.000025"),
    perpetual_initial_rate=Decimal("0.02"),
    perpetual_initial_slope=Decimal("0.00005"),
)


@dataclass(frozen=True)
class Collateral:
    """Haircuts on a token that is held or owed; it moves with `coin` in every scenario, or stands still ('')."""

    rate: Decimal = Decimal("0.015")
    initial_rate: Decimal = Decimal("0.005")  # more, to open
    coin: str = ""

    def __post_init__(self) -> None:
        _check_amounts(self)


@dataclass(frozen=True)
class Terms:
    """`coins` are the codes of the coins whose derivatives are measured, each coin for itself, with the coin held.
    Other tokens count as `collateral` says, and for nothing where it is silent. `feeds` names a published document."""

    coins: tuple[str, ...]
    collateral: Mapping[str, Collateral] = field(default_factory=dict)
    feeds: str = ""  # '': no feed is in doubt, and forwards are spot grown at the risk-free rate
    currency: str = "USD"  # of strikes, and of the risk-free rate
    stablecoin: str = ""  # its price in `currency` is an exchange rate of the market; '': it cannot leave its peg
    parity_tolerance_rate: Decimal = Decimal("0.02")  # of spot: how far below its least value an option's price may lie
    grid: Grid = field(default_factory=Grid)
    standard: Standard = field(default_factory=Standard)

    def __post_init__(self) -> None:
        if not self.coins or len(set(self.coins)) < len(self.coins):
            raise ValueError("coins: state at least one, and none twice")
        for code, held in self.collateral.items():
            if held.coin and held.coin not in self.coins:
                raise ValueError(f"collateral.{code}: {held.coin} is not one of coins")
        _check_amounts(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Terms":
        """Terms from a policy's JSON; ValueError naming the key."""
        return reading.read(cls, document)


@dataclass(frozen=True)
class ExpiryFeed:
    """What a venue publishes of one expiry. `seconds` left and the forward are as of the sweep; the last half hour
    settles on an average, so that the forward is part fixed."""

    forward: Decimal | None = None
    seconds: int | None = None
    rate: Decimal | None = None  # risk-free, continuous, per year
    confidence: Decimal = ONE  # the least of its forward, rate and volatility feeds

    def __post_init__(self) -> None:
        if self.forward is not None and self.forward <= 0:
            raise ValueError("forward must be positive")


@dataclass(frozen=True)
class CoinFeed:
    """Confidences (0 … 1) of a coin's spot and perpetual feeds, and its expiries by day, as 2026-12-25."""

    spot_confidence: Decimal = ONE
    perpetual_confidence: Decimal = ONE
    expiries: Mapping[str, ExpiryFeed] = field(default_factory=dict)


@dataclass(frozen=True)
class Feeds:
    """A published document: feeds by the code of the coin, and confidences of other tokens by their code."""

    coins: Mapping[str, CoinFeed] = field(default_factory=dict)
    tokens: Mapping[str, Decimal] = field(default_factory=dict)
