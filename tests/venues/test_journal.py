"""The journal: what a venue is believed, what is executed by all that was heard, what a crash leaves."""

import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from margin.venues.interface import NotSent, Report, Told, Unknown
from margin.venues.journal import Contradiction, Journal
from tests.venues.papers import MORNING


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path)
    yield opened
    opened.close()


def report(name: str, told: Told = Told.FILLED, quantity: int = 0, refers_to: str = "") -> Report:
    return Report("v", name, "L1", told, MORNING, Decimal(quantity), Decimal(10), refers_to=refers_to)


def never(name: str) -> Report:
    return report(name, Told.NEVER_HEARD)


def test_without_an_echo_an_answer_counts_only_when_no_other_question_is_open(journal):
    """Answers that come in another order than the questions could else be taken one for the other."""
    journal.begin("L1", at=MORNING)
    first, second = journal.question("L1"), journal.question("L1")
    assert journal.answered("L1") == (first, False)
    assert journal.answered("L1") == (second, True)
    assert journal.answered("L1") == ("", False)


def test_an_answer_to_another_orders_question_answers_nothing(journal):
    other = journal.question("L2")
    assert journal.answered("L1", other) == (other, False)
    assert journal.answered("L2", other) == (other, True)
    assert journal.answered("L2", other) == (other, False)  # once


def test_an_unkept_never_heard_is_not_told_after_the_order_left_again(journal):
    journal.begin("L1", at=MORNING)
    journal.hear([never("N1")])
    assert journal.not_kept() == [never("N1")]
    assert journal.begin("L1", at=MORNING) == 2
    assert journal.not_kept() == []
    journal.question("L1")
    assert journal.not_kept() == []


def test_a_never_heard_heard_twice_does_not_withdraw_the_second_try(journal):
    journal.begin("L1", at=MORNING)
    journal.hear([never("N1")])
    journal.begin("L1", at=MORNING)
    journal.hear([never("N1")])
    with pytest.raises(Unknown):
        journal.begin("L1", at=MORNING)


FILL = report("F1", quantity=100)
LESS = report("C1", Told.CORRECTED, 80, "F1")


@pytest.mark.parametrize(
    ("heard", "left"),
    [
        ([FILL], 100),
        ([FILL, report("B1", Told.BUSTED, refers_to="F1")], 0),
        ([report("B1", Told.BUSTED, refers_to="F1"), FILL], 0),
        ([FILL, LESS], 80),
        ([FILL, LESS, report("C2", Told.CORRECTED, 70, "C1")], 70),
        ([FILL, LESS, report("C2", Told.CORRECTED, 70, "F1")], 70),
        ([FILL, LESS, report("B1", Told.BUSTED, refers_to="C1")], 0),
        ([report("F1", quantity=60), report("F2", quantity=40), report("B1", Told.BUSTED, refers_to="F2")], 60),
    ],
)
def test_what_is_executed_follows_every_bust_and_correction(journal, heard, left):
    journal.hear(heard)
    journal.hear(heard)
    assert journal.executed("L1") == left


def test_a_contradiction_takes_nothing_of_its_batch(journal):
    journal.hear([report("F1", quantity=100)])
    with pytest.raises(Contradiction, match="F1"):
        journal.hear([report("F2", quantity=1), replace(report("F1", quantity=100), price=Decimal(11))])
    assert [told.report_id for told in journal.not_kept()] == ["F1"]
    journal.hear([replace(report("F1", quantity=100), text="as we said")])  # other words are no contradiction


def test_figures_come_back_as_exactly_as_they_went_in(journal):
    sent = replace(report("F1", quantity=1), quantity=Decimal("0.100000000000000001"), price=Decimal("1E+3"))
    journal.hear([sent])
    (found,) = journal.not_kept()
    assert (found.quantity, found.price, found.at) == (sent.quantity, 1000, MORNING)


def die_amid_a_change(folder: str) -> None:
    journal = Journal(Path(folder))
    journal.hear([report("F1", quantity=100)])
    with journal.change():
        journal.set_number("next_in", 9)
        journal.hear([report("F2", quantity=50)])
        os._exit(9)


def test_a_process_killed_amid_a_change_leaves_what_was_before_it(tmp_path):
    child = multiprocessing.get_context("fork").Process(target=die_amid_a_change, args=(str(tmp_path),))
    child.start()
    child.join()
    journal = Journal(tmp_path)
    assert [told.report_id for told in journal.not_kept()] == ["F1"]
    assert journal.number("next_in", 1) == 1
    journal.close()


def test_a_journal_is_free_again_when_it_is_closed(tmp_path):
    first = Journal(tmp_path)
    with pytest.raises(NotSent, match=f"process {os.getpid()} holds"):
        Journal(tmp_path)
    first.close()
    Journal(tmp_path).close()
