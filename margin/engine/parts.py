"""Parts of a regime at work: which positions they claim, and what their groups add to the accounts' totals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from margin.engine import build
from margin.engine.columns import CASH, Array, Book, Instruments, Market, PartRule, Policy
from margin.engine.exact import ZERO, exactly
from margin.engine.groups import NO_GROUP, GroupFigures, Groups, Keys, arrange, holds_a_claim, per_account
from margin.engine.measures import INITIAL, REQUIREMENT, VALUE, Units, governed, larger
from margin.engine.methodologies import part_by_code


@dataclass(frozen=True)
class Part:
    """One part measured over all accounts of a policy."""

    rule: PartRule
    groups: Groups
    figures: GroupFigures
    fx: Array  # Decimal[g]: the group's currency in the account's base currency, 0 where it is missing
    totals: Mapping[str, Array]  # Decimal per account, in base currency, by the lane they are added to
    floors: Array | None  # Decimal per account, in base currency: what the requirement is at least

    def refusals(self) -> Iterator[tuple[int, str]]:
        """(account, reason) of every group that has no number."""
        for group in np.flatnonzero(self.figures.refused != ""):
            yield int(self.groups.account[group]), str(self.figures.refused[group])


@dataclass(frozen=True)
class Claims:
    """The book's instruments after the claims: rows 0 … n - 1 as they were, then one row per claimed variant.

    A position that parts claim in some regimes points to a variant of its instrument, whose units in those regimes
    are its value alone.
    """

    origin: Array  # int64: the instrument behind each row
    claimed: Array  # bool[rows, regimes]
    local: Array  # int32[p]: each position's row


def keys_of(held: Instruments, part: PartRule) -> Keys:
    """The part's keys, on the kinds it governs; cash belongs to a group only where the part takes it."""
    keys = part_by_code(part.methodology).group_keys(held, part.terms)
    rows = governed(held, part.kinds) & (keys.takes_cash | (held.kind != CASH))
    return replace(keys, keys=np.where(rows, keys.keys, NO_GROUP), claims=keys.claims & rows)


def claim(held: Instruments, policy: Policy, book: Book, local: Array, rows: Array) -> Claims:
    """Which positions of the accounts `rows` are charged by parts rather than by the regime's own methodology."""
    taken = np.zeros((len(local), len(policy.regimes)), bool)
    for regime, rule in enumerate(policy.regimes):
        for part in rule.parts:
            keys = keys_of(held, part)
            if not keys.is_addition:
                taken[:, regime] |= _claimed(keys, book, local, rows)
    if not taken.any():
        origin = np.arange(len(held))
        return Claims(origin, np.zeros((len(held), len(policy.regimes)), bool), local)
    which = np.flatnonzero(taken.any(axis=1))
    pairs = np.column_stack([local[which].astype(np.int64), taken[which]])
    variants, inverse = np.unique(pairs, axis=0, return_inverse=True)
    renumbered = local.copy()
    renumbered[which] = len(held) + inverse.reshape(-1)
    return Claims(
        origin=np.concatenate([np.arange(len(held)), variants[:, 0]]),
        claimed=np.concatenate([np.zeros((len(held), len(policy.regimes)), bool), variants[:, 1:] > 0]),
        local=renumbered,
    )


def _claimed(keys: Keys, book: Book, local: Array, rows: Array) -> Array:
    """Positions in groups of which some member claims the group."""
    positions = build.runs(book.offsets, rows)
    owner = np.repeat(np.arange(len(rows)), np.diff(build.runs_offsets(book.offsets, rows)))
    near = np.flatnonzero(holds_a_claim(keys, owner, local[positions]))
    positions, owner = positions[near], owner[near]
    key = keys.keys[local[positions]]
    _, group = np.unique(np.column_stack([owner, key]), axis=0, return_inverse=True)
    group = group.reshape(-1)
    claimed = np.zeros(len(positions) + 1, bool)
    claimed[group[keys.claims[local[positions]]]] = True
    out = np.zeros(len(local), bool)
    out[positions] = claimed[group] & (key != NO_GROUP)
    return out


def measure(
    held: Instruments, policy: Policy, book: Book, local: Array, rows: Array, units: Sequence[Units], market: Market
) -> tuple[tuple[Part, ...], ...]:
    """Every part of every regime, measured. `held` and `units` are as they were before the claims."""
    return tuple(
        tuple(_measured(part, held, book, local, rows, of_regime, market) for part in rule.parts)
        for rule, of_regime in zip(policy.regimes, units, strict=True)
    )


def _measured(
    part: PartRule, held: Instruments, book: Book, local: Array, rows: Array, units: Units, market: Market
) -> Part:
    positions = build.runs(book.offsets, rows)
    owner = np.repeat(np.arange(len(rows)), np.diff(build.runs_offsets(book.offsets, rows)))
    base = book.base[rows]

    def convert(own: int, target: int) -> Decimal | None:
        return market.rate(held.currencies[own], held.currencies[target])

    groups = arrange(
        instruments=held,
        base=units,
        keys=keys_of(held, part),
        account=owner,
        base_currency=base,
        position=positions,
        instrument=local[positions],
        quantity=lambda chosen: quantities(book, chosen),
        convert=convert,
    )
    figures = part_by_code(part.methodology).measure_groups(groups, market, part.measure, part.terms)
    fx = np.empty(len(groups), object)
    fx[:] = [convert(int(c), int(base[a])) or ZERO for c, a in zip(groups.currency, groups.account, strict=True)]
    with exactly():
        totals = {
            VALUE: per_account(figures.equity * fx, groups.account, len(rows)),
            REQUIREMENT: per_account(figures.requirement * fx, groups.account, len(rows)),
            INITIAL: per_account(figures.initial * fx, groups.account, len(rows)),
        }
        floors = None if figures.floor is None else per_account(figures.floor * fx, groups.account, len(rows))
    return Part(part, groups, figures, fx, totals, floors)


def quantities(book: Book, positions: Array) -> Array:
    """The signed quantities of these positions as Decimals."""
    out = np.empty(len(positions), object)
    pairs = zip(book.quantity[positions].tolist(), book.decimals[positions].tolist(), strict=True)
    with exactly():
        out[:] = [
            Decimal(mantissa).scaleb(-decimals) if decimals else Decimal(mantissa) for mantissa, decimals in pairs
        ]
    return out


def completed(parts: Sequence[Part], columns: Mapping[str, Array], accounts: Array) -> dict[str, Array]:
    """Totals of the chosen accounts with all that the parts add, floors last. Works on Decimals and on floats alike."""
    out = dict(columns)
    for part in parts:
        for name, amounts in part.totals.items():
            if name in out:
                out[name] = out[name] + amounts[accounts].astype(out[name].dtype)
    for part in parts:
        for name in (REQUIREMENT, INITIAL):
            if part.floors is not None and name in out:
                out[name] = larger(out[name], part.floors[accounts].astype(out[name].dtype))
    return out


def magnitude(parts: Sequence[Part], count: int) -> Array:
    """float64: the size of what the parts add per account, for the error bound of float totals."""
    size = np.zeros(count)
    for part in parts:
        for column in (*part.totals.values(), *(() if part.floors is None else (part.floors,))):
            size += np.abs(column.astype(np.float64))
    return size


__all__ = ["Claims", "Part", "claim", "completed", "keys_of", "magnitude", "measure", "quantities"]
