"""FIX over real sockets: questions and their answers, silence, strangers, secrets."""

import ssl
from decimal import Decimal

import pytest

from margin.venues.interface import NotSent, Told, Unknown
from tests.venues.acceptor import Acceptor, text
from tests.venues.desk import alarms, kinds, open_venue, reports, until
from tests.venues.papers import Alarms, order

# --- asking ---------------------------------------------------------------------------------------------------


def test_asking_tells_an_orders_reports_again_and_how_it_stands(venue, acceptor):
    acceptor.fills = ["parts"]
    venue.send(order())
    venue.keep(reports(venue, 3))
    venue.ask(order())
    found = reports(venue, 4)
    assert [report.report_id for report in found] == ["L0001/E1", "L0001/E2", "L0001/E3", "L0001/status-accepted"]
    assert alarms(venue) == ""


def test_a_venue_that_executed_more_than_it_told_is_alarmed(venue, acceptor):
    venue.send(order())
    reports(venue, 1)
    acceptor.taken["L0001"].executed = Decimal(30)
    venue.ask(order())
    assert "says that 30 of order L0001 were executed, its reports say 0" in until(lambda: alarms(venue))


def test_an_order_that_never_left_is_never_heard_of(venue, acceptor):
    venue.ask(order())
    (report,) = reports(venue, 1)
    assert report.told is Told.NEVER_HEARD
    venue.keep([report])
    venue.send(order())
    assert acceptor.orders == {} or acceptor.orders == {"L0001": 1}
    until(lambda: acceptor.orders == {"L0001": 1})


def test_an_order_never_heard_of_is_not_sent_again_when_the_venue_asks_for_old_messages(venue, acceptor):
    venue.send(order())
    reports(venue, 1)
    acceptor.taken.clear()  # so it says that it never heard of it
    venue.ask(order())
    until(lambda: Told.NEVER_HEARD in {report.told for report in venue.reports()})
    acceptor.say("2", [(7, "1"), (16, "0")])
    until(lambda: "4" in kinds(acceptor))
    venue.try_out()
    assert {text(message, 35) for message in acceptor.seen if text(message, 43) == "Y"} == {"4"}  # gaps filled over


@pytest.mark.parametrize("echoes", [True, False])
def test_an_answer_to_a_question_put_before_the_order_left_is_not_believed(venue, acceptor, echoes):
    """Asked twice; after the first answer the order is sent; the second answer is older than the order."""
    acceptor.echoes = echoes
    venue.ask(order())
    venue.ask(order())
    report = reports(venue, 1)[0]  # with an echo the first answer counts, without one the second alone
    assert report.told is Told.NEVER_HEARD
    venue.keep([report])
    venue.send(order())
    until(lambda: acceptor.questions["L0001"] == 2 and acceptor.orders["L0001"] == 1)
    reports(venue, 1)
    assert [report.told for report in venue.reports() if report.told is Told.NEVER_HEARD] == []
    with pytest.raises(Unknown):
        venue.send(order())


# --- silence --------------------------------------------------------------------------------------------------


def test_silence_is_questioned_and_then_ends_the_line(tmp_path, acceptor):
    acceptor.answers_tests, acceptor.heartbeat = False, 1
    venue = open_venue(tmp_path, acceptor, heartbeat_seconds=1)
    until(lambda: acceptor.logons == 2, seconds=6)
    assert "1" in kinds(acceptor)  # TestRequest
    assert "0" in kinds(acceptor)  # and we beat meanwhile
    assert "was silent" in venue.line.last_fault
    venue.close()


def test_a_venue_that_does_not_beat_is_not_taken_for_dead(tmp_path, acceptor):
    acceptor.heartbeat = 0
    venue = open_venue(tmp_path, acceptor)
    until(lambda: venue.session.is_on)
    assert venue.session.heartbeat == 30
    venue.close()


def test_an_alarm_that_fails_does_not_end_the_listening(tmp_path, acceptor):
    def broken(subject: str, text: str) -> None:
        raise RuntimeError("the database is away")

    venue = open_venue(tmp_path, acceptor)
    venue.line.alarm = venue.session.hearing.alarm = broken
    acceptor.faults = ["same_twice"]
    venue.send(order())
    until(lambda: acceptor.logons == 2)
    odd = [(11, "L0001"), (17, "X1"), (150, "F"), (39, "2"), (32, "many"), (31, "1"), (60, "20261120-10:00:00")]
    acceptor.say("8", odd)  # nobody hears of it yet, so it stays unheard
    until(lambda: acceptor.logons >= 4)
    venue.session.hearing.alarm = venue.line.alarm = Alarms()
    assert "tag 32 is no number: 'many'" in until(lambda: alarms(venue))
    acceptor.execute("L0001", quantity=100)
    assert len(reports(venue, 2)) == 2
    venue.close()


def test_a_test_of_theirs_is_answered_by_name(venue, acceptor):
    until(lambda: venue.session.is_on)
    acceptor.say("1", [(112, "are you there")])
    beat = until(lambda: next((m for m in acceptor.seen if text(m, 35) == "0"), None))
    assert text(beat, 112) == "are you there"


def test_a_stranger_on_the_line_is_not_heard(venue, acceptor):
    until(lambda: venue.session.is_on)
    with acceptor.guard:
        said = acceptor.number("8", [])
        acceptor.write(said.bytes().replace(b"\x0149=VENUE", b"\x0149=EVENU"))
    assert "is not of this session" in until(lambda: alarms(venue))


# --- secrets --------------------------------------------------------------------------------------------------


def test_name_and_password_are_in_the_logon_and_nowhere_else(tmp_path, acceptor):
    venue = open_venue(tmp_path, acceptor, username="desk", password="very-secret")
    venue.send(order())
    reports(venue, 1)
    venue.close()
    logon = acceptor.seen[0]
    assert (text(logon, 553), text(logon, 554)) == ("desk", "very-secret")
    assert "very-secret" not in repr(venue.terms)
    assert all(b"very-secret" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_over_tls_with_a_certificate_that_is_checked(tmp_path, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Acceptor(tls=context) as acceptor:
        acceptor.fills = ["parts"]
        venue = open_venue(tmp_path / "a", acceptor, tls=True, ca_file=str(certificate), server_name="venue.example")
        venue.send(order())
        assert len(reports(venue, 3)) == 3
        venue.close()
        doubtful = open_venue(tmp_path / "b", acceptor, tls=True, server_name="venue.example", wait_seconds=0.3)
        with pytest.raises(NotSent, match="certificate"):
            doubtful.send(order())
        doubtful.close()
