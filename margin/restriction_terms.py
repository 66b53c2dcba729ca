"""What a policy says of rights and strikes: the effects, when a call has them, and the schedules that count strikes.

Part of a policy's terms (`margin.policies`), read strictly. Pure: no Django, no clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from margin import due
from margin.workflow import Regime, Words


class Effect(Words):
    """What an account may no longer do. The last two forbid nothing: they are facts that other rules read."""

    NO_WITHDRAWAL = "no_withdrawal"
    NO_NEW_BORROW = "no_new_borrow"
    CLOSING_ONLY = "closing_only"
    LIQUIDATION_ONLY = "liquidation_only"
    FUNDS_ON_HAND = "funds_on_hand"
    CASH_ONLY = "cash_only"
    HIGHER_REQUIREMENTS = "higher_requirements"
    DUE_NEXT_DAY = "due_next_day"


class StrikeKind(Words):
    """How a call was not met in time by the client's own means."""

    LATE = "late"
    LIQUIDATED = "liquidated"
    SOLD = "sold"


ANY_METHOD = "any"


@dataclass(frozen=True)
class Expiry:
    """What follows a deadline that passed: an effect for so many days, whatever becomes of the call."""

    effect: str
    days: int

    def __post_init__(self) -> None:
        _check_effects((self.effect,))
        if self.days < 1:
            raise ValueError("days must be at least 1")


@dataclass(frozen=True)
class Overdue:
    """What a call has that stays open beyond a clock of its own, counted from its issue."""

    clock: due.Term
    effects: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_effects(self.effects)


@dataclass(frozen=True)
class Rung:
    """A rung of a cover ladder: the effects of a cover (equity ÷ requirement) below a level."""

    below: Decimal
    effects: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_effects(self.effects)
        if self.below <= 0:
            raise ValueError("below must be positive")


@dataclass(frozen=True)
class RestrictionTerms:
    """What a regime's calls and cover do to the rights of an account."""

    on_issue: tuple[str, ...] = ()
    on_escalate: tuple[str, ...] = ()
    on_expiry: Expiry | None = None
    overdue: Overdue | None = None
    cover: tuple[Rung, ...] = ()
    stays: Mapping[str, int] = field(default_factory=dict)
    """Business days that money which met a call must stay, by the way it came; `any`: every other way."""

    def __post_init__(self) -> None:
        for effects in (self.on_issue, self.on_escalate):
            if effects:
                _check_effects(effects)
        levels = [rung.below for rung in self.cover]
        if levels != sorted(set(levels), reverse=True):
            raise ValueError("the rungs of cover must fall, each below the one before")
        if any(days < 0 for days in self.stays.values()):
            raise ValueError("stays must not be negative")

    def rung(self, cover: Decimal) -> tuple[str, ...]:
        """The effects of the lowest rung that the cover is below."""
        return next((rung.effects for rung in reversed(self.cover) if cover < rung.below), ())

    def days_to_stay(self, method: str) -> int:
        return self.stays.get(method, self.stays.get(ANY_METHOD, 0))


@dataclass(frozen=True)
class Step:
    """From the `at`-th strike on: these effects for so many days from it."""

    at: int
    effects: tuple[str, ...]
    days: int

    def __post_init__(self) -> None:
        _check_effects(self.effects)
        if min(self.at, self.days) < 1:
            raise ValueError("at and days must be at least 1")


@dataclass(frozen=True)
class StrikeSchedule:
    """Which strikes count together, over how many months, and what each further one brings."""

    name: str
    steps: tuple[Step, ...]
    kinds: tuple[str, ...] = ("late", "liquidated")
    regimes: tuple[str, ...] = ()
    months: int = 12
    assignment_sources: tuple[str, ...] = ("assignment",)
    """Sources of fills that are assignments: sales on the business day after one earn no strike."""

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > 32:
            raise ValueError("name must have 1 to 32 characters")
        _check_words("kinds", self.kinds, StrikeKind)
        if not self.kinds or not self.steps:
            raise ValueError("at least one kind and one step are needed")
        _check_words("regimes", self.regimes, Regime)
        if self.months < 1:
            raise ValueError("months must be at least 1")
        counts = [step.at for step in self.steps]
        if counts != sorted(set(counts)):
            raise ValueError("steps must rise")

    def counts(self, *, kind: str, regime: str) -> bool:
        return kind in self.kinds and (not self.regimes or regime in self.regimes)

    def step(self, count: int) -> Step | None:
        """What the `count`-th strike brings: the last step that it reaches."""
        return next((step for step in reversed(self.steps) if step.at <= count), None)


def _check_effects(effects: tuple[str, ...]) -> None:
    if not effects:
        raise ValueError("at least one effect is needed")
    _check_words("effect", effects, Effect)


def _check_words(name: str, stated: tuple[str, ...], known: type[Words]) -> None:
    strangers = sorted(set(stated) - {word.value for word in known})
    if strangers:
        raise ValueError(f"{name} {strangers[0]!r} is not one of {', '.join(known)}")
    if len(set(stated)) != len(stated):
        raise ValueError(f"{name} is stated twice")
