"""Other ways to the same end, which a plan is compared with: as held, the largest loser first, by release."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from margin.engine import alternatives
from margin.engine.exact import ZERO, exactly
from margin.engine.plans.model import Model
from margin.engine.plans.tries import Counts, Tries, put

AS_HELD, LARGEST_LOSER, BY_RELEASE = "as_held", "largest_loser", "by_release"
NAMES = (AS_HELD, LARGEST_LOSER, BY_RELEASE)


@dataclass(frozen=True)
class Way:
    """Lines closed wholly one after another in an order until that is enough, the last in as few lots as are."""

    name: str
    counts: Counts
    is_enough: bool


def every(tries: Tries, model: Model) -> tuple[Way, ...]:
    """The ways, whatever the client wants kept: what would be done without looking further."""
    orders = {AS_HELD: _as_held(tries), LARGEST_LOSER: _by_loss(tries), BY_RELEASE: _by_release(tries, model)}
    wholes = {name: _one_after_another(tries, order) for name, order in orders.items()}
    tries.left([counts for each in wholes.values() for counts in each])  # all at once; remembered
    reached = {name: _reached(tries, each) for name, each in wholes.items()}
    ends = {name: (orders[name][place], wholes[name][place]) for name, place in reached.items() if place is not None}
    fewest = tries.fewest({(k, counts): counts[k] for k, counts in ends.values()})
    found = []
    for name, each in wholes.items():
        if name in ends:
            k, counts = ends[name]
            found.append(Way(name, put(counts, k, fewest[k, counts].steps or counts[k]), is_enough=True))
        else:
            found.append(Way(name, each[-1] if each else tries.none, is_enough=False))
    return tuple(found)


def _reached(tries: Tries, each: Sequence[Counts]) -> int | None:
    """The place of the first counts that are enough."""
    return next((place for place, left in enumerate(tries.left(each)) if left >= 0), None)


def _one_after_another(tries: Tries, order: Sequence[int]) -> list[Counts]:
    counts, found = tries.none, []
    for k in order:
        counts = put(counts, k, tries.lines[k].most)
        found.append(counts)
    return found


def _as_held(tries: Tries) -> list[int]:
    """As the book lists its positions."""
    places = {row: place for place, row in enumerate(tries.trials.held)}
    return sorted(range(len(tries.lines)), key=lambda k: places[tries.lines[k].legs[0].row])


def _by_loss(tries: Tries) -> list[int]:
    """The largest loss on what was paid first, those whose cost is not known last."""
    losses = [_gain(tries, k) for k in range(len(tries.lines))]
    return sorted(range(len(tries.lines)), key=lambda k: (losses[k] is None, losses[k] or ZERO))


def _gain(tries: Tries, k: int) -> Decimal | None:
    account, row = tries.account, tries.lines[k].legs[0].row
    held, cost = alternatives.positions_of(account.book, account.row)[row]
    if cost is None:
        return None
    with exactly():
        return (held * account.unit(row) - cost) * account.rate(row)


def _by_release(tries: Tries, model: Model) -> list[int]:
    """The highest release per value traded first, whatever it costs; only lines that help."""
    with exactly():
        values = {pull.line: float(tries.outlay_of(pull.line, pull.most).value) for pull in model.pulls}
    ordered = sorted(
        model.pulls, key=lambda pull: (-(pull.whole / values[pull.line] if values[pull.line] else 0), pull.line)
    )
    return [pull.line for pull in ordered]
