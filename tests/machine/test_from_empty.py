"""Calls live through anything, from a house in good order: no schedule breaks a promise."""

import pytest

from tests.machine.running import run


def test_forty_schedules_from_an_empty_house_break_no_promise(empty):
    print(f"\n{run(empty, schedules=40).table()}")


@pytest.mark.long
def test_two_hundred_schedules_from_an_empty_house_break_no_promise(empty):
    print(f"\n{run(empty, schedules=200, derandomize=False).table()}")
