"""The model: what a lot of each line releases and costs, as straight lines, and the least that should be enough by it.

A search that starts from here has little left to do where accounts are charged unit by unit, and the engine has the
last word everywhere: the model's numbers are floats and decide nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from margin.engine.exact import exactly
from margin.engine.plans.tries import Counts, Tries, held, put

_SLICES = 64
_MOST_NODES = 2000
_MOST_BRANCHED = 200  # lines; of more, those that cost the least for what they release are closed wholly
_DUST = 1e-9


@dataclass(frozen=True)
class Pull:
    """One line in the model: what a lot releases, what all of it does, and what the objective counts of a lot."""

    line: int
    most: int
    release: float
    whole: float
    amount: float
    rank: int

    def of(self, lots: int) -> float:
        """What so many lots release."""
        return self.whole if lots == self.most else self.release * lots

    @property
    def ratio(self) -> float:
        """What the objective counts of a unit released."""
        best = max(self.release, self.whole / self.most)
        return self.amount / best if best > 0 else float("inf")


@dataclass(frozen=True)
class Model:
    """The lines that help, those first that cost the least for what they release, of lower ranks before higher."""

    need: float
    pulls: tuple[Pull, ...]
    releases: tuple[float, ...]  # of every line, a lot, whether it helps or not
    lasts: tuple[float, ...]  # of every line, its last lot, which may be smaller
    amounts: tuple[float, ...]  # of every line, a lot

    def counts(self, tries: Tries, need: float) -> Counts | None:
        """The cheapest counts that release what is needed, by the model; None where all that helps does not."""
        chosen = {pull.line: pull.most for pull in self.pulls}
        if sum(pull.of(pull.most) for pull in self.pulls) < need:
            return None
        for rank in sorted({pull.rank for pull in self.pulls}, reverse=True):
            mine = [pull for pull in self.pulls if pull.rank == rank]
            others = sum(pull.of(chosen[pull.line]) for pull in self.pulls if pull.rank != rank)
            chosen |= _packed(mine, need - others)
        return tuple(chosen.get(k, 0) for k in range(len(tries.lines)))


def of(tries: Tries) -> Model:
    """Measure a slice of every line, large enough for cents not to matter, and all of it."""
    slices = [max(line.most // _SLICES, 1) for line in tries.lines]
    count = len(slices)
    wanted = [put(tries.none, k, lots) for k, lots in enumerate(slices)]
    wanted += [put(tries.none, k, line.most) for k, line in enumerate(tries.lines)]
    left = tries.left([tries.none, tries.most, *wanted])
    start, (parts, wholes) = left[0], (left[2 : count + 2], left[count + 2 :])
    with exactly():
        releases = [float(after - start) / lots for after, lots in zip(parts, slices, strict=True)]
        all_of_it = [float(after - start) for after in wholes]
        amounts = [float(tries.amount(k, lots)) / lots for k, lots in enumerate(slices)]
    pulls = [
        Pull(k, tries.lines[k].most, releases[k], all_of_it[k], max(amounts[k], _DUST), tries.ranks[k])
        for k in range(count)
        if max(releases[k], all_of_it[k]) > 0
    ]
    pulls.sort(key=lambda pull: (pull.rank, pull.ratio, pull.line))
    lasts = [
        whole - release * (line.most - 1) for whole, release, line in zip(all_of_it, releases, tries.lines, strict=True)
    ]
    return Model(-float(start), tuple(pulls), tuple(releases), tuple(lasts), tuple(amounts))


def entities(tries: Tries, model: Model) -> Iterator[Counts]:
    """What to close wholly, one after another: the lines that help in their order, pairs of option legs, and at last
    whatever is left."""
    counts = tries.none
    for pull in model.pulls:
        counts = put(counts, pull.line, pull.most)
        yield counts
    for k in range(len(tries.lines)):
        if not counts[k]:
            counts = put(counts, k, tries.lines[k].most)
            yield counts


def _packed(pulls: Sequence[Pull], need: float) -> dict[int, int]:
    """Lots of each line that release what is needed at the least amount; a search with so many nodes at most.

    The rest of a branch is bounded by what it would cost if lots could be parted.
    """
    ordered = sorted(pulls, key=lambda pull: pull.ratio)
    sure: dict[int, int] = {}
    while len(ordered) > _MOST_BRANCHED:
        first = ordered.pop(0)
        sure[first.line] = first.most if need > 0 else 0
        need -= first.whole
    best: list[tuple[float, tuple[int, ...]]] = [(float("inf"), tuple(pull.most for pull in ordered))]
    nodes = 0

    def bound(place: int, lacking: float) -> float:
        amount = 0.0
        for pull in ordered[place:]:
            if lacking <= 0:
                return amount
            given = max(pull.of(pull.most), pull.release * pull.most)
            amount += min(lacking, given) * pull.ratio
            lacking -= given
        return amount if lacking <= _DUST else float("inf")

    def branch(place: int, lacking: float, amount: float, chosen: tuple[int, ...]) -> None:
        nonlocal nodes
        nodes += 1
        if lacking <= 0:
            if amount < best[0][0]:
                best[0] = (amount, chosen + (0,) * (len(ordered) - place))
            return
        if place == len(ordered) or nodes > _MOST_NODES:
            return
        pull = ordered[place]
        enough = int(-(-lacking // pull.release)) if pull.release > 0 else pull.most
        for lots in range(min(enough, pull.most), -1, -1):
            spent, rest = amount + lots * pull.amount, lacking - pull.of(lots)
            if nodes > _MOST_NODES or spent + bound(place + 1, rest) >= best[0][0] - _DUST:
                break
            branch(place + 1, rest, spent, (*chosen, lots))

    branch(0, need, 0.0, ())
    return sure | {pull.line: lots for pull, lots in zip(ordered, best[0][1], strict=True)}


def neighbours(tries: Tries, model: Model, counts: Counts, *, is_straight: bool, most: int) -> list[Counts]:
    """Cheaper counts next to these, the likeliest to be enough first: a lot of one line for one of another, or for as
    many of it as make up for the lot; where charges are not straight, also a lot of two lines less at once.

    Where they are straight, what the model says is short by more than booking can lose is left out.
    """
    slack = float(tries.left([counts])[0])
    noises = [float(line.noise) for line in tries.lines]
    least = -sum(noises) - _DUST if is_straight else float("-inf")
    found: dict[Counts, float] = {}
    for i in held(counts):
        is_odd = is_straight and counts[i] == tries.lines[i].most
        lost = model.lasts[i] if is_odd else model.releases[i]
        for j, line in enumerate(tries.lines):
            if i == j or tries.ranks[j] > tries.ranks[i]:
                continue
            lacking = lost - slack
            needed = int(-(-lacking // model.releases[j])) if model.releases[j] > 0 and lacking > 0 else 1
            for more in {1, needed}:
                after = slack - lost + more * model.releases[j]
                if after < least or counts[j] + more > line.most:
                    continue
                doubt = noises[i] + noises[j]
                if _may_be_cheaper(tries, model, counts, i, j, more, doubt):
                    found[put(put(counts, i, counts[i] - 1), j, counts[j] + more)] = after
            if not is_straight and i < j and counts[j]:
                after = slack - model.releases[i] - model.releases[j]
                found[put(put(counts, i, counts[i] - 1), j, counts[j] - 1)] = after
    likely = sorted(found, key=lambda other: -found[other])[:most]
    cost = tries.cost(counts)
    return [other for other in likely if tries.cost(other) < cost]


def _may_be_cheaper(tries: Tries, model: Model, counts: Counts, i: int, j: int, more: int, doubt: float) -> bool:
    """Whether a lot less of line i and some more of j can be cheaper; asked exactly where the model's amounts leave it
    open: they know neither smaller last lots nor what booking rounds (`doubt`)."""
    if tries.ranks[j] < tries.ranks[i] or tries.account.fee_minimum:
        return True
    saved = model.amounts[i] - more * model.amounts[j]
    is_regular = counts[i] < tries.lines[i].most and counts[j] + more < tries.lines[j].most
    if is_regular and abs(saved) > doubt + abs(model.amounts[i]) * 1e-6:
        return saved > 0
    with exactly():
        less = tries.amount(i, counts[i]) - (tries.amount(i, counts[i] - 1) if counts[i] > 1 else 0)
        return tries.amount(j, counts[j] + more) - (tries.amount(j, counts[j]) if counts[j] else 0) <= less
