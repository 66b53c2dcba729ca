"""A policy's terms as its JSON states them: which sweep covers it, and regime by regime what decides. Pure.

`margin.policies` reads them strictly; docs/policy.schema.json says the same to whoever writes one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from margin import workflow
from margin.engine import columns, cure_options, trade_calls
from margin.liquidation_terms import LiquidationTerms
from margin.restriction_terms import RestrictionTerms, StrikeSchedule

SWEEPS = ("securities", "crypto")
ONE = Decimal(1)
MINUTES_OF_A_DAY = 24 * 60


@dataclass(frozen=True)
class PartTerms:
    """A part of a regime, as written in its JSON: a methodology that measures groups, and the kinds it may take."""

    methodology: str
    measure: str
    kinds: tuple[str, ...]
    terms: Mapping[str, Any]


@dataclass(frozen=True)
class RegimeTerms:
    """One regime of a policy, as written in its JSON."""

    regime: str
    methodology: str
    measure: str
    kinds: tuple[str, ...]
    terms: Mapping[str, Any]
    clock: Mapping[str, Any]
    at_or_beyond: bool = False
    de_minimis: Decimal = Decimal(0)
    tolerance: Decimal = Decimal(0)
    watch_rate: Decimal | None = None
    warning_rate: Decimal | None = None
    clear_rate: Decimal = Decimal("1.02")
    warning_rates: Mapping[str, Decimal] = field(default_factory=dict)
    warning_probability: Decimal | None = None
    restore_rate: Decimal = ONE
    severe_rate: Decimal | None = None
    restores_initial: bool = False
    market_cures: bool = True
    dwell_seconds: int = 0
    increase_rate: Decimal = Decimal("0.05")
    change_rate: Decimal = Decimal("0.01")
    stacking: str = workflow.Stacking.CUMULATIVE.value
    warns: bool = True
    proposes: bool = False
    reminder_minutes: tuple[int, ...] = ()
    remind_every_minutes: int = 0
    ladder_minutes: tuple[int, ...] = ()
    claim_minutes: int = 120
    hold_minutes: int = 1440
    dispute_stops_clock: bool = False
    reversal_minutes: int = 1
    delivery_minutes: int = 15
    second_approval_above: Decimal = Decimal(0)
    restrictions: RestrictionTerms | None = None
    cures: tuple[str, ...] = ()
    parts: tuple[PartTerms, ...] = ()

    def __post_init__(self) -> None:
        if self.regime not in [regime.value for regime in workflow.Regime]:
            raise ValueError(f"regime {self.regime!r} is not one of {', '.join(workflow.Regime)}")
        if self.clear_rate < ONE:
            raise ValueError("clear_rate must be at least 1: a warning clears above the level that raised it")
        if self.warning_probability is not None and not 0 < self.warning_probability < ONE:
            raise ValueError("warning_probability must lie between 0 and 1")
        amounts = (self.de_minimis, self.tolerance, self.increase_rate, self.change_rate, self.second_approval_above)
        if min(amounts) < 0 or self.dwell_seconds < 0:
            raise ValueError("de_minimis, tolerance, the rates of change and dwell_seconds must not be negative")
        if self.stacking not in [stacking.value for stacking in workflow.Stacking]:
            raise ValueError(f"stacking {self.stacking!r} is not one of {', '.join(workflow.Stacking)}")
        minutes = (*self.reminder_minutes, self.remind_every_minutes)
        if min(minutes) < 0 or list(self.ladder_minutes) != sorted(set(self.ladder_minutes)):
            raise ValueError("minutes must not be negative, and those of the ladder rise")
        if min(self.claim_minutes, self.hold_minutes, self.reversal_minutes, self.delivery_minutes) < 1:
            raise ValueError("claim, hold, reversal and delivery minutes must be at least 1")
        self._check_rungs()
        unknown = sorted(set(self.cures) - set(cure_options.WAYS))
        if unknown:
            raise ValueError(f"cures: {unknown[0]!r} is not one of {', '.join(cure_options.WAYS)}")
        rungs = self.restrictions.cover if self.restrictions else ()
        if rungs and (self.watch_rate is None or self.watch_rate < rungs[0].below):
            raise ValueError("watch_rate must reach the highest rung of restrictions.cover, or no sweep would see it")

    def _check_rungs(self) -> None:
        if not self.warning_rates:
            return
        if any(len(rung) > 16 or not rung.isidentifier() or rung == workflow.RUNG for rung in self.warning_rates):
            raise ValueError(f"warning_rates: a rung is a word of up to 16 letters, and not {workflow.RUNG!r}")
        rates = [*self.warning_rates.values(), *([self.warning_rate] if self.warning_rate is not None else [])]
        if len(set(rates)) != len(rates) or min(rates) <= 1:
            raise ValueError("warning_rates must lie above 1, where the call is, and differ from each other")
        if self.watch_rate is None or self.watch_rate < max(self.warning_rates.values()):
            raise ValueError("watch_rate must reach the highest of warning_rates, or no sweep would see it")

    @property
    def rungs(self) -> tuple[str, ...]:
        """Of warnings, the highest first; one without a rate of its own, as in a loan, comes last."""
        rates = {**self.warning_rates, workflow.RUNG: self.warning_rate or Decimal(0)}
        return tuple(sorted(rates, key=lambda rung: -rates[rung]))

    @property
    def is_of_trades(self) -> bool:
        """Whether trades make its calls (`margin.trades`): no sweep measures it."""
        return self.methodology == trade_calls.METHODOLOGY

    @cached_property
    def rule(self) -> workflow.Rule:
        """The part that decides."""
        return workflow.Rule(
            de_minimis=self.de_minimis,
            tolerance=self.tolerance,
            increase_rate=self.increase_rate,
            dwell=timedelta(seconds=self.dwell_seconds),
            warns=self.warns,
            rungs=self.rungs,
            proposes=self.proposes,
            change_rate=self.change_rate,
            stacking=workflow.Stacking(self.stacking),
            reminders=tuple(timedelta(minutes=count) for count in self.reminder_minutes),
            remind_every=timedelta(minutes=self.remind_every_minutes),
            ladder=tuple(timedelta(minutes=count) for count in self.ladder_minutes),
        )


@dataclass(frozen=True)
class StormTerms:
    """When new calls wait for a person: more than so large a share of the accounts at once, or so large a share of the
    calls explained by one instrument, but never fewer than `least_calls`; and for how long they wait."""

    least_calls: int = 20
    accounts_rate: Decimal = Decimal("0.10")
    instrument_rate: Decimal = Decimal("0.80")
    minutes: int = 15

    def __post_init__(self) -> None:
        if self.least_calls < 2 or self.minutes < 1:
            raise ValueError("storm: least_calls must be at least 2 and minutes at least 1")
        if not (0 < self.accounts_rate <= ONE and 0 < self.instrument_rate <= ONE):
            raise ValueError("storm: accounts_rate and instrument_rate must be above 0 and at most 1")


@dataclass(frozen=True)
class ChanceTerms:
    """How the chance of a call is estimated (docs/warnings.md): from joint closes of the last calendar days, else from
    annual volatilities by kind and one common factor."""

    horizon_days: int = 5
    history_days: int = 365
    least_days: int = 60
    worlds: int = 200
    correlation: Decimal = Decimal("0.5")
    volatilities: Mapping[str, Decimal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (1 <= self.horizon_days <= 60 and 20 <= self.worlds <= 2000):
            raise ValueError("chances: horizon_days must be from 1 to 60 and worlds from 20 to 2000")
        if not self.horizon_days + 19 <= self.least_days <= self.history_days <= 3650:
            raise ValueError("chances: least_days must be 19 above horizon_days or more, and within history_days")
        if not 0 <= self.correlation <= ONE:
            raise ValueError("chances: correlation must lie between 0 and 1")
        if any(kind not in columns.KINDS or not 0 < each <= 10 for kind, each in self.volatilities.items()):
            raise ValueError("chances: volatilities are by kind, annual, above 0 and at most 10")


@dataclass(frozen=True)
class ReleaseTerms:
    """What must still hold when an approved plan becomes orders (docs/liquidation_control.md), and where they go.

    A share of the price that may have moved since the plan was sized, a share around the last good price within which
    an order is limited, and how old that price may be (None: as old as its instrument allows everywhere).
    """

    price_move: Decimal = Decimal("0.02")
    collar_rate: Decimal = Decimal("0.05")
    price_seconds: int | None = None
    venue: str = "desk"

    def __post_init__(self) -> None:
        if not (0 < self.price_move <= ONE and 0 < self.collar_rate < ONE):
            raise ValueError("release: price_move must be above 0 and at most 1, collar_rate above 0 and below 1")
        if self.price_seconds is not None and self.price_seconds < 1:
            raise ValueError("release: price_seconds must be at least 1")
        if not 1 <= len(self.venue) <= 24:
            raise ValueError("release: venue is a code of up to 24 letters")


@dataclass(frozen=True)
class PolicyTerms:
    """A policy version's JSON, read strictly."""

    sweep: str
    regimes: tuple[RegimeTerms, ...]
    calendar: str = ""
    fee_rate: Decimal = Decimal(0)
    plan_minutes: int = 15
    release: ReleaseTerms = field(default_factory=ReleaseTerms)
    strikes: tuple[StrikeSchedule, ...] = ()
    storm: StormTerms | None = None
    reconcile_rate: Decimal = Decimal("0.10")
    chances: ChanceTerms | None = None
    liquidation: LiquidationTerms = field(default_factory=LiquidationTerms)
    retention_years: int = 6
    """How long an account's records stay after it was closed: 17 CFR 240.17a-4(c) six; Directive 2014/65/EU Art. 16(7)
    five, the least of any."""

    def __post_init__(self) -> None:
        if not 5 <= self.retention_years <= 100:
            raise ValueError("retention_years must be from 5 to 100")
        if self.chances is None and any(regime.warning_probability is not None for regime in self.regimes):
            raise ValueError("warning_probability needs the policy's chances, or there is no probability to go by")
        if not 0 < self.reconcile_rate <= ONE:
            raise ValueError("reconcile_rate must be above 0 and at most 1")
        if self.sweep not in SWEEPS:
            raise ValueError(f"sweep {self.sweep!r} is not one of {', '.join(SWEEPS)}")
        if not self.regimes:
            raise ValueError("at least one regime is needed")
        names = [regime.regime for regime in self.regimes]
        if len(set(names)) != len(names):
            raise ValueError("each regime may be stated once")
        if all(regime.is_of_trades for regime in self.regimes):
            raise ValueError("at least one regime must be measured by sweeps")
        if not 0 <= self.fee_rate < ONE:
            raise ValueError("fee_rate must be from 0 to below 1")
        if not 0 < self.plan_minutes <= MINUTES_OF_A_DAY:
            raise ValueError("plan_minutes must be from 1 to 1440, a day")

    def regime(self, name: str) -> RegimeTerms:
        return next(regime for regime in self.regimes if regime.regime == name)
