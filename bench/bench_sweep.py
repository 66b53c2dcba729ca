"""How long a sweep takes, stage by stage, beside a bare COPY of the same positions in the same run.

    .venv/bin/python -m bench.bench_sweep --accounts 10000 --runs 5 [--in-deficit 0.01]

Rounds alternate: bare COPY, sweep, bare COPY, sweep, … Medians are printed, and the ratio round by round.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from bench import database

Seconds = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--positions", type=int, default=10)
    parser.add_argument("--instruments", type=int, default=5_000)
    parser.add_argument("--in-deficit", type=float, default=0.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with database.opened():
        from bench import house
        from margin.engine import kernels

        started = time.perf_counter()
        house.build(
            accounts=chosen.accounts,
            positions=chosen.positions,
            instruments=chosen.instruments,
            in_deficit=chosen.in_deficit,
            seed=chosen.seed,
        )
        print(f"house of {chosen.accounts:,} accounts built in {time.perf_counter() - started:.0f} s", flush=True)
        kernels.warm()
        _round(0)  # not counted: caches fill
        rounds = [_round(number) for number in range(1, chosen.runs + 1)]
    _report(rounds, chosen)


def _round(number: int) -> Seconds:
    bare = timed(_bare_copy)
    return {"bare COPY": bare, **_sweep(number)}


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _bare_copy() -> None:
    """The same rows as the sweep reads, to nowhere: the floor that PostgreSQL's row protocol sets."""
    from django.db import connection

    class Nowhere:
        def write(self, block: bytes) -> int:
            return len(block)

    with connection.cursor() as cursor:
        cursor.copy_expert(
            "COPY (SELECT account_id, instrument_id, quantity, cost FROM accounts_position) TO STDOUT (FORMAT binary)",
            Nowhere(),
        )


STAGES = (  # what the sweep calls, in its order; the rest of the total is its own bookkeeping
    ("margin.sweep", "begin", "begin: slot, prices, shards"),
    ("margin.snapshot", "take", "take: rows to columns"),
    ("margin.engine.assess", "assess", "assess"),
    ("margin.decisions", "about", "decide"),
    ("margin.assessments", "save", "save"),
    ("margin.shards", "_through_the_door", "door"),
)


@contextmanager
def watched() -> Iterator[Seconds]:
    """Time the stages of a sweep by wrapping the functions it calls."""
    import importlib

    spent: Seconds = {label: 0.0 for _, _, label in STAGES}
    originals = []
    for module_name, name, label in STAGES:
        module = importlib.import_module(module_name)
        original = getattr(module, name)
        originals.append((module, name, original))

        def timed(*args: Any, _original: Any = original, _label: str = label, **options: Any) -> Any:
            started = time.perf_counter()
            try:
                return _original(*args, **options)
            finally:
                spent[_label] += time.perf_counter() - started

        setattr(module, name, timed)
    try:
        yield spent
    finally:
        for module, name, original in originals:
            setattr(module, name, original)


def _sweep(number: int) -> Seconds:
    from bench.house import PRICED_AT
    from margin import sweep

    at = PRICED_AT + timedelta(seconds=number)
    with watched() as spent:
        total = timed(lambda: sweep.run("securities", at=at))
    done = sweep.Sweep.objects.get(kind="securities", slot_at=at)
    if done.state != "complete":
        raise SystemExit(f"the sweep is {done.state}: {done.counts}")
    return {**spent, "sweep in all": total}


def _report(rounds: list[Seconds], chosen: argparse.Namespace) -> None:
    print(f"{chosen.accounts:,} accounts × {chosen.positions} positions, {chosen.in_deficit:.1%} in deficit, "
          f"median of {len(rounds)}, {platform.machine()}, Python {platform.python_version()}")  # fmt: skip
    for name in rounds[0]:
        figures = sorted(one[name] for one in rounds)
        print(f"  {name:<30} {statistics.median(figures):8.3f} s   ({figures[0]:.3f} … {figures[-1]:.3f})")
    over = [one["sweep in all"] - 3 * one["bare COPY"] for one in rounds]
    print(f"  sweep − 3 × COPY               {statistics.median(over):8.3f} s   (goal: at most 2)")


if __name__ == "__main__":
    main()
