"""Money taken back, fills that were bust and securities brought in, by the API: all or nothing, each once."""

from decimal import Decimal

import pytest

from accounts.models import Adjustment, CashMovement, Fill, Position
from tests.api import house

pytestmark = pytest.mark.django_db


def held(instrument="AIG"):
    return Position.objects.get(account__code="A-1001", instrument__code=instrument).quantity


def test_a_deposit_is_taken_back_once_however_often_it_is_sent(writer, furnished):
    movement = CashMovement.objects.get(external_reference="FT-1")
    before = held("USD")
    row = {"reverses": movement.pk, "source": "bank", "external_reference": "R-1"}
    first = house.post(writer, "cash-reversals", {"rows": [row]}, once="a")
    again = house.post(writer, "cash-reversals", {"rows": [row]}, once="b")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert held("USD") == before - 250


def test_a_fill_is_bust_and_its_shares_are_gone(writer, furnished):
    fill = Fill.objects.get(external_reference="T-1")
    row = {"reverses": fill.pk, "source": "oms", "external_reference": "B-1"}
    assert house.post(writer, "fill-busts", {"rows": [row]}).status_code == 201
    assert held() == 0


def test_securities_brought_in_are_booked_as_a_delivery(writer, furnished):
    row = {
        "account": "A-1001", "instrument": "AIG", "change": "500", "reason": "Transfer from another firm",
        "external_reference": "ACATS-1", "effective_at": "2026-03-02T15:00:00Z",
    }  # fmt: skip
    assert house.post(writer, "deliveries", {"rows": [row]}).status_code == 201
    assert Adjustment.objects.get(external_reference="ACATS-1").is_delivery
    assert held() == Decimal(600)


@pytest.mark.parametrize("name", ["cash-reversals", "fill-busts"])
def test_what_is_not_there_cannot_be_taken_back(writer, furnished, name):
    row = {"reverses": 10**9, "source": "oms", "external_reference": "X-1"}
    answer = house.post(writer, name, {"rows": [row]})
    assert answer.status_code == 422
    assert "there is nothing with the id" in answer.content.decode()


def test_one_bad_row_leaves_nothing_behind(writer, furnished):
    movement = CashMovement.objects.get(external_reference="FT-1")
    rows = [
        {"reverses": movement.pk, "source": "bank", "external_reference": "R-1"},
        {"reverses": movement.pk, "source": "bank", "external_reference": "R-2"},
    ]
    assert house.post(writer, "cash-reversals", {"rows": rows}).status_code in (409, 422)
    assert not CashMovement.objects.filter(reverses=movement).exists()
