"""The methodologies, listed in one tuple. Adding one: docs/adding_a_methodology.md.

A methodology works at two grains. `units` sees every instrument at once and says what one unit held long or short adds
to each lane. The engine sums the lanes per account, exactly. `levels` sees every account's sums at once and says what
the account must hold. Neither ever loops over accounts, reads a clock or knows where the columns came from.
"""

from typing import Any, Protocol

from margin.engine.columns import KINDS, Instruments, Market, PartRule, RegimeRule
from margin.engine.exact import ONE
from margin.engine.groups import GroupFigures, Groups, Keys
from margin.engine.measures import MARGINED, Levels, Totals, Units
from margin.engine.methodologies import (
    collateral,
    concentration,
    cross,
    crypto_portfolio,
    csa,
    loan,
    option_strategies,
    portfolio,
    reg_t,
    simm,
    span,
    tiered,
    volatility,
)


class Methodology(Protocol):
    """What a module in METHODOLOGIES offers."""

    @property
    def CODE(self) -> str: ...  # noqa: N802  a module constant

    @property
    def MEASURES(self) -> tuple[str, ...]: ...  # noqa: N802

    @property
    def KINDS(self) -> frozenset[str]: ...  # noqa: N802

    @property
    def Terms(self) -> type[Any]: ...  # noqa: N802  a frozen dataclass with from_json

    def units(self, instruments: Instruments, market: Market, measure: str, terms: Any) -> Units: ...

    def levels(self, totals: Totals, measure: str, terms: Any) -> Levels: ...

    def currency(self, measure: str, terms: Any) -> str: ...


class PartMethodology(Protocol):
    """What a module in PARTS offers: it measures groups of positions within a regime (`margin.engine.groups`)."""

    @property
    def CODE(self) -> str: ...  # noqa: N802

    @property
    def GROUP_MEASURES(self) -> tuple[str, ...]: ...  # noqa: N802

    @property
    def KINDS(self) -> frozenset[str]: ...  # noqa: N802

    @property
    def Terms(self) -> type[Any]: ...  # noqa: N802

    def group_keys(self, instruments: Instruments, terms: Any) -> Keys: ...

    def measure_groups(self, groups: Groups, market: Market, measure: str, terms: Any) -> GroupFigures: ...


METHODOLOGIES: tuple[Methodology, ...] = (reg_t, cross, loan, csa, portfolio)
PARTS: tuple[PartMethodology, ...] = (
    option_strategies,
    portfolio,
    concentration,
    tiered,
    span,
    crypto_portfolio,
    collateral,
    volatility,
    simm,
)
# Equity, requirement and initial are plain sums there.
TAKE_PARTS = ((reg_t.CODE, "exchange"), (reg_t.CODE, "house"), (cross.CODE, "requirement"))


def by_code(code: str) -> Methodology:
    """The methodology of that code; ValueError naming the known ones."""
    for methodology in METHODOLOGIES:
        if code == methodology.CODE:
            return methodology
    known = ", ".join(methodology.CODE for methodology in METHODOLOGIES)
    raise ValueError(f"There is no methodology {code!r}; known: {known}")


def part_by_code(code: str) -> PartMethodology:
    """The methodology of that code that measures groups; ValueError naming the known ones."""
    for methodology in PARTS:
        if code == methodology.CODE:
            return methodology
    known = ", ".join(methodology.CODE for methodology in PARTS)
    raise ValueError(f"There is no methodology {code!r} for parts of a regime; known: {known}")


def check(rule: RegimeRule) -> None:
    """Raise ValueError, saying what to change, unless the rule can be computed."""
    where = f"Regime {rule.regime}"
    methodology = by_code(rule.methodology)
    _check_stated(rule, methodology, methodology.MEASURES, where)
    _check_rates(rule, where)
    if rule.parts and (rule.methodology, rule.measure) not in TAKE_PARTS:
        taking = ", ".join(" ".join(pair) for pair in TAKE_PARTS)
        raise ValueError(f"{where}: {rule.methodology} {rule.measure} takes no parts; these do: {taking}")
    for k, part in enumerate(rule.parts):
        module = part_by_code(part.methodology)
        _check_stated(part, module, module.GROUP_MEASURES, f"{where}, parts[{k}]")
    beside = (*concentration.GROUP_MEASURES, *collateral.GROUP_MEASURES)  # what others charge is added to, or cut
    _check_claims([part for part in rule.parts if part.measure not in beside], where)
    _check_counted(rule, where)


def _check_counted(rule: RegimeRule, where: str) -> None:
    """What is charged or cut must count: these parts add no value of their own, and a pool counts its own kinds."""
    for part in rule.parts:
        if rule.methodology == cross.CODE or part.methodology in (collateral.CODE, tiered.CODE):
            uncounted = set(part.kinds) - set(rule.kinds) - {"cash", *(KINDS[kind] for kind in MARGINED)}
            if uncounted:
                named = ", ".join(sorted(uncounted))
                raise ValueError(f"{where}: {part.methodology} measures {named}; name it in the regime's kinds too")


def _check_claims(claiming: list[PartRule], where: str) -> None:
    """No position is charged twice: parts that charge in the methodology's place share no kind."""
    for k, part in enumerate(claiming):
        for other in claiming[:k]:
            shared = ", ".join(sorted(set(part.kinds) & set(other.kinds)))
            if shared:
                raise ValueError(f"{where}: {other.methodology} and {part.methodology} would both charge {shared}")


def _check_stated(
    rule: RegimeRule | PartRule, methodology: Methodology | PartMethodology, measures: tuple[str, ...], where: str
) -> None:
    if rule.measure not in measures:
        raise ValueError(f"{where}: {rule.methodology} measures {', '.join(measures)}, not {rule.measure!r}")
    if not isinstance(rule.terms, methodology.Terms):
        raise ValueError(f"{where}: terms must be {rule.methodology}'s Terms, not {type(rule.terms).__name__}")
    unknown = set(rule.kinds) - set(KINDS)
    if unknown:
        raise ValueError(f"{where}: unknown kinds {', '.join(sorted(unknown))}")
    beyond = set(rule.kinds) - methodology.KINDS
    if beyond:
        raise ValueError(f"{where}: {rule.methodology} has no rule for {', '.join(sorted(beyond))}")


def _check_rates(rule: RegimeRule, where: str) -> None:
    if rule.de_minimis < 0:
        raise ValueError(f"{where}: de_minimis must not be negative")
    if rule.restore_rate < 1:
        raise ValueError(f"{where}: restore_rate must be 1 or more, or the cure would leave a deficit")
    if rule.warning_rate is not None and rule.warning_rate < 1:
        raise ValueError(f"{where}: warning_rate must be 1 or more, or the warning would follow the call")
    if rule.watch_rate is not None and rule.watch_rate < (rule.warning_rate or ONE):
        raise ValueError(f"{where}: watch_rate must not be below warning_rate")
    if rule.severe_rate is not None and not 0 <= rule.severe_rate <= 1:
        raise ValueError(f"{where}: severe_rate must be from 0 to 1, or it would precede the call")
    if rule.at_or_beyond and rule.methodology == csa.CODE:
        raise ValueError(f"{where}: at_or_beyond would call what the minimum transfer amount leaves")
    has_own_ladder = by_code(rule.methodology).CODE == loan.CODE
    if rule.at_or_beyond and rule.restore_rate == 1 and not has_own_ladder:
        raise ValueError(f"{where}: at_or_beyond needs a restore_rate above 1, or a call could ask for nothing")
