"""The queue and the first page: order, views, search, and a number of queries that does not grow with the rows."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.faces import house as houses
from tests.margin import rows

QUEUE = "admin:margin_margincall_changelist"


def shown(answer) -> list[str]:
    return [call.number for call in answer.context["cl"].result_list]


def queries(browser, url: str) -> int:
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert browser.get(url).status_code == 200
    return len(captured)


def test_overdue_calls_come_first_then_the_least_time_left(house, sign_in):
    assert shown(sign_in("Operations").get(reverse(QUEUE))) == [
        house.late.number,
        house.call.number,
        house.severe.number,
    ]


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ("open", ["late", "call", "severe"]),
        ("overdue", ["late"]),
        ("hour", []),
        ("escalated", ["severe"]),
        ("undelivered", ["late"]),
        ("closed", []),
    ],
)
def test_a_saved_view_shows_its_calls_and_no_others(house, sign_in, view, expected):
    found = shown(sign_in("Operations").get(reverse(QUEUE), {"work": view}))
    assert found == [getattr(house, name).number for name in expected]


@pytest.mark.parametrize("words", ["{number}", "{lower}", "A1008", "alder"])
def test_a_call_is_found_by_its_number_account_or_client(house, sign_in, words):
    words = words.format(number=house.call.number, lower=house.call.number.lower())
    assert shown(sign_in("Operations").get(reverse(QUEUE), {"q": words})) == [house.call.number]


@pytest.mark.parametrize("words", ["MC-999999999999999", "MC-", "%", "'; DROP TABLE", "x" * 500])
def test_a_search_for_nonsense_finds_nothing_and_breaks_nothing(house, sign_in, words):
    assert shown(sign_in("Operations").get(reverse(QUEUE), {"q": words})) == []


def test_the_queue_takes_as_many_queries_for_thirty_calls_as_for_three(house, sign_in):
    browser = sign_in("Operations")
    few = queries(browser, reverse(QUEUE))
    for _ in range(27):
        houses.open_call(
            rows.account(), house.version, at=house.at, due_in=timedelta(days=1), assessment=house.assessment
        )
    assert queries(browser, reverse(QUEUE)) == few <= 21


def test_the_first_page_takes_as_many_queries_for_thirty_calls_as_for_three(house, sign_in):
    browser = sign_in("Operations")
    few = queries(browser, reverse("admin:index"))
    for _ in range(27):
        houses.open_call(rows.account(), house.version, at=house.at, due_in=timedelta(days=1), assessment=None)
    assert queries(browser, reverse("admin:index")) == few <= 35


def test_a_call_page_takes_a_bounded_number_of_queries(house, sign_in):
    url = reverse("admin:margin_margincall_change", args=(house.call.pk,))
    assert queries(sign_in("Operations"), url) <= 42


def test_tiles_count_what_their_lists_show(house, sign_in):
    browser = sign_in("Operations")
    tiles = {tile.label: tile for tile in browser.get(reverse("admin:index")).context["tiles"]}
    assert {label: tile.count for label, tile in tiles.items()} == {
        "Overdue": 1,
        "Due in less than 1 h": 0,
        "Due today": tiles["Due today"].count,  # depends on how far the desk's midnight is
        "Escalated": 1,
        "Approvals waiting": 2,
        "Undelivered notices": 1,
        "Quarantine": 1,
        "Unpriced accounts": 1,
        "Warnings": 1,
    }
    for tile in tiles.values():
        answer = browser.get(tile.url)
        assert answer.status_code == 200, tile.label
        if "cl" in answer.context:
            assert answer.context["cl"].result_count == tile.count, tile.label


def test_amounts_of_different_currencies_are_never_added(house, sign_in):
    other = rows.account("E5001", currency="EUR")
    move = rows.issue(other, house.version, at=house.at - timedelta(days=3), due_in=timedelta(days=1), amount="100")
    move.changes["currency"] = "EUR"
    from margin import calls

    calls.carry_out([move], at=house.at - timedelta(days=3), actor=houses.SWEEPER)
    tiles = sign_in("Operations").get(reverse("admin:index")).context["tiles"]
    overdue = next(tile for tile in tiles if tile.label == "Overdue")
    assert overdue.count == 2
    assert "250.50" in overdue.detail
    assert "100.00" in overdue.detail
