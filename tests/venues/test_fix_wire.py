"""Framing: the same messages come out however their bytes are cut, joined or damaged on the way."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.venues.fix import messages, wire
from margin.venues.fix.wire import Frames, Message, Unreadable
from margin.venues.interface import Told

# A heartbeat by hand, 8=…|9=BodyLength|35=0|…|10=CheckSum as FIX 4.4, volume 2, defines them: the body
# 35=0|49=A|56=B|34=1|52=20261120-15:30:00| has 5 + 5 + 5 + 5 + 21 = 41 bytes.
BODY = b"35=0\x0149=A\x0156=B\x0134=1\x0152=20261120-15:30:00\x01"
HEARTBEAT = b"8=FIX.4.4\x019=41\x01" + BODY


def checked(data: bytes) -> bytes:
    return data + f"10={sum(data) % 256:03d}\x01".encode()


ONE = checked(HEARTBEAT)
TWO = checked(HEARTBEAT.replace(b"34=1", b"34=2"))


def numbers(found: list[Message]) -> list[str]:
    return [message.get(34) for message in found]


def test_a_message_by_hand_is_read_and_written_byte_for_byte():
    assert len(BODY) == 41
    assert wire.encode("0", [(49, "A"), (56, "B"), (34, "1"), (52, "20261120-15:30:00")], ()) == ONE
    (found,) = Frames().feed(ONE)
    assert (found.kind, found.get(49), found.instant(52)) == ("0", "A", datetime(2026, 11, 20, 15, 30, tzinfo=UTC))


@given(st.lists(st.integers(0, 2 * len(ONE)), max_size=12))
def test_cut_anywhere_and_joined_anyhow_it_is_the_same(cuts):
    frames, stream, found = Frames(), ONE + TWO, []
    places = [0, *sorted(cuts), len(stream)]
    for start, end in pairwise(places):
        found += frames.feed(stream[start:end])
    assert numbers(found) == ["1", "2"]
    assert frames.garbled == 0


@given(place=st.integers(0, len(ONE) - 1), change=st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_loses_its_message_and_no_other(place, change):
    damaged = bytearray(ONE)
    damaged[place] ^= change
    assert numbers(Frames().feed(bytes(damaged) + TWO + TWO)) == ["2", "2"]


@given(st.binary(max_size=300))
def test_noise_before_a_message_is_passed_over(noise):
    assert numbers(Frames().feed(noise + TWO + TWO)) == ["2", "2"]


def test_a_length_beyond_all_measure_is_not_waited_for():
    frames = Frames()
    assert frames.feed(b"8=FIX.4.4\x019=99999\x0135=8\x01") == []
    assert frames.garbled == 1


@pytest.mark.parametrize("body", [b"49=A\x0135=0\x0156=B\x0134=1\x01", b"35=0\x01xx=1\x0149=A\x0134=1\x01"])
def test_a_sound_frame_that_is_no_message_counts_as_garbled(body):
    frames = Frames()
    assert frames.feed(checked(f"8=FIX.4.4\x019={len(body)}\x01".encode() + body)) == []
    assert frames.garbled == 1


@pytest.mark.parametrize("text", ["1e5", "NaN", "Infinity", "0x10", "1,5", "--1", "1" * 30, "１"])
def test_an_odd_number_is_unreadable(text):
    with pytest.raises(Unreadable):
        Message(((32, text),)).amount(32)


@pytest.mark.parametrize("text", ["20261320-10:00:00", "2026-11-20T10:00:00Z", "20261120-25:00:00", "now"])
def test_an_odd_instant_is_unreadable(text):
    with pytest.raises(Unreadable):
        Message(((60, text),)).instant(60)


def test_an_instant_keeps_its_microseconds():
    assert Message(((60, "20261120-15:30:00.123456789"),)).instant(60).microsecond == 123456
    assert Message(((60, "20261120-15:30:00.5"),)).instant(60).microsecond == 500_000


def execution(*more: tuple[int, str]) -> Message:
    fixed = ((35, "8"), (52, "20261120-15:30:00"), (37, "V"), (11, "L1"), (17, "E1"), (39, "2"))
    return Message((*fixed, *more))


def test_a_commission_per_unit_and_other_fees_add_up():
    """0.01 each on 250 is 2.50; with 0.30 and 0.20 beside it 3.00."""
    fees = ((12, "0.01"), (13, "1"), (136, "2"), (137, "0.30"), (139, "4"), (137, "0.20"), (139, "7"))
    report = messages.execution(execution((150, "F"), (32, "250"), (31, "10"), *fees), venue="v")
    assert report is not None
    assert report.fee == Decimal("3.00")


def test_a_commission_in_percent_does_not_hold_the_execution_back():
    message = execution((150, "F"), (32, "250"), (31, "10"), (12, "1"), (13, "2"))
    report = messages.execution(message, venue="v")
    assert report is not None
    assert (report.quantity, report.fee) == (250, 0)
    assert messages.has_odd_fee(message)


@pytest.mark.parametrize(
    ("kind", "told"), [("0", Told.ACCEPTED), ("4", Told.CANCELLED), ("C", Told.CANCELLED), ("8", Told.REJECTED)]
)
def test_an_answer_that_executes_nothing_has_no_quantity(kind, told):
    report = messages.execution(execution((150, kind), (32, "5"), (31, "1")), venue="v")
    assert report is not None
    assert (report.told, report.quantity, report.price) == (told, 0, 0)


@pytest.mark.parametrize("kind", "6AE5")
def test_what_is_only_on_its_way_is_no_report(kind):
    assert messages.execution(execution((150, kind)), venue="v") is None


def test_a_long_execution_id_still_makes_a_short_and_distinct_report_id():
    one, other = messages.report_id("L" * 32, "x" * 90), messages.report_id("L" * 32, "x" * 91)
    assert len(one) == 64
    assert one != other
