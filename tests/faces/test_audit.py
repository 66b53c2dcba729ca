"""The auditor's room: the chain is shown intact when it is, and broken where it is."""

import csv
import hashlib
import io
from datetime import timedelta

import pytest
from django.urls import reverse

from margin import calls
from margin.models import Event
from tests.faces import house as houses


def text(answer) -> str:
    return answer.content.decode()


def test_an_accounts_page_shows_every_event_with_its_hash_and_that_the_chain_is_intact(house, sign_in):
    page = text(sign_in("Auditor").get(reverse("admin:audit_account", args=("C3001",))))
    assert "chain intact to seq 4" in page
    for event in Event.objects.filter(account__code="C3001"):
        assert event.hash in page
    assert page.count("verified</span>") == 5  # four events and the chain


def test_the_verdict_over_all_chains_counts_them_and_prints_the_digest(house, sign_in):
    answer = sign_in("Auditor").get(reverse("admin:audit_verify"))
    assert answer.context["verdict"].is_intact
    assert (answer.context["verdict"].chains, answer.context["verdict"].events) == (3, 6)
    assert answer.context["verdict"].digest in text(answer)
    assert "chains are intact" in text(answer)


@pytest.mark.parametrize("question", ["C3001", "Alder", "MC-{call}"])
def test_a_chain_is_found_by_account_client_or_call(house, sign_in, question):
    asked = question.format(call=1000 + house.call.pk)
    found = sign_in("Auditor").get(reverse("admin:audit"), {"q": asked}).context["page"].object_list
    expected = "C3001" if question == "C3001" else "A1008"
    assert [chain.account.code for chain in found] == [expected]


@pytest.mark.parametrize("question", ["%", "MC-99999999999999999999", "²", "' OR 1=1", "x" * 1000])
def test_an_odd_question_finds_nothing_and_breaks_nothing(house, sign_in, question):
    answer = sign_in("Auditor").get(reverse("admin:audit"), {"q": question})
    assert answer.status_code == 200
    assert not answer.context["page"].object_list


def test_the_rows_of_an_earlier_instant_are_shown_from_the_events_up_to_it(house, sign_in):
    """The severe call was escalated by the second event of its account; before it, it was issued."""
    first, second = Event.objects.filter(account__code="C3001", seq__lte=2).order_by("seq")
    address = reverse("admin:audit_as_of", args=("C3001",))
    then = first.at if first.at < second.at else None
    shown = {}
    for at in filter(None, (then, second.at)):
        ((call, _),) = sign_in("Auditor").get(address, {"at": at.isoformat()}).context["lines"]
        shown[at] = call.state
    assert shown[second.at] == "escalated"
    assert shown.get(then, "issued") == "issued"
    page = sign_in("Auditor").get(address, {"at": (first.at - timedelta(seconds=1)).isoformat()})
    assert "No call of this account had been issued by then" in text(page)
    assert "is not an instant" in text(sign_in("Auditor").get(address, {"at": "yesterday"}))
    assert sign_in("Administrator").get(address).status_code == 403


def test_the_export_proves_itself_to_whoever_recomputes_it(house, sign_in):
    answer = sign_in("Auditor").get(reverse("admin:audit_export", args=("C3001",)))
    sheet = list(csv.DictReader(io.StringIO(text(answer))))
    assert [row["kind"] for row in sheet] == [
        "call.issued", "call.escalated", "restriction.placed", "waiver.proposed",
    ]  # fmt: skip
    previous = ""
    for row in sheet:
        assert row["previous_hash"] == previous
        previous = hashlib.sha256(f"{previous}\n{row['body']}".encode()).hexdigest()
        assert row["hash"] == previous


def test_no_cell_of_the_export_is_a_formula(house, sign_in):
    calls.note(house.call, text='=HYPERLINK("http://x.example")', at=house.at, actor=houses.actor("risk", "Risk"))
    answer = sign_in("Auditor").get(reverse("admin:audit_export", args=("A1008",)))
    cells = [cell for row in csv.reader(io.StringIO(text(answer))) for cell in row]
    assert not [cell for cell in cells if cell[:1] in "=+-@\t\r" and cell]


def test_the_room_is_closed_to_the_administrator_and_an_unknown_account_is_not_found(house, sign_in):
    assert sign_in("Administrator").get(reverse("admin:audit_export", args=("C3001",))).status_code == 403
    assert sign_in("Auditor").get(reverse("admin:audit_account", args=("NONE",))).status_code == 404
    assert sign_in("Auditor").post(reverse("admin:audit_verify")).status_code == 405


def test_one_changed_byte_is_named_on_the_pages(committed_db, superuser, sign_in):
    house = houses.build()
    connected = superuser()
    with connected, connected.cursor() as cursor:
        cursor.execute("ALTER TABLE margin_event DISABLE TRIGGER USER")
        cursor.execute("UPDATE margin_event SET body = replace(body, '\"severe\"', '\"Severe\"') WHERE seq = 2")
    auditor = sign_in("Auditor")
    page = text(auditor.get(reverse("admin:audit_account", args=("C3001",))))
    assert "This chain is broken" in page
    assert "its body is not what was hashed" in page
    assert "chain intact" not in page
    assert [fault.seq for _, fault in auditor.get(reverse("admin:audit_verify")).context["faults"]] == [2]
    call_page = text(auditor.get(reverse("admin:margin_margincall_change", args=(house.severe.pk,))))
    assert "The chain is broken" in call_page
    assert "chain intact" not in call_page
