"""The float kernel beside Polars, DuckDB and pandas: value and requirement of every account from the same columns.

    python -m bench.bench_peers [--accounts 1000000] [--runs 5]      (needs requirements-bench.txt)

Every peer has its data in memory in its own best form and two threads. Results are verified equal before anything is
timed; then all take turns, and the ratios are medians round by round.
"""

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.bench_engine import owners, seconds
from bench.resident import House, Sums, build, machine

THREADS = 2
UNITS = ("value_long", "requirement_long", "value_short", "requirement_short")
Peer = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--instruments", type=int, default=222_500)
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    house = build(accounts=chosen.accounts, instruments=chosen.instruments)
    sums = Sums(house, THREADS)
    sums.linear()
    positions = {"account": owners(house), "instrument": house.instrument, "quantity": house.quantity}
    units = {"instrument": np.arange(len(house.units), dtype=np.int32)}
    units |= {name: np.ascontiguousarray(house.units.reshape(-1, 4)[:, k]) for k, name in enumerate(UNITS)}
    peers = {"Polars, streaming": polars(positions, units), "DuckDB": duckdb(positions, units)}
    peers["pandas"] = pandas(positions, units)
    for name, peer in peers.items():
        _same(house, sums.out, *_columns(peer()), name)
    todo: dict[str, Peer] = {"kernel": sums.linear, **peers}
    rounds = [{name: seconds(work) for name, work in todo.items()} for _ in range(chosen.runs)]
    print(f"{house.accounts:,} accounts, {len(house.instrument):,} positions, {len(house.units):,} instruments")
    print(f"{machine()}; medians of {chosen.runs}")
    for name in todo:
        found = [one[name] for one in rounds]
        times = statistics.median(one[name] / one["kernel"] for one in rounds)
        print(f"  {name:<18}{statistics.median(found):8.3f} s   ({min(found):.3f} … {max(found):.3f})  {times:7.1f} ×")


def polars(positions: dict[str, np.ndarray], units: dict[str, np.ndarray]) -> Peer:
    import polars as pl

    held, table = pl.DataFrame(positions), pl.DataFrame(units)
    is_short, size = pl.col("quantity") < 0, pl.col("quantity").abs()

    def summed(name: str) -> Any:
        unit = pl.when(is_short).then(pl.col(f"{name}_short")).otherwise(pl.col(f"{name}_long"))
        return (size * unit).sum().alias(name)

    query = held.lazy().join(table.lazy(), on="instrument").group_by("account")
    whole = query.agg(summed("value"), summed("requirement"))
    return lambda: whole.collect(engine="streaming")


def duckdb(positions: dict[str, np.ndarray], units: dict[str, np.ndarray]) -> Peer:
    import duckdb as module
    import pandas as pd

    connection = module.connect(config={"threads": THREADS})
    for name, columns in (("held", positions), ("unit", units)):
        connection.register("given", pd.DataFrame(columns))
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM given")
        connection.unregister("given")
    query = "SELECT account, " + ", ".join(
        f"sum(abs(quantity) * CASE WHEN quantity < 0 THEN {name}_short ELSE {name}_long END) AS {name}"
        for name in ("value", "requirement")
    )
    return lambda: connection.execute(f"{query} FROM held JOIN unit USING (instrument) GROUP BY account").fetchnumpy()


def pandas(positions: dict[str, np.ndarray], units: dict[str, np.ndarray]) -> Peer:
    import pandas as pd

    held, table = pd.DataFrame(positions), pd.DataFrame(units)

    def work() -> Any:
        merged = held.merge(table, on="instrument")
        is_short, size = merged["quantity"] < 0, merged["quantity"].abs()
        for name in ("value", "requirement"):
            merged[name] = size * merged[f"{name}_short"].where(is_short, merged[f"{name}_long"])
        return merged.groupby("account")[["value", "requirement"]].sum().reset_index()

    return work


def _columns(result: Any) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(result[name]) for name in ("account", "value", "requirement"))


def _same(
    house: House, ours: np.ndarray, account: np.ndarray, value: np.ndarray, requirement: np.ndarray, name: str
) -> None:
    """Every account is there once, with our sums but for the order of additions."""
    order = np.argsort(account)
    assert (account[order] == np.arange(house.accounts)).all(), name
    scale = np.abs(ours[:, 1:]) * 10 + 1  # the requirement grows with everything that was added
    theirs = np.stack([value[order], requirement[order]], axis=1)
    assert (np.abs(theirs - ours) <= scale * 1e-11).all(), name


if __name__ == "__main__":
    main()
