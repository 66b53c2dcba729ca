"""Every state × every verb × every role, against a table written from the specification."""

from itertools import product

import pytest

from margin import calls
from margin.actors import CLIENT, Actor, system
from margin.models import MarginCall
from margin.rows import STATE_AFTER
from margin.workflow import AFTER_THE_END, TRANSITIONS, WITHOUT_CALL, State, Verb
from tests.workflow import table
from tests.workflow.table import TABLE

OF_THE_SYSTEM = frozenset(Verb) - set(TABLE) - WITHOUT_CALL
"""Verbs about a call that no person is asked about: sweeps, letters and calendars bring them."""
MOVED_BY_PERSONS = {verb: states for verb, (_, states) in TABLE.items() if verb in STATE_AFTER}


@pytest.mark.parametrize(("verb", "role"), list(product(TABLE, (*table.ROLES, CLIENT))))
def test_a_role_may_do_exactly_what_the_specification_gives_it(verb, role):
    person = Actor("x", role, 1)
    if table.may(verb, role):
        calls.require(person, verb)
    else:
        with pytest.raises(calls.Refused):
            calls.require(person, verb)


@pytest.mark.parametrize("verb", TABLE)
def test_the_system_is_not_asked_for_a_role(verb):
    calls.require(system("sweep 1"), verb)


def test_no_verb_is_open_to_people_but_those_of_the_table():
    assert set(calls.MAY) - set(TABLE) - WITHOUT_CALL - {Verb.ISSUE, Verb.MOVE_CURE} == set()


def door(verb: Verb, state: State) -> bool:
    """Whether the door lets a verb through for a call in that state; nothing is written."""
    call = MarginCall(pk=7, account_id=1, regime="house", deficiency_key="", state=state, seq=3)
    move = calls.Move(verb=verb, account_id=1, call_id=7)
    try:
        calls._call_of(move, {7: call}, {})
    except calls.IllegalMove:
        return False
    return True


@pytest.mark.parametrize(("verb", "state"), list(product(sorted(set(Verb) - WITHOUT_CALL - {Verb.ISSUE}), State)))
def test_the_door_lets_a_verb_through_only_in_its_states(verb, state):
    passes = door(verb, state)
    if verb in STATE_AFTER:
        assert passes == (STATE_AFTER[verb] in TRANSITIONS[state])
    else:
        assert passes == (state in table.OPEN or verb in AFTER_THE_END)
    if verb in TABLE and table.fits(verb, state):
        assert passes, f"the specification lets {verb} happen to a call that is {state}"


@pytest.mark.parametrize(("verb", "state"), list(product(MOVED_BY_PERSONS, State)))
def test_what_moves_a_call_to_another_state_happens_in_the_states_of_the_specification(verb, state):
    assert door(verb, state) == (state in MOVED_BY_PERSONS[verb])


def test_nothing_but_words_reaches_a_closed_call():
    assert {verb.name for verb in AFTER_THE_END} == {
        *("NOTE", "CONTACT", "OPEN_TASK", "CLOSE_TASK", "REVERSE_CURE"),
        *("FILL", "ORDER", "EXPIRE_PLAN"),  # what venues say late is kept and moves no call
    }


def test_every_verb_about_a_call_is_of_people_or_of_the_system():
    told = {
        *("NOTIFIED", "REMIND", "CHANGE", "FINALISE", "PROVISIONALLY_MEET", "BREACH_AGAIN", "LEVEL", "LIQUIDATE"),
        *("CURE", "MOVE_CURE", "REVERSE_CURE", "RESCHEDULE", "ISSUE"),
        *("ORDER", "EXPIRE_PLAN"),
    }
    assert {verb.name for verb in OF_THE_SYSTEM} == told
