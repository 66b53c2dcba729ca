"""What lists show: figures as text, pages that do not overlap, filters that refuse what they do not know."""

import hashlib

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Client
from tests.api import house
from tests.api.house import LISTS
from tests.margin import rows

pytestmark = pytest.mark.django_db


def test_figures_are_plain_text_and_instants_are_utc(reader, furnished):
    call = reader.get(house.url("calls", furnished["calls"])).json()
    assert (call["amount_called"], call["currency"], call["issued_at"]) == ("100", "USD", "2026-03-02T15:00:00Z")
    fill = reader.get(house.url("fills", furnished["fills"])).json()
    assert (fill["price"], fill["quantity"], fill["fee"]) == ("5.25", "100", "0")


def test_a_figure_of_thirty_two_digits_keeps_every_digit(reader, furnished):
    rows.equity("WIDE", strike="12345678901234567890.123456789012")
    assert reader.get(house.url("instruments", "WIDE")).json()["strike"] == "12345678901234567890.123456789012"


def test_an_instrument_with_a_slash_or_a_dot_in_its_code_has_an_address(reader, db):
    for code in ("BTC/USD", "BRK.B", "ES=F 2026-12"):
        rows.equity(code)
        assert reader.get(house.url("instruments", code)).json()["code"] == code


def test_an_event_can_be_checked_without_us(reader, furnished):
    event = reader.get(house.url("events", furnished["events"])).json()
    assert event["hash"] == hashlib.sha256(f"{event['previous_hash']}\n{event['body']}".encode()).hexdigest()


def test_one_assessment_shows_its_charges_and_a_list_does_not(reader, furnished):
    whole = reader.get(house.url("assessments", furnished["assessments"])).json()
    assert whole["measures"][0]["charges"][0]["amount"] == "150"
    listed = reader.get(house.url("assessments")).json()["results"][0]
    assert "charges" not in listed["measures"][0]


def test_one_notice_shows_its_text_and_a_list_does_not(reader, furnished):
    assert reader.get(house.url("notices", furnished["notices"])).json()["text"] == "You owe."
    assert "text" not in reader.get(house.url("notices")).json()["results"][0]


def test_pages_follow_each_other_without_overlap(reader, db):
    Client.objects.bulk_create(Client(code=f"P{number:03}", name="Same name") for number in range(25))
    seen, address = [], house.url("clients") + "?page_size=10&ordering=name"
    while address:
        page = reader.get(address).json()
        seen += [client["code"] for client in page["results"]]
        address = page["next"]
    assert sorted(seen) == [f"P{number:03}" for number in range(25)]


@pytest.mark.parametrize("size", ["0", "501", "-1", "ten", "1e2", "٥", "", "99999999999999999999"])
def test_a_page_size_that_is_none_is_refused(size, reader):
    response = reader.get(house.url("clients"), {"page_size": size})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "page_size")


@pytest.mark.parametrize("page", ["0", "2", "x", "-1", "99999999999999999999", "\x00"])
def test_a_page_that_is_not_there_is_404(page, reader):
    assert reader.get(house.url("clients"), {"page": page}).status_code == 404


def test_the_order_is_one_that_is_offered(reader, furnished):
    assert reader.get(house.url("calls"), {"ordering": "-amount_called,due_at"}).status_code == 200
    for wrong in ("account__client__name", "password", "--due_at", "due_at;", "?"):
        response = reader.get(house.url("calls"), {"ordering": wrong})
        assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "ordering"), wrong


MEANINGLESS = [
    ("calls", "stat", "issued"),
    ("calls", "state", "closed"),
    ("calls", "regime", "all"),
    ("calls", "open", "perhaps"),
    ("calls", "due_before", "2026-03-02"),
    ("calls", "due_before", "2026-03-02T15:00:00"),
    ("calls", "due_before", "2026-03-02T15:00:00 00:00"),
    ("calls", "due_from", "2026-13-02T15:00:00Z"),
    ("calls", "account", "A\x00"),
    ("calls", "format", "xml"),
    ("events", "call", "abc"),
    ("events", "call", "1.5"),
    ("events", "call", "-1"),
    ("events", "call", "99999999999999999999999"),
    ("events", "kind", "call.reopened"),
    ("quotes", "kind", "share"),
    ("quotes", "as_of_from", "yesterday"),
    ("assessments", "status", "guessed"),
    ("plans", "state", "open"),
    ("policies", "code", "us_margin"),
    ("calls", "state", ""),
    ("calls", "account", " "),
    ("calls", "due_before", ""),
    ("calls", "due_before", "100%s"),
]


def test_a_filter_that_means_nothing_is_refused(reader, furnished):
    for name, parameter, value in MEANINGLESS:
        response = reader.get(house.url(name), {parameter: value})
        assert response.status_code == 400, (name, parameter, value)
        assert response.json()["errors"][0]["field"] == parameter, (name, parameter, value)


FILTERS = [
    ("calls", "account=A-1001&open=true&state=issued&state=met", 1),
    ("calls", "state=liquidated", 0),
    ("calls", "open=false", 1),
    ("calls", "client=C-A-1001&agreement=us_margin&regime=house", 1),
    ("calls", "due_from=2026-03-04T15:00:00Z&due_before=2026-03-04T15:00:01Z", 2),
    ("calls", "due_before=2026-03-04T15:00:00Z", 0),
    ("accounts", "client=C-A-1001&closed=false", 1),
    ("accounts", "closed=true", 0),
    ("positions", "account=A-1001&instrument=AIG&kind=equity", 1),
    ("positions", "kind=cash", 2),
    ("fills", "external_reference=T-1&source=oms", 1),
    ("cash-movements", "kind=deposit&currency=USD", 3),
    ("instruments", "kind=equity&ended=false", 2),
    ("quotes", "instrument=AIG&source=venue-a&kind=equity", 1),
    ("sweeps", "kind=securities&state=running", 1),
    ("assessments", "account=A-1001&status=priced", 1),
    ("events", "account=A-1001&kind=call.issued", 1),
    ("events", "kind=call.met", 1),
    ("plans", "account=A-1001&state=proposed", 1),
    ("sma-entries", "account=A-1001&kind=deposit&at_from=2026-03-02T15:00:00Z", 1),
    ("sma-entries", "at_before=2026-03-02T15:00:00Z", 0),
    ("notices", "account=A-1001&state=queued&kind=call.issued", 1),
    ("clients", "name=client OF&account=A-1001", 1),
]


def test_filters_narrow_the_list(reader, furnished):
    for name, query, count in FILTERS:
        response = reader.get(f"{house.url(name)}?{query}")
        assert response.status_code == 200, (query, response.content)
        assert response.json()["count"] == count, query


def count_queries(client, name):
    with CaptureQueriesContext(connection) as queries:
        assert client.get(house.url(name)).status_code == 200
    return len(queries)


def test_the_number_of_queries_does_not_grow_with_the_rows(reader, furnished):
    reader.get("/api/v1/")  # the use of the key is noted once a minute
    one = {name: count_queries(reader, name) for name in LISTS}
    for number in range(5):
        owner = rows.account(f"B-{number}")
        rows.hold(owner, rows.equity(f"E-{number}"), "5")
        rows.policy(f"policy-{number}")
    assert {name: count_queries(reader, name) for name in LISTS} == one
    assert max(one.values()) <= 7
