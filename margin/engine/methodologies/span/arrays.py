"""Risk arrays: what one contract, held long, loses over the look-ahead in sixteen scenarios (CME SPAN, risk array).

Losses are positive here, as in the exchanges' files; an array that states gains is turned round on reading.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from margin.engine.exact import ZERO

SCENARIOS = 16
# (thirds of the price scan range, direction of the volatility) of scenarios 1 to 14; 15 and 16 are the extreme moves.
MOVES = tuple((thirds, direction) for thirds in (0, 1, -1, 2, -2, 3, -3) for direction in (1, -1))

Losses = tuple[Decimal, ...]


def as_losses(stated: Sequence[Decimal], gains_are_positive: bool) -> Losses:
    """The array with losses positive. ValueError unless it has sixteen scenarios."""
    if len(stated) != SCENARIOS:
        raise ValueError(f"a risk array has {SCENARIOS} scenarios, not {len(stated)}")
    return tuple(-one for one in stated) if gains_are_positive else tuple(stated)


def added(legs: Sequence[tuple[Decimal, Losses]]) -> Losses:
    """Losses of (signed quantity, array) legs together, scenario by scenario. Call inside `exact.exactly()`."""
    return tuple(sum((quantity * array[k] for quantity, array in legs), ZERO) for k in range(SCENARIOS))


def scan_risk(losses: Losses) -> tuple[Decimal, int]:
    """(the greatest loss, never below nothing; its scenario from 1, the first of equals)."""
    active = max(range(SCENARIOS), key=lambda k: (losses[k], -k))
    return max(losses[active], ZERO), active + 1


def twin(scenario: int) -> int:
    """The scenario, from 1, of the same price and the opposite volatility; an extreme move has none but itself."""
    if scenario > len(MOVES):
        return scenario
    return scenario + 1 if scenario % 2 else scenario - 1


def price_risk(losses: Losses) -> Fraction:
    """Paired risk less time risk: what of the scan risk comes from the price alone."""
    _, active = scan_risk(losses)
    paired = Fraction(losses[active - 1]) + Fraction(losses[twin(active) - 1])
    time = Fraction(losses[0]) + Fraction(losses[1])
    return (paired - time) / 2


def weighted_price_risk(losses: Losses, net_delta: Decimal) -> Fraction:
    """Price risk for one delta; none where the deltas cancel or the price is no risk."""
    return max(price_risk(losses), Fraction(0)) / Fraction(abs(net_delta)) if net_delta else Fraction(0)


def composite_delta(deltas: Sequence[Decimal], weights: Sequence[Decimal]) -> Fraction:
    """The weighted average of deltas at the seven prices 0, ±1/3, ±2/3 and ±1 of the range.

    `deltas` are in the order 0, +1, −1, +2, −2, +3, −3 thirds; `weights` for 0, 1, 2 and 3 thirds on either side.
    """
    spread = (weights[0], *(weight for weight in weights[1:] for _ in range(2)))
    total = sum(map(Fraction, spread), Fraction(0))
    return sum((Fraction(d) * Fraction(w) for d, w in zip(deltas, spread, strict=True)), Fraction(0)) / total
