"""Any faults in any order: each order arrives at most once, and both sides end with the same executions."""

import multiprocessing
import os
import random
from pathlib import Path

import pytest

from margin.venues.fix.line import Line
from margin.venues.interface import Report, Told
from tests.venues.acceptor import Acceptor
from tests.venues.desk import Desk, open_venue, until
from tests.venues.papers import order

FAULTS = ["none", "lose", "cut_after", "drip", "join", "twice", "same_twice", "swap", "withhold", "garble"]
FILLS = ["accept", "fill", "parts", "reject", "bust", "correct"]
ORDERS = 8


def executions(desk: Desk, own: str) -> set[str]:
    """ExecIDs heard of one order; what answers to questions told is beside them."""
    ids = {report.report_id.partition("/")[2] for report in desk.heard.values() if report.client_order_id == own}
    return {name for name in ids if name.startswith("E")}


def play(folder: Path, seed: int) -> None:
    dice = random.Random(seed)
    with Acceptor(echoes=dice.random() < 0.7) as acceptor:
        acceptor.faults = [dice.choice(FAULTS) for _ in range(ORDERS * 2)]
        acceptor.fills = [dice.choice(FILLS) for _ in range(ORDERS * 2)]
        stale = dice.choice([-1.0, 10.0])
        desk = Desk(open_venue(folder, acceptor, resend_seconds=stale))
        for number in range(1, ORDERS + 1):
            if dice.random() < 0.2:
                acceptor.cut()
            if dice.random() < 0.2:  # our own process ends and begins again
                desk.venue.close()
                desk.venue = open_venue(folder, acceptor, resend_seconds=stale)
            desk.carry(order(number))
        desk.carry(order(ORDERS + 1))  # what was withheld is missed when the next message comes
        until(lambda: desk.listen() or all(executions(desk, own) == acceptor.told[own] for own in acceptor.told))
        assert set(acceptor.orders) == {f"L{number:04d}" for number in range(1, ORDERS + 2)}
        assert set(acceptor.orders.values()) == {1}
        for own, taken in acceptor.taken.items():
            assert desk.venue.journal.executed(own) == taken.executed
        desk.venue.close()


@pytest.mark.parametrize("seed", range(6))
def test_any_faults_leave_each_order_once_and_the_same_executions(tmp_path, seed):
    play(tmp_path, seed)


@pytest.mark.long
def test_a_hundred_more_seeds(tmp_path):
    for seed in range(100, 200):
        play(tmp_path / str(seed), seed)


# --- killed -------------------------------------------------------------------------------------------------


def send_and_die(folder: str, port: int, step: int) -> None:
    """A sender that dies between the journal and the line (step 0), amid the bytes (1), or just after them (2)."""
    gone = Acceptor()
    gone.port = port
    venue = open_venue(Path(folder), gone)
    until(lambda: venue.session.is_on)
    flush = Line._flush

    def dying(line: Line) -> None:
        if step == 1 and line._socket is not None and line.session.out:
            line._socket.sendall(line.session.out[0][:40])
        elif step == 2:
            flush(line)
        os._exit(9)

    with venue.line._guard:  # the thread that listens waits meanwhile
        Line._flush = dying  # type: ignore[method-assign]
        venue.send(order())


def kill_and_recover(folder: Path, step: int, stale: float) -> None:
    with Acceptor(fills=["parts"]) as acceptor:
        context = multiprocessing.get_context("fork")
        child = context.Process(target=send_and_die, args=(str(folder), acceptor.port, step))
        child.start()
        child.join()
        assert child.exitcode == 9
        desk = Desk(open_venue(folder, acceptor, resend_seconds=stale))
        desk.carry(order())
        until(lambda: desk.listen() or len(executions(desk, "L0001")) == 3)
        assert acceptor.orders == {"L0001": 1}
        desk.venue.close()


@pytest.mark.parametrize("stale", [-1.0, 10.0])
@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_sender_killed_while_it_sends_leaves_one_order_and_all_its_reports(tmp_path, step, stale):
    kill_and_recover(tmp_path, step, stale)


@pytest.mark.long
def test_a_sender_killed_a_hundred_times_leaves_one_order_each_time(tmp_path):
    for number in range(100):
        kill_and_recover(tmp_path / str(number), number % 3, (-1.0, 10.0)[number % 2])


def test_the_hundredth_report_is_told_like_the_first(tmp_path):
    """A burst: every execution of a hundred is heard once, in order, over lines that keep breaking."""
    with Acceptor() as acceptor:
        venue = open_venue(tmp_path, acceptor)
        venue.send(order())
        until(lambda: list(venue.reports()))
        for number in range(100):
            acceptor.execute("L0001", quantity=1)
            if number % 25 == 24:
                acceptor.cut()
        fills: list[Report] = until(lambda: len(found := list(venue.reports())) == 101 and found, seconds=10)[1:]
        assert [report.told for report in fills] == [Told.FILLED] * 100
        assert [report.report_id for report in fills] == [f"L0001/E{number}" for number in range(2, 102)]
        assert venue.journal.executed("L0001") == 100
        venue.close()
