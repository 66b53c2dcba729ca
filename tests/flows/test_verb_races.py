"""Two verbs at the same instant on the same call: what cannot both happen does not, and the history stays legal."""

import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from itertools import combinations_with_replacement
from typing import Any

import pytest
from django.db import connection, connections

from accounts import positions
from backoffice import promises
from margin import approvals, booking, calls, claims, disputes, history, liquidation, requests, sweep
from margin.models import Event, MarginCall, Plan
from margin.workflow import Cause, Resolution
from tests.conftest import committed_clone
from tests.margin import rows, world
from tests.margin.rows import SWEEPER
from tests.margin.world import MONDAY, minutes, quote

LATER = MONDAY + minutes(5)
HOUR = timedelta(hours=1)
Deed = Callable[[MarginCall], Any]
CLOSING = frozenset({"meet", "cancel", "liquidate"})
ISSUED = ("escalate", "meet", "cancel", "extend", "accelerate", "hold", "dispute", "claim", "note")
ESCALATED = ("meet", "cancel", "liquidate", "hold", "note")
# What cannot follow a verb; a closed call takes notes alone.
BLOCKS = {
    "escalate": {"escalate", "extend"},
    "extend": {"extend"},
    "accelerate": {"accelerate"},
    "hold": {"hold"},
    "dispute": {"dispute"},
    "claim": set(),
    "note": set(),
    # a fill that happened is booked on a closed call too, and moves it no more
    **{closing: {*ISSUED, *ESCALATED} - {"note"} - ({"liquidate"} - {closing}) for closing in CLOSING},
}


@pytest.fixture(scope="module")
def house(django_db_setup, django_db_blocker, server):
    """A committed house in which every account that opens is called for 100.00."""
    with committed_clone(server, django_db_blocker):
        rows.policy("us_margin", world.securities())
        rows.cash()
        quote(rows.equity("XYZ", max_age_seconds=10**6), "50", MONDAY)
        people = {
            name: rows.staff(name, role)
            for name, role in (("ops", "Operations"), ("sue", "Supervisor"), ("sam", "Supervisor"), ("rita", "Risk"))
        }
        yield people
        connection.close()


def called(state: str, people: dict[str, Any], number: int) -> MarginCall:
    """A new account, its call, and all that people have asked about it."""
    account = rows.account()
    held = [
        (account.pk, rows.equity("XYZ").pk, Decimal(100), Decimal(5000)),
        (account.pk, rows.cash().pk, Decimal(-3600), None),
    ]
    positions.write(held, cause="book", reference="test", effective_at=MONDAY)
    sweep.run(sweep.ATTENTION, at=MONDAY, slot_at=MONDAY + timedelta(seconds=number), ids=[account.pk])
    call = MarginCall.objects.select_related("account", "policy_version").get(account=account)
    ops, rita = people["ops"], people["rita"]
    asking = {"at": LATER, "reason": "asked"}
    requests.ask_hold(call, until=LATER + HOUR, actor=ops, **asking)
    if state == "issued":
        requests.ask_retraction([call], reason_code="bad_price", actor=ops, **asking)
        requests.ask_extension(call, until=call.due_at + HOUR, reason_code="other", actor=ops, **asking)
        requests.ask_acceleration(call, due_at=LATER + HOUR, actor=rita, **asking)
    else:
        call = calls.escalate(call, cause=Cause.SEVERITY, at=LATER, actor=SWEEPER)
        requests.ask_retraction([call], reason_code="bad_price", actor=ops, **asking)
        approvals.approve(liquidation.propose(call, at=LATER, actor=ops), at=LATER, actor=people["sue"])
    return call


def granted(kind: str, people: dict[str, Any], name: str) -> Deed:
    return lambda call: requests.grant(call.requests.get(kind=kind), at=LATER, actor=people[name], reason="yes")


def filled(people: dict[str, Any], reference: str) -> Deed:
    def deed(call: MarginCall) -> Any:
        line = Plan.objects.get(call=call).lines.select_related("instrument").get()
        return booking.record_fill(
            line, quantity=line.quantity, price=Decimal(50), fee=Decimal(0), source="desk",
            external_reference=reference, at=LATER, actor=people["ops"],
        )  # fmt: skip

    return deed


def deed(verb: str, people: dict[str, Any], turn: int) -> Deed:
    """A verb by one of two people; `turn` tells them apart."""
    checker = ("sue", "sam")[turn]
    deeds: dict[str, Deed] = {
        "escalate": lambda call: calls.escalate(
            call, cause=Cause.PERSON, at=LATER, actor=people[checker], reason="away"
        ),
        "meet": lambda call: calls.meet(call, how=Resolution.CASH, at=LATER, actor=SWEEPER),
        "cancel": granted("retraction", people, checker),
        "extend": granted("extension", people, checker),
        "accelerate": granted("acceleration", people, checker),
        "hold": granted("hold", people, checker),
        "liquidate": lambda call: filled(people, f"{call.pk}-{turn}")(call),
        "dispute": lambda call: disputes.dispute(
            call, amount=Decimal(10), reason_code="position", reason="no", at=LATER, actor=people["ops"]
        ),
        "claim": lambda call: claims.claim(
            call, amount=Decimal(10), currency="USD", method="wire", reference=f"R{turn}", at=LATER,
            actor=people["ops"],
        ),
        "note": lambda call: calls.note(call, text="rang", at=LATER, actor=people["ops"]),
    }  # fmt: skip
    return deeds[verb]


def race(call: MarginCall, deeds: list[Deed]) -> list[Exception | None]:
    """What became of each when all start together."""
    barrier, ends = threading.Barrier(len(deeds)), [None] * len(deeds)

    def run(place: int) -> None:
        try:
            mine = MarginCall.objects.select_related("account", "policy_version").get(pk=call.pk)
            barrier.wait()
            deeds[place](mine)
        except Exception as error:
            ends[place] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(deeds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


def possible(first: str, second: str) -> list[tuple[bool, bool]]:
    """(first done, second done) as some order of the two explains it."""
    orders = [(True, second not in BLOCKS[first]), (first not in BLOCKS[second], True)]
    return sorted(set(orders))


PAIRS = [
    (state, *pair)
    for state, verbs in (("issued", ISSUED), ("escalated", ESCALATED))
    for pair in combinations_with_replacement(verbs, 2)
]


def conflict(first: str, second: str) -> bool:
    return possible(first, second) != [(True, True)]


@pytest.mark.parametrize(
    ("state", "first", "second"),
    [pair if conflict(*pair[1:]) else pytest.param(*pair, marks=pytest.mark.long) for pair in PAIRS],
)
def test_two_verbs_at_once_end_as_one_after_the_other(house, state, first, second):
    call = called(state, house, PAIRS.index((state, first, second)))
    ends = race(call, [deed(first, house, 0), deed(second, house, 1)])
    refusals = [end for end in ends if end is not None]
    assert all(isinstance(end, calls.CallError) for end in refusals), refusals
    assert tuple(end is None for end in ends) in possible(first, second)
    assert history.verify(call.account) == []
    closings = Event.objects.filter(call=call, kind__in=("call.met", "call.cancelled", "call.liquidated")).count()
    assert closings <= 1
    with connection.cursor() as cursor:
        for name in ("I4 a call's row is what its last event says", "I4 a call's states follow one another legally"):
            cursor.execute(promises.CALLS[name])
            assert cursor.fetchall() == [], name
        cursor.execute(promises.CALLS["I10 what is closed stays closed"])
        assert cursor.fetchall() == []


def test_of_two_who_close_a_call_one_wins():
    assert all(
        possible(one, other) == [(False, True), (True, False)]
        for one in CLOSING
        for other in CLOSING
        if one == other or "liquidate" not in (one, other)  # a fill that happened is booked on a closed call too
    )
