"""What a batch does once it is taken."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import BookLoad, CashMovement, Fill, Position, PositionFact
from market.models import HeldQuote, Quote
from tests.api import house
from tests.margin import rows

pytestmark = pytest.mark.django_db


def held(instrument="AIG"):
    return Position.objects.get(account__code="A-1001", instrument__code=instrument).quantity


def stamp(**ago):
    return (timezone.now() - timedelta(**ago)).isoformat().replace("+00:00", "Z")


def test_quotes_are_recorded_and_a_jump_is_asked_about(writer, furnished):
    rows.equity("WM")
    batch = [house.quote(instrument="WM", mark="2.00"), house.quote(mark="1.00")]
    response = house.post(writer, "quotes", {"rows": batch})
    assert response.status_code == 201
    body = response.json()
    assert (body["accepted"], body["repeated"], body["released"]) == (1, 0, 0)
    assert [(line["row"], line["field"]) for line in body["held"]] == [(2, "mark")]
    assert "jump" in body["held"][0]["reason"]
    assert Quote.objects.get(instrument__code="AIG").mark == Decimal("4.76")
    assert Quote.objects.get(instrument__code="WM").mark == 2
    assert HeldQuote.objects.get(instrument__code="AIG").source == "venue-b"


def test_a_second_source_releases_what_the_first_was_asked_about(writer, furnished):
    house.post(writer, "quotes", {"rows": [house.quote(mark="1.00")]}, once="first")
    second = house.post(writer, "quotes", {"rows": [house.quote(mark="1.00", source="venue-c")]}, once="second")
    assert second.json()["released"] == 1
    assert Quote.objects.get(instrument__code="AIG").mark == 1


def test_a_negative_price_is_taken_where_the_instrument_may_have_one(writer, furnished):
    rows.equity("WTI", may_be_negative=True)
    assert house.post(writer, "quotes", {"rows": [house.quote(instrument="WTI", mark="-37.63")]}).status_code == 201
    assert Quote.objects.get(instrument__code="WTI").mark == Decimal("-37.63")


def test_a_quote_without_a_mark_is_the_middle_of_bid_and_ask(writer, furnished):
    house.post(writer, "quotes", {"rows": [house.quote(mark=None, bid="4.75", ask="4.77")]})
    assert Quote.objects.get(instrument__code="AIG").mark == Decimal("4.76")


def test_an_old_quote_refuses_the_whole_batch(writer, furnished):
    rows.equity("WM")
    batch = [house.quote(instrument="WM"), house.quote(as_of=stamp(days=1))]
    response = house.post(writer, "quotes", {"rows": batch})
    assert (response.status_code, response.json()["errors"][0]["row"]) == (422, 2)
    assert not Quote.objects.filter(instrument__code="WM").exists()


def test_a_fill_moves_its_instrument_and_its_cash(writer, furnished):
    cash = held("USD")
    response = house.post(writer, "fills", {"rows": [house.fill(fee="1.50")]})
    assert response.json() == {"ids": [Fill.objects.get(external_reference="T-2").pk]}
    assert held() == 90
    assert held("USD") - cash == Decimal("46.50")  # 10 × 4.80 − 1.50


def test_a_fill_sent_again_under_a_new_key_is_the_same_fill(writer, furnished):
    first = house.post(writer, "fills", {"rows": [house.fill()]}, once="one")
    again = house.post(writer, "fills", {"rows": [house.fill()]}, once="two")
    assert (again.status_code, again.json()) == (201, first.json())
    assert held() == 90


def test_a_reference_used_for_something_else_is_409(writer, furnished):
    house.post(writer, "fills", {"rows": [house.fill()]}, once="one")
    response = house.post(writer, "fills", {"rows": [house.fill(quantity="-11")]}, once="two")
    assert (response.status_code, response.json()["type"]) == (409, "urn:margin-desk:problem:conflict")
    assert response.json()["errors"][0]["field"] == "external_reference"
    assert held() == 90


def test_money_moves_once_per_reference(writer, furnished):
    cash = held("USD")
    batch = [house.movement(), house.movement(kind="withdrawal", amount="-4.25", external_reference="FT-3")]
    assert house.post(writer, "cash-movements", {"rows": batch}, once="one").status_code == 201
    assert house.post(writer, "cash-movements", {"rows": batch}, once="two").status_code == 201
    assert held("USD") - cash == Decimal("5.75")
    assert CashMovement.objects.filter(external_reference__in=("FT-2", "FT-3")).count() == 2


def test_the_same_reference_twice_in_one_batch_is_refused(writer, furnished):
    response = house.post(writer, "cash-movements", {"rows": [house.movement()] * 2})
    assert (response.status_code, response.json()["errors"][0]["row"]) == (422, 2)


def test_a_statement_of_positions_says_what_is_held_from_then_on(writer, furnished):
    rows.equity("IWM")
    batch = [house.position(quantity="75", cost="300"), house.position(instrument="IWM", quantity="-40")]
    response = house.post(writer, "positions", {"rows": batch})
    assert response.status_code == 201, response.content
    loaded = BookLoad.objects.get()
    assert (response.json()["book_load"], response.json()["rows"]) == (loaded.pk, 2)
    assert (held(), held("IWM")) == (75, -40)
    fact = PositionFact.objects.get(reference=f"book:{loaded.pk}", instrument__code="AIG")
    assert (fact.change, fact.quantity, fact.cause) == (-25, 75, "book")


def test_the_same_statement_for_the_same_instant_is_taken_once(writer, furnished):
    body = {"effective_at": stamp(seconds=1), "rows": [house.position()]}
    assert house.post(writer, "positions", body, once="one").status_code == 201
    again = house.post(writer, "positions", body, once="two")
    assert again.status_code == 422
    assert "already" in again.json()["errors"][0]["reason"]
    later = house.post(writer, "positions", {"rows": [house.position()]}, once="three")
    assert later.status_code == 201


def test_a_statement_older_than_what_we_know_is_refused(writer, furnished):
    body = {"effective_at": "2020-01-01T00:00:00Z", "rows": [house.position()]}
    response = house.post(writer, "positions", body)
    assert (response.status_code, response.json()["errors"][0]["row"]) == (422, 1)
    assert held() == 100


def test_a_key_for_one_source_writes_for_no_other(furnished):
    client = house.bearer(house.key("quotes:write:venue-b", "quotes:write:venue-c")[1])
    response = house.post(client, "quotes", {"rows": [house.quote(), house.quote(source="venue-d")]})
    assert response.status_code == 422
    assert (response.json()["errors"][0]["row"], response.json()["errors"][0]["field"]) == (2, "source")
    assert house.post(client, "quotes", {"rows": [house.quote()]}).status_code == 201
    assert house.post(client, "fills", {"rows": [house.fill()]}).status_code == 403


def test_the_largest_batch_of_quotes_takes_few_statements(writer, furnished, django_assert_max_num_queries):
    for number in range(100):
        rows.equity(f"Q-{number}")
    batch = [house.quote(instrument=f"Q-{number}", mark=f"{10 + number}.5") for number in range(100)]
    with django_assert_max_num_queries(25):
        assert house.post(writer, "quotes", {"rows": batch}).json()["accepted"] == 100


def test_a_batch_of_fills_takes_few_statements(writer, furnished, django_assert_max_num_queries):
    batch = [house.fill(external_reference=f"B-{number}") for number in range(200)]
    with django_assert_max_num_queries(40):
        assert len(house.post(writer, "fills", {"rows": batch}).json()["ids"]) == 200
    assert held() == 100 - 200 * 10
