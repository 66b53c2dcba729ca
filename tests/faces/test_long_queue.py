"""The queue in a storm: thousands of open calls come by due time, through an index, on the page and by the API."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Account, Client, Revision
from margin import calls
from margin.models import MarginCall
from tests.margin import rows
from tests.margin.rows import AT, SWEEPER

QUEUE = "admin:margin_margincall_changelist"


@pytest.fixture(params=[1_000, pytest.param(10_000, marks=pytest.mark.long)])
def storm(db, request):
    """So many open calls, which fall due in another order than they were made in."""
    version = rows.policy()
    client = Client.objects.create(code="CROWD", name="Crowd")
    crowd = [Account(code=f"Q{n:05}", client=client, agreement="us_margin", base_currency="USD", opened_on=AT.date())
             for n in range(request.param)]  # fmt: skip
    Account.objects.bulk_create(crowd, 2_000)
    Revision.objects.bulk_create([Revision(account=account) for account in crowd], 2_000)
    moves = [
        rows.issue(account, version, due_in=timedelta(minutes=1 + (7_919 * place) % len(crowd)))
        for place, account in enumerate(crowd)
    ]
    for start in range(0, len(moves), calls.LARGEST_BATCH):
        outcomes = calls.carry_out(moves[start : start + calls.LARGEST_BATCH], at=AT, actor=SWEEPER)
        assert all(outcome.is_done for outcome in outcomes)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE margin_margincall")
    return len(crowd)


def plan_of(captured: CaptureQueriesContext) -> str:
    """The plan of the one query that fetched a page of calls."""
    (page,) = [one["sql"] for one in captured if 'ORDER BY "margin_margincall"."due_at"' in one["sql"]]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {page}")
        return "\n".join(line for (line,) in cursor.fetchall())


def test_the_page_of_a_storm_is_in_the_order_of_deadlines_and_comes_through_the_index(storm, sign_in):
    browser = sign_in("Operations")
    with CaptureQueriesContext(connection) as captured:
        answer = browser.get(reverse(QUEUE), {"work": "open"})
    shown = [call.due_at for call in answer.context["cl"].result_list]
    expected = MarginCall.objects.open().order_by("due_at").values_list("due_at", flat=True)
    assert shown == list(expected[: len(shown)])
    assert answer.context["cl"].result_count == storm
    assert "queue_by_due" in plan_of(captured)


def test_the_list_of_a_storm_by_the_api_is_in_the_order_of_deadlines_and_comes_through_the_index(storm, sign_in):
    browser = sign_in("Operations")
    with CaptureQueriesContext(connection) as captured:
        answer = browser.get("/api/v1/calls/", {"open": "true"}).json()
    due = [call["due_at"] for call in answer["results"]]
    assert due == sorted(due)
    assert len(due) < answer["count"] == storm
    assert "queue_by_due" in plan_of(captured)
