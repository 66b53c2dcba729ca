"""Registers: every call once a day as it stood then, every extension with its number, files that are safe to open."""

import csv
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError, call_command

from accounts import documents
from accounts.models import Document, DocumentReceipt
from backoffice import papers, register_files
from backoffice.demo.policies import US_MARGIN
from margin import calls, registers, requests
from margin.models import MarginCall
from margin.register_sheets import Sheet, Span
from margin.workflow import Cause, Resolution
from tests.margin import rows
from tests.margin.rows import AT, SWEEPER

NEW_YORK = ZoneInfo("America/New_York")
pytestmark = pytest.mark.django_db
MONDAY = date(2026, 3, 2)
HOUSE = {**US_MARGIN["regimes"][0], "clock": {"unit": "hours", "count": 48}}


def day(number):
    return Span(MONDAY + timedelta(days=number), MONDAY + timedelta(days=number), NEW_YORK)


def of(sheet):
    return [dict(zip(sheet.columns, row, strict=True)) for row in sheet.rows]


def issued(code, *, at=AT, amount="100.00"):
    owner = rows.account(code)
    version = rows.policy("us_margin", {**US_MARGIN, "calendar": "24/7", "regimes": [HOUSE]})
    calls.carry_out([rows.issue(owner, version, at=at, amount=amount)], at=at, actor=SWEEPER)
    return MarginCall.objects.get(account=owner)


def test_a_call_is_recorded_on_every_day_it_is_open_once_and_as_it_stood_at_its_end():
    call = issued("A00901")
    calls.escalate(call, cause=Cause.DEADLINE, at=AT + timedelta(days=2, hours=1), actor=SWEEPER)
    call.refresh_from_db()
    calls.meet(call, how=Resolution.CASH, at=AT + timedelta(days=3), actor=SWEEPER)
    found = {line["day"]: line for line in of(registers.daily(Span(MONDAY, MONDAY + timedelta(days=6), NEW_YORK)))}
    assert [(when.day, line["state"], line["manner"]) for when, line in sorted(found.items())] == [
        (2, "issued", ""), (3, "issued", ""), (4, "escalated", ""), (5, "met", "cash"),
    ]  # fmt: skip
    assert found[date(2026, 3, 5)]["satisfied_at"] == AT + timedelta(days=3)
    assert (found[MONDAY]["required"], found[MONDAY]["satisfied_at"]) == (Decimal(100), None)


def test_days_begin_at_midnight_of_their_zone():
    issued("A00902", at=datetime(2026, 3, 3, 4, 30, tzinfo=UTC))  # 23:30 on Monday in New York
    assert len(registers.daily(day(0)).rows) == 1
    tokyo = Span(MONDAY, MONDAY, ZoneInfo("Asia/Tokyo"))
    assert registers.daily(tokyo).rows == ()  # 13:30 on Tuesday there


def test_every_extension_is_filed_with_its_number_and_what_became_of_it():
    call = issued("A00903")
    ops, sue = rows.staff("ops", "Operations"), rows.staff("sue", "Supervisor")
    for number, hours in ((1, 1), (2, 2)):
        asked = requests.ask_extension(
            call,
            until=call.due_at + timedelta(hours=hours),
            reason_code="bank_transfer",
            actor=ops,
            at=AT,
            reason="=1+1",
        )
        requests.deny(asked, at=AT + timedelta(minutes=number), actor=sue, reason="no")
    lines = of(registers.extensions(day(0)))
    assert [(line["number"], line["decision"], line["asked_by"], line["decided_by"]) for line in lines] == [
        (1, "denied", "ops", "sue"), (2, "denied", "ops", "sue"),
    ]  # fmt: skip
    (first, second) = csv.DictReader(io.StringIO(register_files.as_csv(registers.extensions(day(0)))))
    assert (first["reason"], second["number"]) == ("'=1+1", "2")  # no spreadsheet runs it


@pytest.mark.parametrize(
    ("days_after_due", "group"),
    [
        (-1, "not due"),
        (1, "up to 1 day"),
        (3, "1 to 3 days"),
        (5, "3 to 5 days"),
        (15, "5 to 15 days"),
        (16, "over 15 days"),
    ],
)
def test_open_calls_age_from_their_deadline(days_after_due, group):
    call = issued("A00904", at=datetime(2026, 3, 2, 5, 0, tzinfo=UTC))  # due at midnight of 4 March in New York
    at = call.due_at.astimezone(NEW_YORK).date() + timedelta(days=days_after_due - 1)
    (line,) = of(registers.aging(Span(at, at, NEW_YORK)))
    assert (line["past_due"], line["calls"], line["outstanding"]) == (group, 1, Decimal(100))


def test_the_files_say_the_same_in_any_script():
    pypdf = pytest.importorskip("pypdf")
    sheet = Sheet(
        "daily", "追加保証金 · 保证金追缴 · Łódź", ("client", "amount"), (("Ωμέγα <b>&", Decimal("1234.50")),)
    )
    at = datetime(2026, 3, 2, tzinfo=UTC)
    made = register_files.as_pdf(sheet, at=at)
    assert made == register_files.as_pdf(sheet, at=at)  # the same content is the same file
    said = " ".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(made)).pages)
    flat = said.replace(" ", "").replace("\n", "")
    for word in ("追加保証金", "保证金追缴", "Łódź", "Ωμέγα<b>&", "1,234.50", "page1"):
        assert word in flat
    assert papers.words(None) == ""


def test_the_command_prints_csv_and_writes_files(tmp_path):
    issued("A00905")
    out, told = StringIO(), StringIO()
    call_command("register", "daily", first=MONDAY, stdout=out, stderr=told)
    assert out.getvalue().splitlines()[1].startswith("2026-03-02,A00905")
    call_command("register", "daily", first=MONDAY, pdf=tmp_path / "d.pdf", stdout=out, stderr=told)
    assert (tmp_path / "d.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(CommandError, match="is after the last"):
        call_command("register", "daily", first=MONDAY, last=date(2026, 3, 1), stdout=out, stderr=told)


@pytest.mark.parametrize("name", registers.REGISTERS)
def test_every_register_opens_empty(name):
    assert registers.REGISTERS[name](day(0)).rows == ()


def test_the_register_of_documents_says_who_has_which_version_and_who_lacks_the_one_in_force():
    owner = rows.account("A00990")
    kept = documents.publish(
        Document(
            kind="margin_agreement", agreement="us_margin", version="7", effective_at=AT, sha256="a" * 64,
            location="7.pdf", needs_acceptance=True, entered_by="cora",
        )
    )  # fmt: skip
    told = DocumentReceipt(
        client=owner.client, document=kept, act="accepted", channel="online", at=AT + timedelta(days=1), source="m",
        external_reference="1",
    )  # fmt: skip
    documents.record([told], at=AT + timedelta(days=1))
    (before,), (after,) = (of(registers.REGISTERS["documents"](day(number))) for number in (0, 1))
    assert (before["client"], before["accounts"], before["version_in_force"]) == ("C-A00990", "A00990", "7")
    assert (before["lacking"], before["version_held"]) == ("never given", "")
    assert (after["lacking"], after["version_held"], after["accepted_at"]) == ("", "7", AT + timedelta(days=1))
