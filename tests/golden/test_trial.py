"""The arithmetic of the trial's account-days, checked without the house."""

import pytest

from tests.golden import trial

DAYS = trial.days()


@pytest.mark.parametrize("day", DAYS, ids=str)
def test_the_written_arithmetic_gives_the_written_figures(day):
    if day.equity_is:
        assert trial.down(trial.worked_out(day.equity_is)) == day.equity
        assert trial.up(trial.worked_out(day.requirement_is)) == day.requirement
    if day.called_is:
        assert trial.up(trial.worked_out(day.called_is)) == day.called


def test_at_least_ten_account_days_are_worked_out_for_2008():
    assert len({(day.account, day.at) for day in trial.days("2008")}) >= 10
