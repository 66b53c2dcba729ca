"""Trials: what an account would have beyond what its calls ask, in many alternatives at once.

Every alternative is one more account of one book, assessed by the sweep's own sums.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

import numpy as np

from margin.engine import alternatives, sums
from margin.engine.charges import levels_of
from margin.engine.columns import Policy
from margin.engine.cure_options.demands import Demand, Level, Yardstick, excess, target, yardsticks
from margin.engine.exact import ZERO, exactly
from margin.engine.measures import Levels, Units
from margin.engine.sizing import Account, NotSizable

MOST_AT_ONCE = 4096
Changes = Mapping[int, Decimal]  # row of Instruments → what is added to its quantity


@dataclass(frozen=True)
class Standing:
    """One alternative: excess over the restore level by regime of the policy, regimes whose requirement is breached,
    and by demand what is left beyond its target; None where nothing measures the demand."""

    excess: tuple[Decimal, ...]
    breached: tuple[bool, ...]
    left: tuple[Decimal | None, ...]


@dataclass(frozen=True)
class Trials:
    """One account and its demands. `account.regime` is not asked; `given` is done in every alternative."""

    account: Account
    demands: tuple[Demand, ...]
    given: Changes
    _units: dict[bytes, tuple[Units, ...]] = field(default_factory=dict, init=False, repr=False)
    _seen: dict[tuple[tuple[int, Decimal], ...], Standing] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def _measured(self) -> tuple[Policy, tuple[Yardstick, ...]]:
        rules = self.account.rules.policies
        return yardsticks(rules[int(self.account.book.policy[self.account.row])], self.demands)

    @property
    def policy(self) -> Policy:
        """The account's policy, and Regulation T as its last regime where a demand goes by it."""
        return self._measured[0]

    @property
    def yardsticks(self) -> tuple[Yardstick, ...]:
        """How each demand is measured."""
        return self._measured[1]

    @cached_property
    def held(self) -> dict[int, tuple[Decimal, Decimal | None]]:
        """Row of Instruments → (quantity, cost), as the account stands."""
        return alternatives.positions_of(self.account.book, self.account.row)

    @cached_property
    def before(self) -> Standing:
        """The account as it stands, without what is given. Raises NotSizable for an unpriced or doubtful one."""
        summed = self._summed([{}])
        with exactly():
            levels = self._levels(summed, 1)
        self._check_certain(summed, levels)
        return self._told(levels, tuple(ZERO for _ in self.demands))[0]

    @cached_property
    def targets(self) -> tuple[Decimal, ...]:
        """The excess that meets each demand, by its yardstick."""
        with exactly():
            return tuple(
                ZERO if left is None else target(demand, left)
                for demand, left in zip(self.demands, self.before.left, strict=True)
            )

    @cached_property
    def start(self) -> Standing:
        """The account with what is given, and nothing else done."""
        return self.measure([{}])[0]

    def measure(self, changes: Sequence[Changes]) -> list[Standing]:
        """The standing after each of the changes, with what is given. What was measured before is remembered."""
        keys = [tuple(sorted(change.items())) for change in changes]
        new = {
            key: self._with_given(change) for key, change in zip(keys, changes, strict=True) if key not in self._seen
        }
        wanted = list(new.values())
        found: list[Standing] = []
        for start in range(0, len(wanted), MOST_AT_ONCE):
            found += self._standings(wanted[start : start + MOST_AT_ONCE], self.targets)
        self._seen.update(zip(new, found, strict=True))
        return [self._seen[key] for key in keys]

    def _with_given(self, change: Changes) -> Changes:
        if not self.given:
            return change
        with exactly():
            return {row: change.get(row, ZERO) + self.given.get(row, ZERO) for row in {**self.given, **change}}

    def _standings(self, changes: Sequence[Changes], targets: Sequence[Decimal]) -> list[Standing]:
        summed = self._summed(changes)
        with exactly():
            return self._told(self._levels(summed, len(changes)), targets)

    def _summed(self, changes: Sequence[Changes]) -> sums.PolicySums:
        account = self.account
        copies = alternatives.books(account.instruments, account.book, account.row, changes)
        everyone = np.arange(len(changes))
        summed = sums.of_policy(copies, account.instruments, account.market, self.policy, everyone, known=self._units)
        if summed.unpriced.any():
            (why, *_) = summed.why_unpriced(np.flatnonzero(summed.unpriced)[:1])
            raise NotSizable(f"Account {account.id} is unpriced ({'; '.join(why)})")
        return summed

    def _levels(self, summed: sums.PolicySums, count: int) -> list[Levels]:
        return [levels_of(summed, regime, np.arange(count)) for regime in range(len(self.policy.regimes))]

    def _told(self, levels: Sequence[Levels], targets: Sequence[Decimal]) -> list[Standing]:
        policy, left = self.policy, []
        with exactly():
            restored = [excess(of, policy, k, Level.RESTORE) for k, of in enumerate(levels)]
            breached = [(excess(of, policy, k, Level.REQUIREMENT) < ZERO).astype(bool) for k, of in enumerate(levels)]
            for yardstick, needed in zip(self.yardsticks, targets, strict=True):
                if yardstick.regime is None:
                    left.append(np.full(len(restored[0]), None, object))
                elif yardstick.level == Level.RESTORE:
                    left.append(restored[yardstick.regime] - needed)
                else:
                    left.append(excess(levels[yardstick.regime], policy, yardstick.regime, yardstick.level) - needed)
        rows = zip(zip(*restored, strict=True), zip(*breached, strict=True), zip(*left, strict=True), strict=True)
        return [Standing(one, two, three) for one, two, three in rows]

    def _check_certain(self, summed: sums.PolicySums, levels: Sequence[Levels]) -> None:
        """Law 3: where something unknown makes a requirement its upper bound, no amount is told for its regime."""
        for yardstick in self.yardsticks:
            regime = yardstick.regime
            if regime is None:
                continue
            of = levels[regime]
            with exactly():
                is_short = excess(of, self.policy, regime, Level.RESTORE)[0] < ZERO
            if is_short and of.doubtful is not None and of.doubtful[0]:
                costs = "; ".join(summed.unknown_costs(regime, 0))
                name = self.policy.regimes[regime].regime
                raise NotSizable(f"Account {self.account.id}: the {name} requirement is in doubt ({costs})")
