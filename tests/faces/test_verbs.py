"""Every verb by a plain form: filled in as a browser does, refused in a sentence, decided by another person."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from backoffice.demo.policies import US_MARGIN
from margin import calls, casework, claims, disputes, requests
from margin.models import Event, MarginCall, Request, Task
from tests.faces import house as houses
from tests.margin import rows

TERMS = {
    **US_MARGIN,
    "calendar": "24/7",
    "regimes": [{**US_MARGIN["regimes"][0], "clock": {"unit": "hours", "count": 48}}],
}


@pytest.fixture
def call(house) -> MarginCall:
    """A call under terms that can be read, due in two days."""
    version = rows.policy(terms=TERMS)
    return houses.open_call(
        rows.account("E5001"), version, at=house.at, due_in=timedelta(days=2), assessment=None, amount="1000"
    )


def page_of(row) -> str:
    return reverse(f"admin:margin_{row._meta.model_name}_change", args=(row.pk,))


def forms_on(page: str) -> dict[str, str]:
    """Address of each form → what it holds."""
    return {
        match[1]: match[2]
        for match in re.finditer(r'<form method="post" action="([^"]*/do/[^"]*)">(.*?)</form>', page, re.DOTALL)
    }


def told(answer) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


def do(call, verb: str) -> str:
    return reverse("admin:margin_margincall_do", args=(call.pk, verb))


def asked(call, actor, at) -> Request:
    return requests.ask_extension(
        call, until=call.due_at + timedelta(days=1), reason_code="bank_transfer", reason="in flight", at=at, actor=actor
    )


def test_every_form_has_its_token_and_the_seq_that_was_seen(call, sign_in):
    forms = forms_on(sign_in("Supervisor").get(page_of(call)).content.decode())
    assert len(forms) >= 9
    for address, inside in forms.items():
        assert "csrfmiddlewaretoken" in inside, address
        assert f'name="seq" value="{call.seq}"' in inside, address


def test_more_time_is_asked_in_a_form_and_granted_in_the_page_of_the_request(call, sign_in):
    wanted = call.due_at + timedelta(hours=5)
    typed = {"until": f"{wanted:%Y-%m-%dT%H:%M}", "reason_code": "bank_transfer", "reason": "wire\r\nin flight"}
    answer = sign_in("Operations").post(do(call, "ask_extension"), {**typed, "seq": call.seq}, follow=True)
    assert "another person decides" in told(answer)
    request = Request.objects.get(call=call)
    assert request.reason == "wire in flight"
    supervisor = sign_in("Supervisor")
    page = supervisor.get(page_of(request)).content.decode()
    grant = next(address for address in forms_on(page) if address.endswith("/grant/"))
    supervisor.post(grant, {"reason": "seen the advice", "seq": request.seq})
    call.refresh_from_db()
    assert call.due_at == wanted.replace(second=0, microsecond=0)


def test_what_is_left_out_is_named_as_the_form_names_it(call, sign_in):
    answer = sign_in("Operations").post(do(call, "claim"), {"amount": "1,000"}, follow=True)
    words = told(answer)
    assert "Not done." in words
    assert "Amount" in words
    assert "Reference is missing" in words
    assert Event.objects.filter(call=call).count() == 1


def test_a_form_of_another_role_changes_nothing(call, sign_in):
    for role in ("Risk", "Auditor"):
        typed = {"amount": "5", "currency": "USD", "method": "wire", "reference": "x"}
        answer = sign_in(role).post(do(call, "claim"), typed, follow=True)
        assert "may not do this" in told(answer), role
    assert Event.objects.filter(call=call).count() == 1


def case(call, house) -> dict[str, object]:
    """One of each: asked, claimed, disputed, to be done."""
    operations, at = houses.actor("operations", "Operations"), house.at
    request = asked(call, operations, at)
    cure = claims.claim(
        call, amount=call.amount_outstanding, currency="USD", method="wire", reference="FT 1", at=at, actor=operations
    )
    dispute = disputes.dispute(
        call, amount=call.tolerance + 10, reason_code="position", reason="", at=at, actor=operations
    )
    return {"request": request, "cure": cure, "dispute": dispute, "task": Task.objects.get(call=call)}


def test_the_page_of_a_call_shows_what_is_asked_announced_disputed_and_to_be_done(call, house, sign_in):
    found = case(call, house)
    page = sign_in("Supervisor").get(page_of(call)).content.decode()
    for words in ("Asked and decided", "Announced, not here yet", "Disputes", "Tasks", "FT 1", "the deadline waits"):
        assert words in page, words
    addresses = forms_on(page)
    for name, verb in (("request", "grant"), ("cure", "check"), ("dispute", "decide"), ("task", "close")):
        on = {"request": "requests", "cure": "cures", "dispute": "disputes", "task": "tasks"}[name]
        assert reverse(f"admin:cases_{on}_do", args=(found[name].pk, verb)) in addresses, name


@pytest.mark.parametrize("role", ["Operations", "Supervisor", "Risk", "Compliance", "Auditor", "Administrator"])
def test_lists_and_pages_of_cases_open_for_the_desk_and_not_for_the_administrator(call, house, sign_in, role):
    browser, expected = sign_in(role), 403 if role == "Administrator" else 200
    for row in case(call, house).values():
        changelist = reverse(f"admin:margin_{row._meta.model_name}_changelist")
        assert browser.get(changelist).status_code == expected, row
        assert browser.get(page_of(row)).status_code == expected, row


def test_a_task_is_taken_on_and_closed_on_its_own_page(call, house, sign_in):
    task = case(call, house)["task"]
    operations = sign_in("Operations")
    forms = forms_on(operations.get(page_of(task)).content.decode())
    take, close = (next(one for one in forms if one.endswith(f"/{verb}/")) for verb in ("take", "close"))
    operations.post(take, {})
    answer = operations.post(close, {"outcome": "found it", "back": "call"})
    assert answer["Location"] == page_of(call)
    task.refresh_from_db()
    assert (task.owner.username, task.outcome) == ("operations", "found it")


def test_requests_wait_in_the_inbox_for_another_person(call, house, sign_in):
    asked(call, houses.actor("operations", "Operations"), house.at)
    page = sign_in("Supervisor").get(reverse("admin:approvals")).content.decode()
    assert "Extension" in page
    assert call.number in page
    own = sign_in("Operations").get(reverse("admin:approvals")).content.decode()
    assert "another person must decide" in own


def queries(browser, call) -> int:
    with CaptureQueriesContext(connection) as found:
        assert browser.get(page_of(call)).status_code == 200
    return len(found)


def test_the_queries_of_a_calls_page_do_not_grow_with_its_cases(call, house, sign_in):
    case(call, house)
    browser, at = sign_in("Supervisor"), timezone.now()
    queries(browser, call)
    before = queries(browser, call)
    operations = houses.actor("operations", "Operations")
    for number in range(5):
        calls.note(call, text=f"note {number}", at=at, actor=operations)
        claims.pledge(
            call, kind="cash", amount=10 + call.tolerance, currency="USD", method="wire", reference=f"P {number}",
            at=at, actor=operations,
        )  # fmt: skip
        casework.open_task(
            call, kind=f"kind_{number}", title="do it", due_at=at + timedelta(hours=1), at=at, actor=operations
        )
    assert queries(browser, call) == before
