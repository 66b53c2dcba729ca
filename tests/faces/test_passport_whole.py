"""The passport of a call that went through everything: told, disputed, paid in part, sold out of by an order."""

import io
import json
import random
import zipfile
from datetime import timedelta
from decimal import Decimal

import pytest

from accounts import cash, documents
from accounts.models import Document, DocumentReceipt
from backoffice import passport
from margin import booking, calls, casework, disputes, sealing, sending, sweep
from margin.models import MarginCall, Order
from margin.venues.interface import Report, Told
from margin.workflow import Cause
from notifications import deliveries, notices
from notifications.models import Notice
from tests.margin import liquidating, rows, world
from tests.margin.liquidating import LATER, VENUE, CountingVenue
from tests.margin.rows import SWEEPER
from tests.margin.world import MONDAY, minutes, quote
from verifier import passport as form

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def keys(settings, tmp_path):
    settings.HISTORY_KEYS = str(tmp_path / "keys")
    return tmp_path / "keys"


def told(call, at):
    """A letter that was delivered, and a telephone call in which 100.00 was quoted."""
    notices.prepare(at=MONDAY)
    notices.send(at=at)
    letter = Notice.objects.get(event__kind="call.issued")
    report = deliveries.Report("postal", "delivered", {"smtp": "250 ok"}, "e1", letter.message_id)
    deliveries.record(report, at=at)
    return casework.contact(
        call, channel="phone", direction="out", outcome="reached", text="promises to look at it", at=at,
        actor=rows.staff("ops", "Operations"), who="Ms Ōtani", amount_quoted=D("100"), deadline_quoted=call.due_at,
    )  # fmt: skip


def given(client):
    """The disclosure of 2025 was given; that of 2026 is in force."""
    for year in (2025, 2026):
        kept = documents.publish(
            Document(
                kind="margin_disclosure", version=f"{year}-01", effective_at=MONDAY.replace(year=year, month=1),
                sha256="a" * 64, location=f"{year}.pdf", entered_by="cora",
            )
        )  # fmt: skip
        if year == 2025:
            told = {"act": "given", "channel": "post", "at": MONDAY.replace(year=2025), "source": "m"}
            documents.record([DocumentReceipt(client=client, document=kept, external_reference="1", **told)], at=MONDAY)


@pytest.fixture
def call(keys, tmp_path):
    """100.00 short; 40.00 paid, so 60.00 ÷ 14.95 a share: 5 XYZ sold by an order of a venue, in two fills."""
    terms = world.securities({**world.HOUSE, "market_cures": False})
    rows.policy("us_margin", {**terms, "release": {"venue": VENUE}})
    xyz, ops = rows.equity("XYZ"), rows.staff("ops", "Operations")
    rows.cash()
    account = world.long_account("100", "3600", xyz)
    quote(xyz, "50", MONDAY)
    given(account.client)
    sweep.run("securities", at=MONDAY)
    call = told(MarginCall.objects.get(), MONDAY + timedelta(seconds=10))
    dispute = disputes.dispute(
        call, amount=D(10), reason_code="mark_to_market", reason="the close was lower", actor=ops,
        at=MONDAY + timedelta(seconds=20),
    )  # fmt: skip
    disputes.decide(
        dispute, finding="rejected", reason="the close is right", at=MONDAY + timedelta(seconds=30),
        actor=rows.staff("sue", "Supervisor"),
    )  # fmt: skip
    at = MONDAY + timedelta(seconds=40)
    cash.deposit(account, currency="USD", amount=D(40), source="bank", external_reference="FT-1", at=at)
    sweep.run("securities", at=MONDAY + minutes(1))
    calls.escalate(MarginCall.objects.get(), cause=Cause.SEVERITY, at=MONDAY + minutes(1.5), actor=SWEEPER)
    liquidating.released(MarginCall.objects.get())
    order, venue = Order.objects.get(), CountingVenue(tmp_path)
    sending.run({VENUE: venue}, clock=lambda: LATER)
    for name, quantity in (("1", 2), ("2", 3)):
        report = Report(VENUE, name, order.client_order_id, Told.FILLED, LATER, D(quantity), D(50), D("0.10"))
        booking.hear(report, at=LATER + minutes(1))
    sealing.seal(at=LATER + minutes(2))
    return MarginCall.objects.get()


@pytest.fixture
def archive(call):
    return passport.make(call, at=MONDAY + timedelta(days=1), by="auditor")


def files_of(archive):
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_it_tells_the_whole_life_of_a_liquidated_call(call, archive):
    assert (call.state, call.resolution) == ("liquidated", "liquidation")
    parts = {name.removesuffix(".json"): json.loads(each) for name, each in files_of(archive).items() if ".js" in name}
    held = {one["instrument"]: one["quantity"] for one in parts["snapshot"][0]["holdings"]}
    assert held == {"XYZ": "100", "USD": "-3600"}
    (letter,) = [one for one in parts["notices"] if one["kind"] == "call.issued"]
    assert [one["state"] for one in letter["replies"]] == ["delivered"]
    assert [one["outcome"] for one in letter["attempts"]] == ["sent"]
    (owed,) = parts["documents"]
    assert (owed["in_force"]["version"], owed["held"]["version"]) == ("2026-01", "2025-01")
    assert owed["lacking"] == "has version 2025-01 only"
    assert [one["channel"] for one in owed["receipts"]] == ["post"]
    (spoken,) = parts["contacts"]
    assert (spoken["amount_quoted"], spoken["who"]) == ("100", "Ms Ōtani")
    assert spoken["deadline_quoted"].endswith("Z")
    assert [(one["kind"], one["release"]) for one in parts["cases"]["cures"]] == [("cash", "40")]
    assert [one["state"] for one in parts["cases"]["disputes"]] == ["rejected"]
    assert all(event["sealed_by"] == 1 for event in parts["history"]["events"])
    assert {one["login"] for one in parts["people"].values()} >= {"ops", "sue"}


def test_it_tells_every_step_of_the_sale(archive):
    (plan,) = json.loads(files_of(archive)["plans.json"])
    hashes = {plan["content_hash"], plan["approvals"][0]["content_hash"], plan["release"]["content_hash"]}
    assert len(hashes) == 1
    (line,) = plan["lines"]
    assert (line["instrument"], line["quantity"]) == ("XYZ", "-5")
    (order,) = plan["orders"]
    assert (order["state"], order["quantity"]) == ("filled", "-5")
    assert [(one["told"], one["quantity"]) for one in order["reports"]] == [("filled", "2"), ("filled", "3")]
    assert [(one["quantity"], one["price"]) for one in plan["fills"]] == [("-2", "50"), ("-3", "50")]
    assert [one["report"] for one in plan["fills"]] == [one["id"] for one in order["reports"]]


def test_its_pages_say_who_approved_what_was_sold_and_what_was_quoted(archive):
    pypdf = pytest.importorskip("pypdf")
    pages = pypdf.PdfReader(io.BytesIO(files_of(archive)["passport.pdf"])).pages
    said = "".join(page.extract_text() for page in pages).replace(" ", "").replace("\n", "")
    for word in ("Conversations", "MsŌtani", "Thevaluationisdisputed", "Whoapprovedit", "Howitwasletout", "sue",
                 "Whatvenuessaid", "Weighedagainst", "Whattheaccountheld", "Sealsover"):  # fmt: skip
        assert word in said, word
    assert "2026-03-0215:03:00UTC" in said
    assert "T15:00:00Z" not in said


def test_every_altered_byte_of_every_file_is_named_by_its_file(archive, keys):
    files, chance = files_of(archive), random.Random(11)
    given = {file.stem: bytes.fromhex(file.read_text().strip()) for file in keys.glob("k*.key")}
    assert list(form.faults(form.pack(files), given)) == []
    for name, content in files.items():
        for place in {0, len(content) - 1, *chance.sample(range(len(content)), min(12, len(content)))}:
            altered = bytearray(content)
            altered[place] ^= 1 << chance.randrange(8)
            found = list(form.faults(form.pack({**files, name: bytes(altered)}), given))
            assert any(name in fault for fault in found), (name, place, found)
