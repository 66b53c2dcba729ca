"""The call page and its buttons: only legal ones, one domain call each, refusals said in a sentence."""

import pytest
from django.urls import reverse

from margin import calls, requests, verbs
from margin.models import Event, MarginCall
from tests.faces import house as houses

VERBS = tuple(act.name for act in verbs.ACTS if act.on == "calls")
EACH = {"contact", "note", "open_task"}
MAKING = EACH | {"claim", "pledge", "ask_hold", "propose_cancel"}
BUTTONS = {
    # role: (on an issued call, on an escalated call)
    "Operations": (MAKING | {"dispute"}, MAKING | {"dispute", "propose"}),
    "Supervisor": (MAKING | {"dispute", "escalate"}, MAKING | {"dispute", "propose"}),
    "Risk": (EACH | {"escalate"}, EACH),
    "Compliance": (EACH | {"dispute"}, EACH | {"dispute"}),
    "Auditor": (set(), set()),
}


def page_of(call: MarginCall) -> str:
    return reverse("admin:margin_margincall_change", args=(call.pk,))


def button(call: MarginCall, verb: str) -> str:
    return reverse("admin:margin_margincall_do", args=(call.pk, verb))


def offered(browser, call: MarginCall) -> set[str]:
    page = browser.get(page_of(call)).content.decode()
    return {verb for verb in VERBS if f'action="{button(call, verb)}"' in page}


def told(answer) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


@pytest.mark.parametrize("role", BUTTONS)
def test_a_role_is_offered_its_legal_buttons_and_no_others(house, sign_in, role):
    browser = sign_in(role)
    assert (offered(browser, house.call), offered(browser, house.severe)) == BUTTONS[role]


def test_a_closed_call_offers_nothing_but_words(house, sign_in):
    asker, decider = houses.actor("operations", "Operations"), houses.actor("supervisor", "Supervisor")
    asked = requests.ask_retraction(
        [house.call], reason_code="bad_price", reason="wrong price", at=house.at, actor=asker
    )
    requests.grant(asked[0], at=house.at, actor=decider, reason="agreed")
    assert offered(sign_in("Supervisor"), house.call) == {"note", "contact", "open_task"}


@pytest.mark.parametrize("role", ["Auditor", "Administrator"])
def test_pressing_any_button_as_auditor_or_administrator_changes_nothing(house, sign_in, role):
    browser, before = sign_in(role), Event.objects.count()
    for call in (house.call, house.severe):
        for verb in VERBS:
            assert browser.post(button(call, verb), {"reason": "because"}).status_code in (302, 403)
    assert Event.objects.count() == before
    assert MarginCall.objects.get(pk=house.call.pk).state == "issued"


def test_escalating_by_a_button_leaves_one_event_with_the_persons_name_and_reason(house, sign_in):
    answer = sign_in("Supervisor").post(
        button(house.call, "escalate"), {"reason": "client unreachable", "seq": house.call.seq}, follow=True
    )
    assert "MC-" in told(answer)
    assert "is escalated" in told(answer)
    event = Event.objects.filter(call=house.call).latest("id")
    assert ("call.escalated", '"supervisor"' in event.body, "client unreachable" in event.body) == (
        event.kind,
        True,
        True,
    )


def test_a_call_that_moved_on_since_it_was_opened_is_not_touched_and_the_page_says_so(house, sign_in):
    calls.note(house.call, text="phoned", at=house.at, actor=houses.actor("operations", "Operations"))
    answer = sign_in("Supervisor").post(
        button(house.call, "escalate"), {"reason": "late", "seq": house.call.seq}, follow=True
    )
    assert "moved on" in told(answer)
    assert MarginCall.objects.get(pk=house.call.pk).state == "issued"


def test_a_missing_reason_is_refused_in_a_sentence(house, sign_in):
    answer = sign_in("Supervisor").post(button(house.call, "escalate"), {"reason": " "}, follow=True)
    assert "Not done. Reason is missing" in told(answer)


def test_buttons_answer_only_to_post(house, sign_in):
    assert sign_in("Supervisor").get(button(house.call, "escalate")).status_code == 405


def test_an_unknown_button_or_call_is_not_found(house, sign_in):
    browser = sign_in("Supervisor")
    assert browser.post(button(house.call, "liquidate")).status_code == 404
    assert browser.post(reverse("admin:margin_margincall_do", args=(999999, "note"))).status_code == 404
    assert browser.get(reverse("admin:margin_margincall_change", args=(999999,))).status_code == 404


def test_a_post_without_the_forms_token_is_refused(house):
    from django.test import Client

    browser = Client(enforce_csrf_checks=True)
    browser.force_login(houses.user("supervisor", "Supervisor"), backend="django.contrib.auth.backends.ModelBackend")
    assert browser.post(button(house.call, "note"), {"reason": "x"}).status_code == 403


def test_a_retraction_takes_two_people(house, sign_in):
    supervisor, other = sign_in("Supervisor"), sign_in("Supervisor", "supervisor.two")
    supervisor.post(button(house.call, "propose_cancel"), {"reason": "wrong price"})
    assert "another person must decide" in told(
        supervisor.post(button(house.call, "cancel"), {"reason": "agreed"}, follow=True)
    )
    assert MarginCall.objects.get(pk=house.call.pk).state == "issued"
    other.post(button(house.call, "cancel"), {"reason": "agreed"})
    assert MarginCall.objects.get(pk=house.call.pk).state == "cancelled"


def test_the_page_says_why_what_and_that_its_chain_is_intact(house, sign_in):
    page = sign_in("Auditor").get(page_of(house.call)).content.decode()
    for words in (
        "71,964.00",
        "210,400.25",
        "282,364.25",
        "short 4000 at 149.5, 30 % house rate",
        "FINRA 4210(c)(3)",
        "chain intact to seq 1",
        Event.objects.get(call=house.call).hash,
        "delivered",
        "GMT (client)",
    ):
        assert words in page, words


def test_hostile_words_are_shown_as_words(house, sign_in):
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>{{ 7|add:7 }}"
    sign_in("Operations").post(button(house.call, "note"), {"reason": hostile})
    page = sign_in("Auditor").get(page_of(house.call)).content.decode()
    assert "<script>alert(1)" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)" in page
