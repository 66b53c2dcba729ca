"""The machine finds bugs: each planted one within 200 schedules, most within the first few."""

import time

import pytest
from django.db import DatabaseError

from margin.calls import CallError
from tests.machine import planted, planted_orders
from tests.machine.reach import Reach
from tests.machine.running import run

BUGS = {**planted.BUGS, **planted_orders.BUGS}
MOST = 200
FINDS = (AssertionError, DatabaseError, CallError, ExceptionGroup)
"""What a broken house raises; a slip that does not run finds nothing."""
QUICK = (
    "an open call is forgotten once it is escalated",
    "a call is escalated before it is due",
    "the greater of two is outstanding",
    "an account is left out of what matters",
)
"""Found within three schedules: these prove in every run that the machine still finds bugs."""


def schedules_until_found(house, bug: str, execute, *, most: int) -> tuple[int, str]:
    """(how many schedules it took, what was said); fails if the bug survives them all."""
    seen = Reach()
    with BUGS[bug].planted(execute):
        try:
            run(house, schedules=most, reach=seen)
        except FINDS as found:
            return seen.found_in or seen.schedules, f"{type(found).__name__}: {str(found)[:160]}"
    pytest.fail(f"{bug}: not found in {seen.schedules} schedules")


@pytest.fixture
def execute(furnished, superuser):
    connected = superuser()
    connected.autocommit = True

    def statement(text: str) -> None:
        with connected.cursor() as cursor:
            cursor.execute(text)

    return statement


@pytest.mark.parametrize("bug", [bug if bug in QUICK else pytest.param(bug, marks=pytest.mark.long) for bug in BUGS])
def test_a_planted_bug_is_found(furnished, execute, bug):
    started = time.monotonic()
    number, said = schedules_until_found(furnished, bug, execute, most=MOST)
    print(f"\n{bug}: {number} schedules, {time.monotonic() - started:.1f} s: {said}")
