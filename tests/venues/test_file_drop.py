"""The file drop: what lies in the outbox, what is taken from the inbox, what is refused, and what a crash leaves."""

import csv
import itertools
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from margin.venues import file_formats
from margin.venues.file_drop import MAX_BYTES, PATIENCE_SECONDS, FileDrop
from margin.venues.interface import NotSent, Side, Told, Unknown
from tests.venues.papers import Alarms, Clock, order

ROOT = Path(__file__).parents[2]
HEADER = "report_id,client_order_id,told,at,quantity,price,fee,refers_to,venue_order_id,text"
ACCEPT = "A1,L0001,accepted,2026-11-20T15:30:01Z,,,,,V77,"
FILL = "F1,L0001,filled,2026-11-20T15:30:02Z,60,24.55,0.30,,V77,"
REST = "F2,L0001,filled,2026-11-20T15:30:03Z,40,24.50,0.20,,V77,"
BUST = "B1,L0001,busted,2026-11-20T15:31:00Z,,,,F1,V77,erroneous trade"
CORRECT = "C1,L0001,corrected,2026-11-20T15:32:00Z,40,24.45,,F2,V77,"


@pytest.fixture
def drop(tmp_path: Path) -> Iterator[FileDrop]:
    opened = open_drop(tmp_path)
    yield opened
    opened.close()


def open_drop(folder: Path, form: str = "csv") -> FileDrop:
    clock = Clock()
    clock.at = clock.at.fromtimestamp(time.time(), tz=clock.at.tzinfo)  # files bear the machine's time
    return FileDrop(code="files", folder=folder, form=form, now=clock, alarm=Alarms())


def put(drop: FileDrop, name: str, *lines: str, end: str | None = None) -> Path:
    path = drop.folder / "inbox" / name
    path.write_text("\n".join([HEADER, *lines, end if end is not None else f"#rows={len(lines)}"]) + "\n")
    return path


def names(drop: FileDrop, folder: str) -> list[str]:
    return sorted(path.name for path in (drop.folder / folder).iterdir())


def told(drop: FileDrop) -> list[tuple[str, Told]]:
    return [(report.report_id, report.told) for report in drop.reports()]


# --- out ------------------------------------------------------------------------------------------------------


def test_an_order_lies_in_the_outbox_as_one_whole_file(drop):
    drop.send(order())
    assert names(drop, "outbox") == ["0000000001-new-L0001.csv"]
    *lines, end = (drop.folder / "outbox" / "0000000001-new-L0001.csv").read_text().splitlines()
    (row,) = csv.DictReader(lines)
    row.pop("at")
    assert end == "#rows=1"
    assert row == {
        "message": "new",
        "message_id": "L0001",
        "client_order_id": "L0001",
        "account": "M-1001",
        "instrument": "ACME",
        "side": "sell",
        "quantity": "100",
        "limit": "24.5",
        "currency": "USD",
    }


def test_an_order_at_the_market_has_no_limit_in_json(tmp_path):
    drop = open_drop(tmp_path, form="json")
    drop.send(order(limit=None, side=Side.BUY, quantity=Decimal("1E+2")))
    (path,) = (tmp_path / "outbox").iterdir()
    found = json.loads(path.read_text())
    schema = json.loads((ROOT / "docs" / "venue_files.schema.json").read_text())
    jsonschema.validate(found, {"$ref": "#/$defs/out", "$defs": schema["$defs"]})
    assert found["rows"] == 1
    assert (found["messages"][0]["limit"], found["messages"][0]["quantity"]) == ("", "100")
    drop.close()


def test_a_second_send_of_the_same_order_is_unknown_and_drops_nothing(drop):
    drop.send(order())
    with pytest.raises(Unknown, match="L0001 was handed over at"):
        drop.send(order())
    assert len(names(drop, "outbox")) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"client_order_id": "../evil"},
        {"client_order_id": "x" * 33},
        {"account": "M\x0154=1"},
        {"instrument": "ACME\n"},
        {"currency": "usd"},
        {"quantity": Decimal(0)},
        {"quantity": Decimal("NaN")},
        {"limit": Decimal("Infinity")},
    ],
)
def test_an_order_that_could_forge_a_field_never_leaves(drop, changed):
    with pytest.raises(NotSent):
        drop.send(order(**changed))
    assert names(drop, "outbox") == []


def test_an_outbox_that_cannot_be_written_means_not_sent_and_the_order_may_be_tried_again(drop):
    outbox = drop.folder / "outbox"
    outbox.rmdir()
    with pytest.raises(NotSent, match="L0001"):
        drop.send(order())
    outbox.mkdir()
    drop.send(order())
    assert len(names(drop, "outbox")) == 1


def test_a_second_process_is_refused_the_folder(drop):
    with pytest.raises(NotSent, match=f"process {os.getpid()} holds"):
        open_drop(drop.folder)


# --- in -------------------------------------------------------------------------------------------------------


def test_answers_are_told_in_the_order_of_the_file_until_they_are_kept(drop):
    put(drop, "1.csv", ACCEPT, FILL, REST)
    first = list(drop.reports())
    assert [report.told for report in first] == [Told.ACCEPTED, Told.FILLED, Told.FILLED]
    assert first[1].quantity == 60
    assert (first[1].price, first[1].fee) == (Decimal("24.55"), Decimal("0.30"))
    assert first[1].venue == "files"
    assert list(drop.reports()) == first  # not kept: told again
    drop.keep(first[:2])
    assert list(drop.reports()) == first[2:]
    assert names(drop, "inbox") == []
    assert names(drop, "done")[0].endswith("-1.csv")


def test_json_and_csv_say_the_same(tmp_path):
    one, other = open_drop(tmp_path / "a"), open_drop(tmp_path / "b")
    put(one, "1.csv", ACCEPT, FILL, BUST)
    rows = [dict(zip(HEADER.split(","), line.split(","), strict=True)) for line in (ACCEPT, FILL, BUST)]
    (other.folder / "inbox" / "1.json").write_text(json.dumps({"rows": 3, "reports": rows}))
    assert list(one.reports()) == list(other.reports())
    one.close()
    other.close()


def test_a_file_read_again_after_a_crash_tells_nothing_twice(drop):
    put(drop, "1.csv", ACCEPT, FILL)
    drop.keep(drop.reports())
    put(drop, "1.csv", ACCEPT, FILL, REST)
    assert told(drop) == [("F2", Told.FILLED)]


def test_every_order_of_arrival_leaves_the_same_quantity_executed(tmp_path):
    """60 busted, 40 corrected to 40 at another price: 40 are left, whichever file comes first."""
    for number, lines in enumerate(itertools.permutations([ACCEPT, FILL, REST, BUST, CORRECT])):
        if number % 8:  # 15 of the 120
            continue
        drop = open_drop(tmp_path / str(number))
        for place, line in enumerate(lines):
            put(drop, f"{place}.csv", line)
        assert len(list(drop.reports())) == 5
        assert drop.journal.executed("L0001") == 40
        drop.close()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("F9,L0001,filled,2026-11-20T15:30:02Z,,24.55,,,,", "row 2, quantity: must be positive"),
        ("F9,L0001,filled,2026-11-20T15:30:02Z,-5,24.55,,,,", "row 2, quantity: must be positive"),
        ("F9,L0001,filled,2026-11-20T15:30:02Z,1e999,24.55,,,,", "row 2, quantity: '1e999' is not a plain number"),
        ("F9,L0001,filled,2026-11-20 15:30,5,24.55,,,,", "row 2, at: '2026-11-20 15:30' names no time zone"),
        ("F9,L0001,sold,2026-11-20T15:30:02Z,5,24.55,,,,", "row 2, told: 'sold' is not one of"),
        ("B9,L0001,busted,2026-11-20T15:30:02Z,,,,,,", "row 2, refers_to: is missing; name the report_id"),
        ("N9,L0001,never_heard,2026-11-20T15:30:02Z,,,,,,", "row 2, refers_to: is missing; name the message_id"),
        ("A9,L0001,accepted,2026-11-20T15:30:02Z,5,,,,,", "row 2, quantity: belongs to executions"),
        ("A9,L0001,accepted,2026-11-20T15:30:02Z,,,,F1,,", "row 2, refers_to: refers to nothing"),
        (",L0001,accepted,2026-11-20T15:30:02Z,,,,,,", "row 2, report_id: is missing"),
        ("A9,L0001,accepted,2026-11-20T15:30:02Z,,,", "row 2, has 7 fields"),
    ],
)
def test_one_wrong_row_refuses_the_whole_file_by_row_and_field(drop, line, fault):
    put(drop, "1.csv", line, REST)
    assert told(drop) == []
    assert fault in drop.alarm.text
    assert "have the venue send it again" in drop.alarm.text
    kept, reason = names(drop, "refused")
    assert kept.endswith("-1.csv")
    assert fault in (drop.folder / "refused" / reason).read_text()
    assert names(drop, "inbox") == []


def test_a_half_written_file_waits_and_is_refused_when_it_never_becomes_whole(drop):
    put(drop, "1.csv", ACCEPT, FILL, end="F2,L0001,fil")
    (drop.folder / "inbox" / "2.json").write_text('{"rows": 1, "reports": [{"report')
    assert told(drop) == []
    assert names(drop, "inbox") == ["1.csv", "2.json"]
    drop.now.pass_by(PATIENCE_SECONDS + 1)
    assert told(drop) == []
    assert names(drop, "inbox") == []
    assert "1.csv was taken. the file does not end with its line #rows=N" in drop.alarm.text
    assert "2.json was taken" in drop.alarm.text


def test_a_file_cut_between_two_rows_is_not_believed(drop):
    put(drop, "1.csv", ACCEPT, end="#rows=2")
    assert told(drop) == []
    assert "2 rows were announced, the file holds 1" in drop.alarm.text


def test_a_name_that_is_not_finished_is_left_alone(drop):
    put(drop, ".1.csv", ACCEPT)
    put(drop, "1.csv.tmp", ACCEPT)
    drop.now.pass_by(3600)
    assert told(drop) == []
    assert names(drop, "inbox") == [".1.csv", "1.csv.tmp"]


def test_an_id_that_comes_back_with_another_price_is_refused_and_the_first_stays(drop):
    put(drop, "1.csv", FILL)
    drop.keep(drop.reports())
    put(drop, "2.csv", ACCEPT, FILL.replace("24.55", "24.99"))
    assert told(drop) == []
    assert "report F1 of order L0001 was heard before with other contents" in drop.alarm.text
    assert drop.journal.executed("L0001") == 60


def test_too_large_a_file_and_a_link_are_refused_unread(drop):
    with (drop.folder / "inbox" / "1.csv").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    (drop.folder / "inbox" / "2.csv").symlink_to("/etc/passwd")
    assert told(drop) == []
    assert "larger than" in drop.alarm.text
    assert "is no plain file" in drop.alarm.text


def test_one_bad_file_does_not_hold_up_the_good_ones(drop):
    put(drop, "1.csv", "nonsense")
    put(drop, "2.csv", FILL)
    assert told(drop) == [("F1", Told.FILLED)]


# --- asking ---------------------------------------------------------------------------------------------------


def question(drop: FileDrop) -> str:
    path = max((drop.folder / "outbox").glob("*-ask-*.csv"))
    return next(csv.DictReader(path.read_text().splitlines()))["message_id"]


def never(drop: FileDrop, name: str, of: str) -> None:
    put(drop, name, f"N-{name},L0001,never_heard,2026-11-20T15:40:00Z,,,,{of},,")


def test_an_order_never_heard_of_may_be_sent_again_and_its_first_file_is_taken_back(drop):
    drop.send(order())
    drop.ask(order())
    never(drop, "1.csv", question(drop))
    (report,) = drop.reports()
    assert report.told is Told.NEVER_HEARD
    assert names(drop, "outbox") == ["0000000002-ask-L0001.csv"]  # the unread order cannot arrive after all
    drop.keep([report])
    drop.send(order())
    assert names(drop, "outbox")[-1] == "0000000003-new-L0001.csv"


def test_a_late_answer_to_an_earlier_question_does_not_send_an_order_twice(drop):
    drop.send(order())
    drop.ask(order())
    early = question(drop)
    drop.ask(order())
    never(drop, "1.csv", question(drop))
    drop.keep(drop.reports())
    drop.send(order())
    never(drop, "2.csv", early)
    assert told(drop) == []
    with pytest.raises(Unknown):
        drop.send(order())


def test_asking_tells_the_orders_reports_again(drop):
    put(drop, "1.csv", ACCEPT, FILL)
    drop.keep(drop.reports())
    drop.ask(order())
    assert told(drop) == [("A1", Told.ACCEPTED), ("F1", Told.FILLED)]


def test_after_a_restore_what_was_kept_is_told_again(drop):
    put(drop, "1.csv", ACCEPT, FILL)
    drop.keep(drop.reports())
    assert drop.journal.tell_again(since=datetime(2026, 11, 20, 15, 30, 2, tzinfo=UTC)) == 1
    assert told(drop) == [("F1", Told.FILLED)]


# --- crashes --------------------------------------------------------------------------------------------------


def send_and_die(folder: str, step: int) -> None:
    """Send one order and die without a word before its `step`-th call into the file system."""
    drop = open_drop(Path(folder))
    left = itertools.count(step, -1)

    def dying(function: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            if next(left) <= 0:
                os._exit(9)
            return function(*arguments, **named)

        return call

    os.fsync = dying(os.fsync)
    Path.rename = dying(Path.rename)  # type: ignore[method-assign]
    drop.send(order())
    os._exit(0)


def test_a_sender_killed_anywhere_leaves_at_most_one_order(tmp_path):
    context = multiprocessing.get_context("fork")
    for step in range(4):
        folder = tmp_path / str(step)
        child = context.Process(target=send_and_die, args=(str(folder), step))
        child.start()
        child.join()
        drop = open_drop(folder)
        left = list((folder / "outbox").glob("*-new-*"))
        assert len(left) == (step >= 2)  # it arrives with the rename, the second step, and whole
        with pytest.raises(Unknown):
            drop.send(order())
        assert list((folder / "outbox").glob(".*")) == []
        drop.close()


# --- the page -------------------------------------------------------------------------------------------------


def test_the_schema_and_the_reader_know_the_same_fields():
    schema = json.loads((ROOT / "docs" / "venue_files.schema.json").read_text())
    row = schema["$defs"]["report"]
    assert set(row["properties"]) == set(file_formats.COLUMNS)
    assert set(row["required"]) == {name for name, how in file_formats.COLUMNS.items() if not how.optional}
    assert row["properties"]["told"]["enum"] == [str(told) for told in Told]
    assert set(schema["$defs"]["message"]["properties"]) == {*file_formats.MESSAGE, "at"}


def test_the_examples_on_the_page_are_read(drop):
    page = (ROOT / "docs" / "venues.md").read_text()
    examples = [part.split("```")[0] for part in page.split("```csv\n")[1:]]
    answers = next(text for text in examples if text.startswith(HEADER))
    (drop.folder / "inbox" / "1.csv").write_text(answers)
    listed = json.loads(next(part.split("```")[0] for part in page.split("```json\n")[1:] if '"reports"' in part))
    schema = json.loads((ROOT / "docs" / "venue_files.schema.json").read_text())
    jsonschema.validate(listed, {"$ref": "#/$defs/in", "$defs": schema["$defs"]})
    (drop.folder / "inbox" / "2.json").write_text(json.dumps(listed))
    assert len(list(drop.reports())) >= 4
    assert drop.alarm.raised == []
