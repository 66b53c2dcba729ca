"""The kernels on resident columns of a million accounts, beside the memory they read and the COPY that fetches it.

    .venv/bin/python -m bench.bench_engine [--accounts 1000000] [--runs 7] [--no-database]

First the results are verified: exact sums equal PostgreSQL's `numeric` on every account, are the same bytes for 1 and 2
threads, 1 to 1,000 shards and any order of an account's rows, and the float sums agree with them. Then everything is
timed in turn; medians are printed, and the median of the ratios round by round.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from bench import database
from bench.resident import DECIMALS, SCALE, House, Sums, build, machine

CHUNK = 1_000_000  # rows encoded at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--instruments", type=int, default=222_500)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-database", action="store_true")
    chosen = parser.parse_args()
    house = build(accounts=chosen.accounts, instruments=chosen.instruments, seed=chosen.seed)
    print(f"{house.accounts:,} accounts, {len(house.instrument):,} positions, {len(house.units):,} instruments")
    print(machine(), flush=True)
    sums = Sums(house, chosen.threads)
    verify(house, sums)
    if chosen.no_database:
        measure(sums, chosen.runs, None)
        return
    with database.opened():
        import psycopg2

        with psycopg2.connect(os.environ["DATABASE_OWNER_URL"]) as connection, connection.cursor() as cursor:
            store(house, cursor)
            verify_against_postgresql(sums, cursor)
            measure(sums, chosen.runs, cursor)


# --- the same results ---------------------------------------------------------------------------------------


def verify(house: House, sums: Sums) -> None:
    """Exact sums do not depend on how they are cut or ordered, and float sums are theirs to the last digits."""
    sums.exact()
    sums.linear()
    exact = whole(sums).astype(np.float64) / SCALE**2
    gross = np.maximum(np.abs(exact).sum(axis=1, keepdims=True), 1) * 1_000  # what was added may cancel
    assert (np.abs(sums.out - exact) <= gross * 2.0**-45).all()
    expected = sums.hi.tobytes(), sums.lo.tobytes()
    for threads, shards in ((1, 1), (1, 1_000), (2, 7), (2, 1_000)):
        other = Sums(house, threads)
        other.chunks = house.cuts(shards)
        other.exact()
        assert (other.hi.tobytes(), other.lo.tobytes()) == expected, (threads, shards)
    order = np.lexsort((np.random.default_rng(2).random(len(house.instrument)), owners(house)))
    columns = {"instrument": house.instrument[order], "mantissa": house.mantissa[order]}
    shuffled = Sums(House(**{**vars(house), **columns}))
    shuffled.exact()
    assert (shuffled.hi.tobytes(), shuffled.lo.tobytes()) == expected
    print("exact sums: the same bytes for 1 and 2 threads, 1, 7, 8 and 1,000 shards, shuffled rows", flush=True)


def owners(house: House) -> np.ndarray:
    return np.repeat(np.arange(house.accounts, dtype=np.int32), np.diff(house.offsets))


def whole(sums: Sums) -> np.ndarray:
    """The exact sums as Python integers."""
    return (sums.hi.astype(object) << 64) + sums.lo.astype(object)


def store(house: House, cursor: Any) -> None:
    """The same positions and unit amounts as rows of PostgreSQL, of the types that the application's tables have."""
    import io

    cursor.execute(
        "CREATE TABLE bench_position (account_id bigint, instrument_id bigint, quantity numeric(28, 10));"
        "CREATE TABLE bench_unit (instrument_id bigint PRIMARY KEY, value_long numeric, requirement_long numeric,"
        " value_short numeric, requirement_short numeric)"
    )
    account = owners(house)
    for start in range(0, len(account), CHUNK):
        rows = slice(start, start + CHUNK)
        stream = io.BytesIO(encoded(account[rows], house.instrument[rows], house.mantissa[rows]))
        cursor.copy_expert("COPY bench_position FROM STDIN (FORMAT binary)", stream, 1 << 20)
    lines = "".join(
        f"{place},{','.join(f'{amount}e-{DECIMALS}' for amount in amounts)}\n"
        for place, amounts in enumerate(house.integers.reshape(-1, 4).tolist())
    )
    cursor.copy_expert("COPY bench_unit FROM STDIN (FORMAT csv)", io.StringIO(lines), 1 << 20)
    cursor.execute("ANALYZE bench_position; ANALYZE bench_unit")


def encoded(account: np.ndarray, instrument: np.ndarray, mantissa: np.ndarray) -> bytes:
    """Rows of (bigint, bigint, numeric with four decimals below 10^8) as COPY BINARY reads them."""
    fields = [("fields", ">i2"), ("size_a", ">i4"), ("account", ">i8"), ("size_i", ">i4"), ("instrument", ">i8")]
    fields += [("size_q", ">i4"), ("digits", ">i2"), ("weight", ">i2"), ("sign", ">u2"), ("scale", ">i2")]
    fields += [("high", ">i2"), ("low", ">i2"), ("fraction", ">i2")]
    rows = np.zeros(len(account), np.dtype(fields))
    size = np.abs(mantissa)
    constants = {"fields": 3, "size_a": 8, "size_i": 8, "size_q": 14, "digits": 3, "weight": 1, "scale": DECIMALS}
    columns = {
        **constants,
        "account": account,
        "instrument": instrument,
        "sign": np.where(mantissa < 0, 0x4000, 0),
        "high": size // SCALE**2,
        "low": size // SCALE % SCALE,
        "fraction": size % SCALE,
    }
    for name, column in columns.items():
        rows[name] = column
    return b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows.tobytes() + b"\xff\xff"


PER_ACCOUNT = """
SELECT trunc(sum(abs(quantity) * CASE WHEN quantity < 0 THEN value_short ELSE value_long END) * 1e8),
       trunc(sum(abs(quantity) * CASE WHEN quantity < 0 THEN requirement_short ELSE requirement_long END) * 1e8)
FROM bench_position JOIN bench_unit USING (instrument_id) GROUP BY account_id ORDER BY account_id
"""


def verify_against_postgresql(sums: Sums, cursor: Any) -> None:
    started = time.perf_counter()
    cursor.execute(PER_ACCOUNT)
    theirs = [[int(value), int(requirement)] for value, requirement in cursor.fetchall()]
    seconds = time.perf_counter() - started
    sums.exact()
    assert whole(sums).tolist() == theirs
    print(f"exact sums: equal to numeric on all {len(theirs):,} accounts ({seconds:.0f} s in PostgreSQL)", flush=True)


# --- how long they take -------------------------------------------------------------------------------------


@njit(nogil=True)
def read(words: np.ndarray) -> int:
    total = 0
    for place in range(words.size):
        total += words[place]
    return total


class Nowhere:
    def write(self, block: bytes) -> int:
        return len(block)


def measure(sums: Sums, runs: int, cursor: Any) -> None:
    """Time everything in turn and print medians and ratios."""
    house = sums.house
    arrays = [array.view(np.uint64) for array in (house.quantity, house.instrument[: len(house.instrument) // 2 * 2])]
    arrays.append(house.offsets.view(np.uint64))
    pieces = [piece for array in arrays for piece in np.array_split(array, 4)]
    todo: dict[str, Callable[[], Any]] = {
        "read": lambda: list(sums.pool.map(read, pieces)),
        "linear": sums.linear,
        "exact": sums.exact,
        "ten points": sums.ten_points,
        "16 scenarios": sums.sixteen,
    }
    if cursor is not None:
        query = "COPY (SELECT account_id, instrument_id, quantity FROM bench_position) TO STDOUT (FORMAT binary)"
        todo["COPY"] = lambda: cursor.copy_expert(query, Nowhere())
    rounds = [{name: seconds(work) for name, work in todo.items()} for _ in range(runs + 1)][1:]  # the first warms up
    size = sum(array.nbytes for array in arrays)
    print(f"\n{machine()}; medians of {runs}, threads: {sums.threads}")
    for name in todo:
        found = sorted(one[name] for one in rounds)
        print(f"  {name:<12}{statistics.median(found) * 1e3:9.1f} ms   ({found[0] * 1e3:.1f} … {found[-1] * 1e3:.1f})")
    print(f"  read: {size / 1e9 / statistics.median(one['read'] for one in rounds):.1f} GB/s")
    goals = [("read", "linear", "at least 0.12, aim 0.25"), ("exact", "linear", "at most 6, aim 3")]
    goals += [("ten points", "linear", "at most 3, aim 1.5"), ("16 scenarios", "linear", "at most 4, aim 2")]
    goals += [("exact", "COPY", "at most 0.10, aim 0.05")]
    for above, below, goal in goals:
        if below in todo:
            ratio = statistics.median(one[above] / one[below] for one in rounds)
            print(f"  {above} ÷ {below:<10}{ratio:8.3f}   ({goal})")


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
