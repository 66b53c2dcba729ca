"""Which venues there are, how a wrong setting is named, and the command that tries them out."""

import io
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from margin.venues import registry
from margin.venues.file_drop import FileDrop
from margin.venues.fix.terms import Terms
from margin.venues.interface import NotSent
from tests.venues.acceptor import THEM, US, Acceptor, text
from tests.venues.desk import until
from tests.venues.papers import order


@pytest.fixture(autouse=True)
def _hung_up() -> Iterator[None]:
    yield
    registry.close_all()


def files(folder: Path, **changed: Any) -> dict[str, Any]:
    return {"kind": "file_drop", "folder": str(folder), **changed}


def fix(folder: Path, port: int, **changed: Any) -> dict[str, Any]:
    named = {"kind": "fix", "host": "127.0.0.1", "port": port, "sender": THEM, "target": US, "folder": str(folder)}
    return {**named, "wait_seconds": 2, "first_pause_seconds": 0.02, **changed}


def check(*arguments: str) -> str:
    out = io.StringIO()
    call_command("venue_check", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_a_venue_is_opened_once_by_a_process(tmp_path, settings):
    settings.VENUES = {"files": files(tmp_path)}
    first = registry.venue("files")
    assert registry.venue("files") is first
    assert isinstance(first, FileDrop)
    with pytest.raises(NotSent, match="one process at a time"):
        registry.begin("files")
    registry.close_all()
    assert registry.venue("files") is not first


def child_opens(answers: Any) -> None:
    try:
        registry.venue("files")
        answers.put("opened")
    except NotSent as error:
        answers.put(str(error))


def test_a_fork_does_not_take_its_parents_line_for_its_own(tmp_path, settings):
    settings.VENUES = {"files": files(tmp_path)}
    registry.venue("files")
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=child_opens, args=(answers,))
    child.start()
    assert "one process at a time" in answers.get(timeout=10)
    child.join()


@pytest.mark.parametrize(
    ("venue", "fault"),
    [
        ({"kind": "telex"}, "kind 'telex' is neither file_drop nor fix"),
        ({"kind": "file_drop"}, "folder is missing"),
        (files(Path("relative")), "folder 'relative' is wrong"),
        (files(Path("/tmp/x"), format="xml"), "format 'xml' is not one of csv, json"),
        (files(Path("/tmp/x"), folders=1), "folders is no setting; these are: folder, format"),
        (fix(Path("/tmp/x"), 0), "port from 1 to 65535"),
        (fix(Path("/tmp/x"), 9000, heartbeat_seconds="30"), "heartbeat_seconds '30' is wrong"),
        (fix(Path("/tmp/x"), 9000, password="secret"), "set VENUE_PASSWORD_BROKER in the environment"),
        (fix(Path("/tmp/x"), 9000, order_fields={"100": "X\x01"}), "order_fields {'100': 'X\\x01'} is wrong"),
        (fix(Path("/tmp/x"), 9000, order_fields={"38": "1"}), "may not say tag 38"),
        (fix(Path("/tmp/x"), 9000, sender="A\x01B"), "sender 'A\\x01B' is wrong"),
        ("file_drop", "must hold an object"),
    ],
)
def test_a_wrong_setting_is_named_with_its_venue(settings, venue, fault):
    settings.VENUES = {"broker": venue}
    with pytest.raises(registry.WrongSettings, match="venue broker") as raised:
        registry.codes()
    assert fault in str(raised.value)
    with pytest.raises(CommandError, match="venue broker"):
        check()


def test_a_venue_that_is_not_there_is_named_beside_those_that_are(tmp_path, settings):
    settings.VENUES = {"files": files(tmp_path)}
    with pytest.raises(registry.WrongSettings, match="there is no venue 'broker'; VENUES names files"):
        registry.venue("broker")


def test_the_password_comes_from_the_environment_and_the_venues_own_tags_from_the_setting(
    tmp_path, settings, monkeypatch
):
    monkeypatch.setenv("VENUE_PASSWORD_BROKER", "very-secret")
    settings.VENUES = {"broker": fix(tmp_path, 9000, order_fields={"100": "XNYS"})}
    terms = registry._terms("broker")
    assert isinstance(terms, Terms)
    assert (terms.password, terms.order_fields, terms.wait_seconds) == ("very-secret", {100: "XNYS"}, 2.0)


def test_every_venue_is_tried_and_the_failing_one_named(tmp_path, settings):
    with Acceptor() as acceptor:
        settings.VENUES = {"broker": fix(tmp_path / "fix", acceptor.port), "files": files(tmp_path / "files")}
        said = check()
        assert "broker: reached, answered in" in said
        assert "files: reached, answered in" in said
        assert "".join(text(message, 35) for message in acceptor.seen) == "A15"
    settings.VENUES["broker"]["wait_seconds"] = 0.2
    with pytest.raises(CommandError, match="not reached: broker"):
        check()
    assert "files: reached" in check("files")


def test_no_venue_is_said_to_be_none(settings):
    settings.VENUES = {}
    assert "no order leaves this house by itself" in check()


def test_a_reset_is_agreed_and_done_by_command_and_reports_are_told_again(tmp_path, settings):
    with Acceptor(fills=["fill"]) as acceptor:
        settings.VENUES = {"broker": fix(tmp_path, acceptor.port)}
        venue = registry.venue("broker")
        venue.send(order())
        venue.keep(until(lambda: len(found := list(venue.reports())) == 2 and found))
        registry.close_all()
        acceptor.said, acceptor.next_in = [], 1
        with pytest.raises(CommandError, match="not reached"):
            check("broker")
        with pytest.raises(CommandError, match="not reached"):
            check("broker")  # it stays halted
        assert "count from 1" in check("broker", "--reset")
        assert "2 reports will be told again" in check("broker", "--tell-again-since", "2026-01-01T00:00:00+00:00")
        assert len(list(registry.venue("broker").reports())) == 2
        assert acceptor.orders == {"L0001": 1}


def test_a_halt_ends_when_the_venue_has_repaired_its_numbers(tmp_path, settings):
    with Acceptor() as acceptor:
        settings.VENUES = {"broker": fix(tmp_path, acceptor.port, wait_seconds=0.5)}
        check("broker")
        said, acceptor.said = acceptor.said, []
        with pytest.raises(CommandError, match="not reached"):
            check("broker")
        acceptor.said = said
        with pytest.raises(CommandError, match="not reached"):
            check("broker")
        assert "reached" in check("broker", "--go-on")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [(["--reset"], "name the venue"), (["files", "--tell-again-since", "2026-01-01T00:00:00"], "no UTC offset")],
)
def test_a_decision_about_a_journal_must_be_plain(tmp_path, settings, arguments, fault):
    settings.VENUES = {"files": files(tmp_path)}
    with pytest.raises(CommandError, match=fault):
        check(*arguments)
