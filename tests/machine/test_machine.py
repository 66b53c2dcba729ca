"""Calls live through anything: schedules of prices, money, people, letters, time and crashes break no promise."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.machine.machine import Life
from tests.machine.reach import SURELY, WANTED, Reach
from tests.machine.world import House

STEPS = 100


def run(house: House, *, schedules: int, reach: Reach | None = None, derandomize: bool = True) -> Reach:
    """So many schedules of a hundred steps; a schedule that breaks a promise is told step by step."""
    seen = reach if reach is not None else Reach()
    run_state_machine_as_test(
        type("Life", (Life,), {"house": house, "reach": seen}),
        settings=settings(
            max_examples=schedules,
            stateful_step_count=STEPS,
            derandomize=derandomize,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
            print_blob=True,
        ),
    )
    return seen


def test_forty_schedules_from_an_empty_house_break_no_promise(empty):
    seen = run(empty, schedules=40)
    assert seen.steps > 40 * STEPS
    print(f"\n{seen.table()}")


def test_sixty_schedules_from_the_middle_of_calls_lives_break_no_promise(furnished):
    seen = run(furnished, schedules=60)
    print(f"\n{seen.table()}")
    assert seen.steps > 60 * STEPS
    assert seen.missing(SURELY, floor=1) == []


@pytest.mark.long
def test_a_thousand_schedules_break_no_promise_and_see_every_transition_a_hundred_times(empty, furnished):
    seen = run(empty, schedules=250, derandomize=False)
    run(furnished, schedules=750, reach=seen, derandomize=False)
    print(f"\n{seen.table()}")
    assert seen.missing(WANTED, floor=100) == []
