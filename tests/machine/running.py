"""How the machine is run: so many schedules of a hundred steps, and what they have seen."""

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.machine.core import STEPS
from tests.machine.machine import Life
from tests.machine.reach import Reach
from tests.machine.world import House


def run(house: House, *, schedules: int, reach: Reach | None = None, derandomize: bool = True, **also: Any) -> Reach:
    """So many schedules, each of all its steps; one that breaks a promise is told step by step."""
    seen = reach if reach is not None else Reach()
    before = seen.whole
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
            **also,
        ),
        _min_steps=STEPS,  # else one schedule in ten ends early
    )
    assert seen.whole - before >= schedules
    return seen
