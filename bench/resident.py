"""Resident columns of a whole house: what a process keeps between sweeps, made from a seed, with its unit tables.

Accounts hold a skewed number of positions, instruments are held by popularity. Quantities have four decimals (a tenth
of them fractions of a share), unit amounts have four, so every product has eight.
"""

import os
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from margin.engine import kernels

DECIMALS = 4
SCALE = 10**DECIMALS
CLASSES = 2_000
CHUNKS = 8  # per sum: enough for two threads to end at the same time


@dataclass(frozen=True)
class House:
    """m accounts, p positions (CSR, an account's positions sorted by class) and n instruments."""

    offsets: np.ndarray  # int64[m + 1]
    instrument: np.ndarray  # int32[p]
    group: np.ndarray  # int32[p] class of the position
    mantissa: np.ndarray  # int64[p] quantity × 10^4
    quantity: np.ndarray  # float64[p]
    integers: np.ndarray  # int64[n, 2, 2] (long, short) × (value, requirement) × 10^4
    units: np.ndarray  # float64[n, 2, 2] the same
    points: np.ndarray  # float32[n, 16]
    gains: np.ndarray  # float32[n, 16] of one unit in sixteen scenarios

    @property
    def accounts(self) -> int:
        return len(self.offsets) - 1

    def cuts(self, shards: int) -> list[slice]:
        """Ranges of accounts with about equally many positions each."""
        wanted = np.linspace(0, self.offsets[-1], shards + 1)[1:-1]
        inner = np.searchsorted(self.offsets, wanted).clip(0, self.accounts)
        edges = [0, *inner.tolist(), self.accounts]
        return [slice(start, end) for start, end in pairwise(edges)]


def build(*, accounts: int, positions: int = 10, instruments: int = 222_500, seed: int = 1) -> House:
    """A house of so many accounts with about `positions` positions each."""
    draws = np.random.default_rng(seed)
    linear = kernels.floats()
    counts = np.clip(np.exp(draws.normal(2.0, 0.8, accounts)), 1, 700)
    counts = np.maximum(1, counts * (positions / counts.mean())).astype(np.int64)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    total = int(offsets[-1])
    edges = np.cumsum(1.0 / np.arange(1, instruments + 1) ** 0.9)
    popular = np.searchsorted(edges, draws.random(total) * edges[-1])
    instrument = draws.permutation(instruments).astype(np.int32)[popular]  # the popular are not neighbours
    group = instrument % CLASSES
    order = np.lexsort((instrument, group, np.repeat(np.arange(accounts, dtype=np.int32), counts)))
    instrument, group = instrument[order], group[order]
    mantissa = draws.integers(1, 1_000, total) * SCALE
    fractional = draws.random(total) < 0.1
    mantissa[fractional] += draws.integers(1, SCALE, int(fractional.sum()))
    mantissa[draws.random(total) < 0.2] *= -1
    cents = np.round(np.exp(draws.normal(3.6, 0.8, instruments)) * 100).clip(100).astype(np.int64)
    value = np.stack([cents * 100, cents * -100], axis=1)
    requirement = np.stack([cents * 25, cents * 30], axis=1)
    gains = draws.normal(0, 0.1, (instruments, linear.POINTS)) * cents[:, None] / 100
    return House(
        offsets=offsets,
        instrument=instrument,
        group=group,
        mantissa=mantissa,
        quantity=mantissa / SCALE,
        integers=np.ascontiguousarray(np.stack([value, requirement], axis=2)),
        units=linear.unit_table(value / SCALE, requirement / SCALE),
        points=linear.point_table(gains, np.full(instruments, 0.375)),
        gains=kernels.scenarios().scan_table(draws.normal(0, 0.1, (instruments, 16)) * cents[:, None] / 100),
    )


class Sums:
    """The kernels over a house, each with its place for the results, on so many threads."""

    def __init__(self, house: House, threads: int = 2) -> None:
        self.house, self.threads = house, threads
        self.pool = ThreadPoolExecutor(threads)
        self.chunks = house.cuts(CHUNKS)
        self.out = np.zeros((house.accounts, 2))
        self.worst, self.scanned = np.zeros(house.accounts), np.zeros(house.accounts)
        self.hi, self.lo = np.zeros((house.accounts, 2), np.int64), np.zeros((house.accounts, 2), np.uint64)
        self.everyone = np.arange(house.accounts)

    def linear(self) -> None:
        self._each(self._linear)

    def exact(self) -> None:
        self._each(self._exact)

    def ten_points(self) -> None:
        self._each(self._ten_points)

    def sixteen(self) -> None:
        self._each(self._sixteen)

    def _each(self, work: Callable[[slice], Any]) -> None:
        list(self.pool.map(work, self.chunks))

    def _linear(self, rows: slice) -> None:
        house = self.house
        kernels.floats().sum_value_and_requirement(
            house.offsets[rows.start : rows.stop + 1], house.instrument, house.quantity, house.units, self.out[rows]
        )

    def _exact(self, rows: slice) -> None:
        house = self.house
        kernels.sums().sum_scaled(
            self.everyone[rows],
            house.offsets,
            house.instrument,
            house.mantissa,
            house.integers,
            self.hi[rows],
            self.lo[rows],
        )

    def _sixteen(self, rows: slice) -> None:
        house = self.house
        kernels.scenarios().sum_scan_risk(
            house.offsets[rows.start : rows.stop + 1],
            house.group,
            house.instrument,
            house.quantity,
            house.gains,
            self.scanned[rows],
        )

    def _ten_points(self, rows: slice) -> None:
        house = self.house
        kernels.floats().sum_worst_points(
            house.offsets[rows.start : rows.stop + 1],
            house.group,
            house.instrument,
            house.quantity,
            house.points,
            self.worst[rows],
        )


def machine() -> str:
    """The processor, what shares it and what runs on it."""
    with open("/proc/cpuinfo") as lines:
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return f"{len(names)} × {names[0]}, {platform.system()}, Python {platform.python_version()}, load {load}"
