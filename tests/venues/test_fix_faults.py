"""FIX over real sockets, one fault at a time: what the venue does, and what is left of it on our side."""

import socket
import sqlite3
import time
from decimal import Decimal
from typing import Any

import pytest

from margin.venues.fix import session
from margin.venues.interface import NotSent, Side, Told, Unknown
from tests.venues.acceptor import Acceptor, text
from tests.venues.desk import alarms, kinds, open_venue, reports, until
from tests.venues.papers import order

# --- what should happen ---------------------------------------------------------------------------------------


def test_an_order_is_sent_as_a_limit_order_of_the_day(venue, acceptor):
    venue.send(order())
    message = until(lambda: next((m for m in acceptor.seen if text(m, 35) == "D"), None))
    tags = {11: "L0001", 1: "M-1001", 55: "ACME", 54: "2", 38: "100", 40: "2", 44: "24.5", 15: "USD", 59: "0", 21: "1"}
    assert {tag: text(message, tag) for tag in tags} == tags
    assert text(message, 60)[-4] == "."  # TransactTime in milliseconds
    assert text(message, 97) == ""  # never PossResend


def test_an_order_at_the_market_to_buy_has_no_price(venue, acceptor):
    venue.send(order(limit=None, side=Side.BUY))
    message = until(lambda: next((m for m in acceptor.seen if text(m, 35) == "D"), None))
    assert (text(message, 40), text(message, 44), text(message, 54)) == ("1", "", "1")


def test_fills_are_told_with_quantity_price_and_fee_until_they_are_kept(venue, acceptor):
    acceptor.fills = ["parts"]
    venue.send(order())
    found = reports(venue, 3)
    assert [(r.told, r.quantity, r.price, r.fee) for r in found] == [
        (Told.ACCEPTED, 0, 0, 0),
        (Told.FILLED, 50, Decimal("24.55"), Decimal("0.25")),
        (Told.FILLED, 50, Decimal("24.50"), Decimal("0.25")),
    ]
    assert found[0].report_id == "L0001/E1"
    assert found[0].venue_order_id == "V-L0001"
    assert abs(time.time() - found[1].at.timestamp()) < 60
    venue.keep(found[:2])
    assert list(venue.reports()) == found[2:]


def test_a_rejected_order_is_told_with_the_venues_words(venue, acceptor):
    acceptor.fills = ["reject"]
    venue.send(order())
    (report,) = reports(venue, 1)
    assert (report.told, report.text) == (Told.REJECTED, "no such instrument")


def test_a_bust_and_a_correction_name_their_execution(venue, acceptor):
    acceptor.fills = ["bust", "correct"]
    venue.send(order(1))
    venue.send(order(2))
    found = reports(venue, 7)
    assert [(r.told, r.refers_to) for r in found if r.refers_to] == [
        (Told.BUSTED, found[1].report_id),
        (Told.CORRECTED, found[5].report_id),
    ]
    assert (found[6].quantity, found[6].price) == (100, Decimal("24.45"))
    assert venue.journal.executed("L0001") == 50
    assert venue.journal.executed("L0002") == 100


def test_what_is_left_of_an_order_is_cancelled_and_a_second_cancel_refused(venue):
    venue.send(order())
    venue.cancel(order())
    assert [report.told for report in reports(venue, 2)] == [Told.ACCEPTED, Told.CANCELLED]
    venue.cancel(order())
    assert reports(venue, 3)[2].told is Told.CANCEL_REFUSED
    assert {report.client_order_id for report in venue.reports()} == {"L0001"}


def test_goodbye_is_said_and_answered(tmp_path, acceptor):
    venue = open_venue(tmp_path, acceptor)
    venue.try_out()
    venue.close()
    assert kinds(acceptor) == "A15"
    assert alarms(venue) == ""


def test_the_numbers_go_on_after_a_restart(tmp_path, acceptor):
    for number in (1, 2, 3):
        venue = open_venue(tmp_path, acceptor)
        venue.send(order(number))
        assert len(reports(venue, number)) == number
        venue.close()
    assert acceptor.orders == {"L0001": 1, "L0002": 1, "L0003": 1}
    assert "2" not in kinds(acceptor)  # nobody missed anything


# --- lines that break -----------------------------------------------------------------------------------------


def test_nobody_there_means_not_sent(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    gone = Acceptor()
    gone.port = port
    venue = open_venue(tmp_path, gone, wait_seconds=0.3)
    with pytest.raises(NotSent, match=r"not logged on: .*refused"):
        venue.send(order())
    until(lambda: "No order leaves until the session stands again" in alarms(venue))
    venue.close()


def test_an_order_lost_on_the_way_is_sent_again_under_its_number_and_arrives_once(venue, acceptor):
    acceptor.faults = ["lose"]
    venue.send(order())
    assert [report.told for report in reports(venue, 1)] == [Told.ACCEPTED]
    assert acceptor.orders == {"L0001": 1}
    again = [message for message in acceptor.seen if text(message, 35) == "D"]
    assert [text(message, 43) for message in again] == ["", "Y"]
    assert text(again[1], 122) == text(again[0], 52)  # OrigSendingTime
    assert text(again[1], 34) == text(again[0], 34)


def test_an_order_that_the_journal_cannot_hold_does_not_leave(venue, acceptor, monkeypatch):
    def full(*_: Any, **__: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    until(lambda: venue.session.is_on)
    with monkeypatch.context() as patched:
        patched.setattr(venue.journal, "add_sent", full)
        with pytest.raises(NotSent, match="cannot be written: database or disk is full"):
            venue.send(order(1))
    venue.send(order(2))
    reports(venue, 1)
    assert acceptor.orders == {"L0002": 1}
    venue.send(order(1))
    assert len(reports(venue, 2)) == 2
    assert acceptor.orders == {"L0001": 1, "L0002": 1}
    assert alarms(venue) == ""


def test_two_sides_that_both_missed_something_do_not_wait_for_each_other(venue, acceptor):
    venue.send(order(1))
    reports(venue, 1)
    with acceptor.guard:
        acceptor.number("8", acceptor._fill("L0001", Decimal(100), "24.50"))  # lost on the way to us
    acceptor.faults = ["lose"]
    venue.send(order(2))  # lost on the way to it
    assert {report.report_id for report in reports(venue, 3)} == {"L0001/E1", "L0001/E2", "L0002/E3"}
    assert acceptor.orders == {"L0001": 1, "L0002": 1}


def test_a_stale_order_is_never_sent_again_but_asked_about(tmp_path, acceptor):
    acceptor.faults = ["lose"]
    venue = open_venue(tmp_path, acceptor, resend_seconds=-1)
    venue.send(order())
    (report,) = reports(venue, 1)
    assert report.told is Told.NEVER_HEARD
    assert acceptor.orders == {}
    assert kinds(acceptor).count("4") == 1  # a gap was filled over it
    venue.keep([report])
    venue.send(order())  # a new decision
    until(lambda: acceptor.orders == {"L0001": 1})
    venue.close()


def test_an_answer_lost_with_the_line_comes_after_the_next_logon(venue, acceptor):
    acceptor.faults, acceptor.fills = ["cut_after"], ["parts"]
    venue.send(order())
    assert [report.told for report in reports(venue, 3)] == [Told.ACCEPTED, Told.FILLED, Told.FILLED]
    assert acceptor.orders == {"L0001": 1}


def test_an_order_handed_over_once_is_unknown_ever_after(venue, acceptor):
    venue.send(order())
    with pytest.raises(Unknown, match="ask the venue"):
        venue.send(order())
    venue.send(order(2))  # what the refused one would have used is not missing
    assert len(reports(venue, 2)) == 2
    assert acceptor.orders == {"L0001": 1, "L0002": 1}


def test_a_fill_that_came_while_we_were_away_is_heard(tmp_path, acceptor):
    venue = open_venue(tmp_path, acceptor)
    venue.send(order())
    reports(venue, 1)
    venue.close()
    acceptor.execute("L0001", quantity=100)
    venue = open_venue(tmp_path, acceptor)
    assert reports(venue, 2)[1].told is Told.FILLED
    venue.close()


# --- bytes and numbers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drip", "join", "twice", "swap", "withhold", "garble"])
def test_every_report_is_told_once_in_order_whatever_the_line_does(venue, acceptor, fault):
    acceptor.faults, acceptor.fills = [fault], ["parts"]
    venue.send(order(1))
    venue.send(order(2))  # what was withheld is missed when the next one comes
    found = reports(venue, 4)
    assert [r.report_id for r in found] == ["L0001/E1", "L0001/E2", "L0001/E3", "L0002/E4"]
    assert acceptor.orders == {"L0001": 1, "L0002": 1}
    assert alarms(venue) == ""


def test_a_number_used_twice_ends_the_session_with_an_alarm_and_loses_nothing(venue, acceptor):
    acceptor.faults, acceptor.fills = ["same_twice"], ["parts"]
    venue.send(order())
    assert len(reports(venue, 3)) == 3
    until(lambda: "MsgSeqNum too low, expecting" in alarms(venue))
    until(lambda: acceptor.logons == 2)
    venue.send(order(2))
    assert len(reports(venue, 4)) == 4


def test_a_venue_that_lost_count_is_not_believed_and_a_reset_is_a_persons_decision(tmp_path, acceptor):
    venue = open_venue(tmp_path, acceptor)
    venue.send(order())
    reports(venue, 1)
    venue.close()
    acceptor.said, acceptor.next_in = [], 1  # restored from nothing
    venue = open_venue(tmp_path, acceptor, wait_seconds=0.3)
    with pytest.raises(NotSent):
        venue.send(order(2))
    assert "agree with the venue before you reset" in until(lambda: alarms(venue))
    assert acceptor.logons == 2  # it is not tried on: its numbers would climb to ours and hide what is missing
    session.begin_anew(venue.journal)
    until(lambda: venue.session.is_on)
    venue.send(order(2))
    assert len(reports(venue, 2)) == 2
    assert acceptor.orders == {"L0001": 1, "L0002": 1}
    venue.close()


def test_numbers_may_begin_anew_at_each_logon_where_that_is_agreed(tmp_path, acceptor):
    for number in (1, 2):
        venue = open_venue(tmp_path, acceptor, resets_each_logon=True)
        venue.send(order(number))
        assert len(reports(venue, number)) == number
        venue.close()
    assert [text(m, 34) for m in acceptor.seen if text(m, 35) == "A"] == ["1", "1"]


def test_a_skip_without_gap_fill_is_alarmed(venue, acceptor):
    until(lambda: venue.session.is_on)
    acceptor.say("4", [(36, "9")])
    assert "reports may be missing" in until(lambda: alarms(venue))
    while len(acceptor.said) < 8:
        acceptor.number("0", [])
    acceptor.fills = ["fill"]
    venue.send(order())
    assert len(reports(venue, 2)) == 2


def test_an_execution_that_cannot_be_read_is_rejected_alarmed_and_holds_nothing_up(venue, acceptor):
    until(lambda: venue.session.is_on)
    acceptor.say(
        "8", [(11, "L0001"), (17, "X1"), (150, "F"), (39, "2"), (32, "many"), (31, "1"), (60, "20261120-10:00:00")]
    )
    acceptor.fills = ["fill"]
    venue.send(order())
    assert len(reports(venue, 2)) == 2
    assert "tag 32 is no number: 'many'" in alarms(venue)
    assert "book it by hand" in alarms(venue)
    reject = until(lambda: next((m for m in acceptor.seen if text(m, 35) == "3"), None))
    assert (text(reject, 371), text(reject, 372), text(reject, 373)) == ("32", "8", "6")


def test_an_execution_told_again_with_another_price_is_alarmed_and_the_first_stands(venue, acceptor):
    acceptor.fills = ["fill"]
    venue.send(order())
    reports(venue, 2)
    acceptor.executions -= 1
    acceptor.execute("L0001", quantity=100, price="30")
    assert "heard before with other contents" in until(lambda: alarms(venue))
    assert [report.price for report in venue.reports()] == [0, Decimal("24.50")]


def test_a_message_of_ours_that_is_refused_is_a_refused_order(venue, acceptor):
    acceptor.faults = ["withhold"]
    venue.send(order())
    sent = until(lambda: next((m for m in acceptor.seen if text(m, 35) == "D"), None))
    acceptor.said.pop()  # it says this instead
    acceptor.say("j", [(45, text(sent, 34)), (372, "D"), (380, "2"), (58, "unknown security")])
    (report,) = reports(venue, 1)
    assert (report.told, report.text, report.client_order_id) == (Told.REJECTED, "unknown security", "L0001")
