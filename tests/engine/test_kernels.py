"""The kernels against Python's integers and PostgreSQL's own numerics, and how they are loaded."""

import os
import random
import shutil
import struct
import subprocess
import sys
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.engine import build, copying, kernels

ROOT = Path(__file__).parents[2]
INT64 = st.integers(-(2**63) + 1, 2**63 - 1)


def lanes(quantities, units, decimals, unit_decimals, scale):
    """One segment, one lane: (sum as an integer, mark)."""
    count = len(quantities)
    hi, lo, marks = np.zeros((1, 1), np.int64), np.zeros((1, 1), np.uint64), np.zeros(1, np.uint8)
    table = np.array([[[long], [short]] for long, short in units], np.int64)
    kernels.sums().sum_units(
        np.zeros(1, np.int64),
        np.array([0, count], np.int64),
        np.arange(count, dtype=np.int32),
        np.array(quantities, np.int64),
        np.array(decimals, np.int8),
        table,
        np.array(unit_decimals, np.int8),
        np.zeros((count, 2), np.uint8),
        np.array([scale], np.int64),
        hi,
        lo,
        marks,
    )
    return (int(hi[0, 0]) << 64) + int(lo[0, 0]), int(marks[0])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(INT64, INT64, INT64, st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6))
def test_128_bit_sums_equal_python_integers_or_say_that_they_do_not_fit(rows):
    quantities, longs, shorts, decimals, unit_decimals = zip(*rows, strict=True)
    found, mark = lanes(quantities, list(zip(longs, shorts, strict=True)), decimals, unit_decimals, 18)
    terms = [abs(q) * (short if q < 0 else long) * 10 ** (18 - d - u) for q, long, short, d, u in rows]
    expected = sum(terms)
    if mark & kernels.WIDE:
        partial = [abs(sum(terms[:k])) for k in range(len(terms) + 1)]
        assert max(*map(abs, terms), *partial) >= 2**126
    else:
        assert found == expected


@given(st.lists(st.integers(-(2**127) + 1, 2**127 - 1), min_size=1, max_size=5), st.integers(0, 30))
def test_lanes_are_read_as_floats_within_a_few_ulp_of_their_own_size(values, scale):
    hi = np.array([[value >> 64] for value in values], np.int64)
    lo = np.array([[value & (2**64 - 1)] for value in values], np.uint64)
    out = np.empty((len(values), 1), np.float64)
    kernels.sums().to_floats(hi, lo, np.full(len(values), 10.0**scale), out)
    for value, found in zip(values, out[:, 0], strict=True):
        assert abs(Decimal(float(found)) * 10**scale - value) <= abs(value) * Decimal(2) ** -50


@given(st.lists(st.integers(0, 7), max_size=40), st.randoms(use_true_random=False))
def test_counting_order_is_a_stable_sort(keys, random):
    order = list(range(len(keys)))
    random.shuffle(order)
    found = kernels.rows().counting_order(np.array(keys, np.int32), 8, np.array(order, np.int64))
    assert found.tolist() == sorted(order, key=lambda k: keys[k])


def copied(values, cast="numeric"):
    """COPY BINARY of (row number, 7, value) from the real server."""
    listed = ", ".join(f"({k}, '{value}'::{cast})" for k, value in enumerate(values))
    stream = BytesIO()
    with connection.cursor() as cursor:
        cursor.copy_expert(
            f"COPY (SELECT k::bigint, 7::bigint, v FROM (VALUES {listed}) AS t (k, v)) TO STDOUT (FORMAT binary)",
            stream,
        )
    return stream.getvalue()


@pytest.mark.django_db
def test_numerics_come_out_of_postgresql_to_the_last_digit():
    chooser = random.Random(2008)
    values = ["0", "0.000000000000", "1", "-1", "10000", "100000000", "0.0001", "0.00000001", "-0.000000000001"]
    values += ["9223372036854775807", "-9223372036854775807", "92233720368547.75807", "1234567.8901", "0.00010000"]
    for _ in range(500):
        digits = chooser.randint(1, 18)
        places = chooser.randint(0, 12)
        values.append(str(Decimal(chooser.choice([1, -1]) * chooser.randrange(10**digits)).scaleb(-places)))
    found = copying.positions(copied(values), with_cost=False)
    assert found.account.tolist() == list(range(len(values)))
    assert set(found.instrument.tolist()) == {7}
    for text, mantissa, decimals in zip(values, found.quantity, found.decimals, strict=True):
        assert Decimal(int(mantissa)).scaleb(-int(decimals)) == Decimal(text)
        assert decimals == 0 or mantissa % 10 != 0  # the shortest form
    assert not found.refused


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("NaN", "is NaN"),
        ("Infinity", "is infinite"),
        ("-Infinity", "is infinite"),
        ("9223372036854775808", "has too many digits"),
        ("1234567890123456789.5", "has too many digits"),
        ("100000000000000000000", "has too many digits"),
        ("1e-40", "has too many digits"),
    ],
)
def test_a_number_that_cannot_be_held_refuses_its_account_by_name(value, reason):
    found = copying.positions(copied(["1", value, "2"]), with_cost=False)
    assert found.refused == ((1, f"instrument 7: quantity {reason}"),)
    assert found.quantity.tolist()[::2] == [1, 2]


@pytest.mark.django_db
def test_a_cost_may_be_missing_and_a_quantity_may_not():
    stream = BytesIO()
    rows = "(1::bigint, 5::bigint, 2.5, 100.25), (2, 5, 3, NULL), (3, 5, NULL, 1), (4, 5, 1, 'NaN')"
    with connection.cursor() as cursor:
        cursor.copy_expert(f"COPY (SELECT * FROM (VALUES {rows}) AS t) TO STDOUT (FORMAT binary)", stream)
    found = copying.positions(stream.getvalue(), with_cost=True)
    assert found.cost.tolist()[:2] == [10025, 0]
    assert found.cost_decimals.tolist()[:2] == [2, -1]
    assert found.refused == ((3, "instrument 5: quantity is missing"), (4, "instrument 5: cost is NaN"))


@pytest.mark.django_db
def test_every_truncation_of_a_stream_is_refused():
    whole = copied(["1.5", "-2", "10000"])
    for length in range(len(whole)):
        with pytest.raises(build.BadRows):
            copying.positions(whole[:length], with_cost=False)


@pytest.mark.django_db
def test_a_stream_of_another_shape_is_refused_with_its_row():
    with pytest.raises(build.BadRows, match=r"Row 1 .* 4 fields"):
        copying.positions(copied(["1"]), with_cost=True)
    with pytest.raises(build.BadRows, match="not a COPY BINARY"):
        copying.positions(b"1\t2\t3\n" * 10, with_cost=False)
    with pytest.raises(build.BadRows, match="bigint"):
        copying.positions(copied(["1"]).replace(struct.pack(">iq", 8, 7), struct.pack(">iq", -1, 7)), with_cost=False)


@given(st.binary(max_size=200))
def test_rubbish_behind_a_good_header_never_does_more_than_raise(rubbish):
    stream = b"PGCOPY\n\xff\r\n\0" + bytes(8) + rubbish
    try:
        copying.positions(stream, with_cost=False)
    except build.BadRows:
        return


def in_a_process(code, **environment):
    inherited = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}  # ours, once warm
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=environment.pop("cwd", ROOT),
        env={**inherited, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_importing_the_engine_does_not_import_numba():
    modules = "margin.engine.assess, margin.engine.sizing, margin.engine.copying, margin.due"
    found = in_a_process(f"import sys, {modules}; sys.exit('numba' in sys.modules)")
    assert found.returncode == 0, found.stderr


def test_the_engine_is_pure():
    modules = "margin.engine.assess, margin.engine.sizing, margin.engine.copying, margin.due"
    strangers = "{'django', 'psycopg2', 'celery', 'pandas', 'scipy'}"
    found = in_a_process(
        f"import sys, {modules}; from margin.engine import kernels; kernels.warm(); "
        f"sys.exit(str(sorted({strangers} & set(sys.modules))) if {strangers} & set(sys.modules) else 0)"
    )
    assert found.returncode == 0, found.stderr


def test_kernels_load_from_a_checkout_that_cannot_be_written(tmp_path):
    # A file stands where the cache would go: not even root can write there. The cache goes to a private folder.
    copy = tmp_path / "margin"
    shutil.copytree(ROOT / "margin" / "engine", copy / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "__init__.py").touch()
    (copy / "engine/kernels/__pycache__").touch()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    code = (
        "import os, sys; sys.path.insert(0, '.'); from margin.engine import kernels; kernels.rows();"
        "print(os.environ['NUMBA_CACHE_DIR'])"
    )
    first, second = (in_a_process(code, cwd=tmp_path, TMPDIR=str(temporary)) for _ in range(2))
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stdout == second.stdout
    folder = Path(first.stdout.strip()).parent
    assert folder.parent == temporary
    assert folder.stat().st_mode & 0o777 == 0o700
    assert list(folder.rglob("*.nbc"))


def test_the_cache_is_named_by_the_text_of_all_kernels(tmp_path):
    # A kernel inlines what it calls in another file, and numba's cache does not notice when that file changes.
    copy = tmp_path / "margin"
    shutil.copytree(ROOT / "margin" / "engine", copy / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "__init__.py").touch()
    code = (
        "import os, sys; sys.path.insert(0, '.'); from margin.engine import kernels; kernels.rows();"
        "print(os.environ['NUMBA_CACHE_DIR'])"
    )
    before = in_a_process(code, cwd=tmp_path)
    with (copy / "engine/kernels/machine.py").open("a") as source:
        source.write("# changed\n")
    after = in_a_process(code, cwd=tmp_path)
    assert before.returncode == after.returncode == 0, before.stderr + after.stderr
    assert before.stdout != after.stdout
