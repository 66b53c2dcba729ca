"""Calls live through anything, from the middle of their lives: no schedule breaks a promise, and all is reached."""

import pytest

from tests.machine.reach import SURELY, WANTED, Reach
from tests.machine.running import run


def test_sixty_schedules_from_the_middle_of_calls_lives_break_no_promise(furnished):
    seen = run(furnished, schedules=60)
    print(f"\n{seen.table()}")
    assert seen.missing(SURELY, floor=1) == []


@pytest.mark.long
def test_eight_hundred_schedules_break_no_promise_and_see_every_transition_a_hundred_times(furnished):
    """Hypothesis draws some rules seldom; what is not yet seen a hundred times gets eight hundred more at most."""
    seen = Reach()
    for done in range(16):
        if done >= 8 and not seen.missing(WANTED, floor=100):
            break
        run(furnished, schedules=100, reach=seen, derandomize=False)
    print(f"\n{seen.table()}")
    assert seen.missing(WANTED, floor=100) == []
