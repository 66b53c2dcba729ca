"""What models said is heard again, bit by bit, and checked against what they say now."""

import numpy as np
import pytest

from margin.engine import memory, pricing

COLUMNS = (
    np.array([100.0, 101.0]),
    np.array([95.0, 110.0]),
    np.array([0.5, 1.0]),
    np.array([0.04, 0.04]),
    np.array([0.0, 0.02]),
    np.array([0.3, 0.4]),
    np.array([1.0, 0.0]),
)
SHOCKS = np.array([-0.15, 0.0, 0.15]), np.zeros(3)


def noted():
    with memory.noting() as notes:
        pricing.american_scenarios(*COLUMNS, *SHOCKS)
        pricing.implied_volatility(np.array([9.0, 15.0]), *COLUMNS[:5], COLUMNS[6], np.ones(2))
    return memory.Notes.unpack(notes.pack())


def test_a_model_says_what_it_said_then_though_it_would_say_something_else_now():
    notes = noted()
    notes.answers = {digest: said * (1 + 1e-12) for digest, said in notes.answers.items()}  # as another processor might
    with memory.recalling(notes):
        again = pricing.american_scenarios(*COLUMNS, *SHOCKS)
    now = pricing.american_scenarios(*COLUMNS, *SHOCKS)
    assert (again != now).all()
    assert (notes.recalled, notes.unknown, notes.beyond) == (1, 0, 0)
    assert 0 < notes.worst < 2e-12


def test_an_answer_that_no_longer_holds_is_counted():
    notes = noted()
    next(iter(notes.answers.values()))[0, 0] += 0.01
    with memory.recalling(notes):
        pricing.american_scenarios(*COLUMNS, *SHOCKS)
    assert notes.beyond == 1
    assert notes.worst > 1e-4


def test_a_question_that_was_never_asked_is_computed():
    notes = noted()
    with memory.recalling(notes):
        found = pricing.european_scenarios(*COLUMNS, *SHOCKS)
    assert (found == pricing.european_scenarios(*COLUMNS, *SHOCKS)).all()
    assert (notes.recalled, notes.unknown) == (0, 1)


def test_a_model_that_asks_another_is_one_question():
    with memory.noting() as notes:
        pricing.implied_volatility(np.array([9.0]), *(column[:1] for column in COLUMNS[:5]), np.ones(1), np.zeros(1))
    assert len(notes.answers) == 1


def test_why_there_is_no_volatility_is_recalled_too():
    price = np.array([1.0, 1000.0])
    with memory.noting() as notes:
        first = pricing.implied_volatility(price, *COLUMNS[:5], COLUMNS[6], np.zeros(2))
    with memory.recalling(notes):
        again = pricing.implied_volatility(price, *COLUMNS[:5], COLUMNS[6], np.zeros(2))
    assert first.reason.tolist() == again.reason.tolist() == [pricing.BELOW, pricing.ABOVE]


def test_nothing_asked_is_nothing_to_keep():
    with memory.noting() as notes:
        pass
    assert notes.pack() == b""
    assert memory.Notes.unpack(b"").answers == {}


def test_notes_that_are_no_file_of_arrays_are_refused():
    with pytest.raises(ValueError, match="pickled"):
        memory.Notes.unpack(b"no such file")
