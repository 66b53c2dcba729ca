"""What people do with calls by the API: every verb, in every state, by every role, as an own table says."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jsonschema
import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.test import Client
from django.utils import timezone

from backoffice import keys
from backoffice.demo.policies import US_MARGIN
from margin import calls, requests, verbs
from margin.actors import Actor, person
from margin.models import Assessment, Event, MarginCall, Request, Sweep
from margin.workflow import Cause, Resolution
from tests.api import house
from tests.margin import rows

pytestmark = pytest.mark.django_db
CLOCK = {"unit": "hours", "count": 48}
TERMS = {
    **US_MARGIN,
    "calendar": "24/7",
    "regimes": [{**US_MARGIN["regimes"][0], "second_approval_above": "500", "clock": CLOCK}],
}
ROLES = ("Operations", "Supervisor", "Risk", "Compliance", "Auditor", "Administrator")
STATES = ("issued", "escalated", "met", "cancelled")
DESK, MAKERS, CHECKERS = ("O", "S", "R", "C"), ("O", "S"), ("S", "R")
LETTER = {"O": "Operations", "S": "Supervisor", "R": "Risk", "C": "Compliance"}

# verb: (who may, in which states it succeeds, its refusal in the others; 0: 409 or 422).
TABLE: dict[str, tuple[tuple[str, ...], str, int]] = {
    "note": (DESK, "issued escalated met cancelled", 0),
    "contact": (DESK, "issued escalated met cancelled", 0),
    "open_task": (DESK, "issued escalated met cancelled", 0),
    "claim": (MAKERS, "issued escalated", 409),
    "pledge": (MAKERS, "issued escalated", 409),
    "dispute": (("O", "S", "C"), "issued escalated", 0),
    "ask_extension": (MAKERS, "issued", 409),
    "ask_hold": (MAKERS, "issued escalated", 409),
    "ask_acceleration": (CHECKERS, "issued escalated", 409),
    "escalate": (CHECKERS, "issued", 409),
    "propose_cancel": (MAKERS, "issued escalated", 409),
    "cancel": (("S", "C"), "", 409),  # nobody asked
    "release": (CHECKERS, "", 409),  # it is not held
    "meet": (MAKERS, "", 0),  # it is not paid
    "propose": (MAKERS, "", 0),  # no book to size it on
}


def text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def bodies(call: MarginCall) -> dict[str, dict[str, Any]]:
    """A good body of every verb."""
    now = timezone.now()
    soon, later = text(now + timedelta(minutes=30)), text(call.due_at + timedelta(days=1))
    why = {"reason": "the client rang"}
    paid = {"amount": "40", "currency": "USD", "method": "wire", "reference": "FT 77"}
    return {
        "note": why, "escalate": why, "cancel": why, "release": why, "propose": why,
        "propose_cancel": {**why, "reason_code": "bad_price"},
        "contact": {"channel": "phone", "direction": "out", "outcome": "no_answer", "text": "rang twice"},
        "open_task": {"kind": "phone_client", "title": "Phone again", "due_at": soon},
        "claim": paid,
        "pledge": {**paid, "kind": "cash"},
        "dispute": {"amount": "30", "reason_code": "position", "reason": "500 shares are missing"},
        "ask_extension": {**why, "until": later, "reason_code": "bank_transfer"},
        "ask_hold": {**why, "until": soon, "reason_code": "payment_check"},
        "ask_acceleration": {**why, "due_at": soon, "reason_code": "volatility"},
        "meet": {"how": "cash"},
    }  # fmt: skip


@dataclass(frozen=True)
class Desk:
    """One call in each state and a person of each role, logged in."""

    calls: dict[str, MarginCall]
    people: dict[str, Client]
    actors: dict[str, Actor]


@pytest.fixture
def desk(db):
    version = rows.policy(terms=TERMS)
    people = {role: logged_in(role) for role in ROLES}
    return Desk(
        {state: in_state(state, version) for state in STATES},
        people,
        {role: person(User.objects.get(username=f"api.{role.lower()}")) for role in ROLES},
    )


def in_state(state: str, version: Any) -> MarginCall:
    at = timezone.now() - timedelta(hours=2)
    rows.cash()
    move = rows.issue(rows.account(), version, at=at, due_in=timedelta(days=1))
    call = MarginCall.objects.get(pk=calls.carry_out([move], at=at, actor=rows.SWEEPER)[0].call_id)
    if state == "escalated":
        return calls.escalate(call, cause=Cause.SEVERITY, at=at, actor=rows.SWEEPER)
    if state == "met":
        return calls.meet(call, how=Resolution.CASH, at=at, actor=rows.SWEEPER)
    if state == "cancelled":
        (asked,) = requests.ask_retraction(
            [call], reason_code="other", reason="wrong", at=at, actor=rows.staff("olga", "Operations")
        )
        requests.grant(asked, at=at, actor=rows.staff("sam", "Supervisor"))
    return MarginCall.objects.get(pk=call.pk)


def logged_in(role: str, name: str = "") -> Client:
    client = Client()
    user = User.objects.create_user(name or f"api.{role.lower()}", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    return client


def act(client: Client, row: Any, verb: str, body: Any, *, on: str = "calls", once: str | None = "k-1") -> Any:
    return house.post(client, f"{on}/{row.pk}/{verb}", body, once=once)


def test_the_table_below_is_of_every_verb_on_calls():
    assert {act.name for act in verbs.ACTS if act.on == "calls"} == set(TABLE)


@pytest.mark.parametrize("verb", TABLE)
def test_every_verb_answers_every_role_in_every_state_as_the_table_says(verb, desk):
    """And what is offered is what is taken; but whether a sale helps is known once it is sized."""
    letters, states, refused = TABLE[verb]
    allowed = {LETTER[letter] for letter in letters}
    for state, call in desk.calls.items():
        body, before = bodies(call)[verb], Event.objects.filter(call=call).count()
        for role, client in desk.people.items():
            with transaction.atomic():
                answer = act(client, call, verb, body)
                left = Event.objects.filter(call=call).count()
                transaction.set_rollback(True)
            is_offered = verb in {
                one.name for one in verbs.offered("calls", call, desk.actors[role], at=timezone.now())
            }
            assert is_offered == (answer.status_code == 200) or verb == "propose", (verb, state, role)
            if role not in allowed:
                assert answer.status_code == 403, (verb, state, role, answer.content)
            elif state in states.split():
                assert answer.status_code == 200, (verb, state, role, answer.content)
                assert left > before
            else:
                assert answer.status_code in ((refused,) if refused else (409, 422)), (
                    verb,
                    state,
                    role,
                    answer.content,
                )
            if answer.status_code != 200:
                assert answer.json()["detail"].strip()
                assert left == before


def offered(client: Client, row: Any, on: str = "calls") -> set[str]:
    return {one["name"] for one in client.get(f"/api/v1/{on}/{row.pk}/verbs/").json()["verbs"]}


def test_whoever_asks_is_told_what_they_may_do_with_its_address_and_its_body(desk):
    call = desk.calls["issued"]
    found = desk.people["Risk"].get(f"/api/v1/calls/{call.pk}/verbs/").json()["verbs"]
    assert {one["name"] for one in found} == {"contact", "note", "open_task", "ask_acceleration", "escalate"}
    for one in found:
        jsonschema.Draft202012Validator(one["body"]).validate(bodies(call)[one["name"]])
        assert one["address"] == f"/api/v1/calls/{call.pk}/{one['name']}/"
    assert offered(desk.people["Auditor"], call) == set()
    assert desk.people["Administrator"].get(f"/api/v1/calls/{call.pk}/verbs/").status_code == 403


def test_a_repeat_has_one_effect_and_the_same_reply(desk):
    call, client = desk.calls["issued"], desk.people["Operations"]
    first = act(client, call, "note", {"reason": "rang"}, once="a")
    again = act(client, call, "note", {"reason": "rang"}, once="a")
    other = act(client, call, "note", {"reason": "wrote"}, once="a")
    assert (first.status_code, again.status_code, other.status_code) == (200, 200, 422)
    assert again.content == first.content
    assert again["Idempotent-Replayed"] == "true"
    assert Event.objects.filter(call=call, kind="call.note").count() == 1
    assert act(client, call, "note", {"reason": "rang"}, once=None).status_code == 400


def test_whoever_saw_an_older_call_is_told_that_it_moved_on(desk):
    call = desk.calls["issued"]
    act(desk.people["Operations"], call, "note", {"reason": "rang"})
    answer = act(desk.people["Supervisor"], call, "escalate", {"reason": "late", "seq": call.seq})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:margin-desk:problem:stale-call")
    assert "moved on" in answer.json()["detail"]


def test_bodies_are_read_strictly(desk):
    call, client = desk.calls["issued"], desk.people["Operations"]
    for wrong in (
        {}, {"reason": ""}, {"reason": 7}, {"reason": "x", "surprise": "1"}, {"reason": "x" * 401}, [],
        {"reason": "x", "seq": "one"}, {"reason": " x"},
    ):  # fmt: skip
        assert act(client, call, "note", wrong).status_code == 422, wrong
    claim = bodies(call)["claim"]
    for wrong in ({"amount": 40}, {"amount": "4e1000"}, {"method": "pigeon"}, {"expected_at": "tomorrow"}):
        assert act(client, call, "claim", {**claim, **wrong}).status_code == 422, wrong


def test_an_extension_is_granted_by_another_person_and_by_no_one_twice(desk):
    call, supervisor = desk.calls["issued"], desk.people["Supervisor"]
    asked = act(supervisor, call, "ask_extension", bodies(call)["ask_extension"])
    request = Request.objects.get(pk=asked.json()["row"]["id"])
    assert asked.json()["row"]["list"] == "requests"
    assert offered(supervisor, request, "requests") == {"withdraw"}
    own = act(supervisor, request, "grant", {}, on="requests", once="a")
    assert (own.status_code, "another person" in own.json()["detail"]) == (422, True)
    other = logged_in("Supervisor", "another")
    assert offered(other, request, "requests") == {"grant", "deny"}
    granted = act(other, request, "grant", {}, on="requests")
    assert granted.status_code == 200
    assert granted.json()["call"]["due_at"] == bodies(call)["ask_extension"]["until"]
    assert act(other, request, "deny", {"reason": "no"}, on="requests", once="b").status_code == 409


def test_a_request_is_denied_with_a_reason_or_withdrawn_by_who_asked(desk):
    call, operations = desk.calls["issued"], desk.people["Operations"]
    for verb, body, client in (
        ("deny", {"reason": "no proof"}, desk.people["Supervisor"]), ("withdraw", {}, operations),
    ):  # fmt: skip
        asked = act(operations, call, "ask_extension", bodies(call)["ask_extension"], once=f"ask {verb}")
        request = Request.objects.get(pk=asked.json()["row"]["id"])
        assert act(client, request, verb, body, on="requests", once=verb).status_code == 200
        request.refresh_from_db()
        assert request.state == {"deny": "denied", "withdraw": "withdrawn"}[verb]


def test_a_claim_a_dispute_and_a_task_are_ended_where_they_live(desk):
    call, operations = desk.calls["issued"], desk.people["Operations"]
    act(operations, call, "claim", bodies(call)["claim"], once="claim")
    act(operations, call, "dispute", bodies(call)["dispute"], once="dispute")
    task, cure, dispute = call.tasks.get(), call.cures.get(), call.disputes.get()
    assert act(operations, task, "take", {}, on="tasks").status_code == 200
    found = {"finding": "not_found", "reason": "the bank knows nothing"}
    assert act(operations, cure, "check", found, on="cures", once="check").status_code == 200
    refused = act(operations, dispute, "decide", {"finding": "rejected", "reason": "x"}, on="disputes", once="own")
    assert refused.status_code == 403
    decided = {"finding": "partly", "granted": "10", "reason": "100 shares were missing"}
    answer = act(desk.people["Compliance"], dispute, "decide", decided, on="disputes")
    assert (answer.status_code, answer.json()["call"]["amount_called"]) == (200, "90")
    other = act(operations, call, "open_task", bodies(call)["open_task"], once="task").json()["row"]
    closed = house.post(operations, f"tasks/{other['id']}/close", {"outcome": "spoke with her"}, once="close")
    assert closed.status_code == 200
    assert house.post(operations, f"tasks/{other['id']}/close", {"outcome": "twice"}, once="b").status_code == 409


def test_one_proposal_retracts_many_calls_all_or_none(desk):
    listed = [desk.calls["issued"].pk, desk.calls["escalated"].pk]
    body = {"calls": listed, "reason_code": "bad_price", "reason": "the feed sent 0.01"}
    asked = house.post(desk.people["Operations"], "retractions", body)
    assert asked.status_code == 201, asked.content
    first = Request.objects.get(pk=asked.json()["requests"][0])
    assert act(desk.people["Compliance"], first, "grant", {"whole_batch": True}, on="requests").status_code == 200
    assert set(MarginCall.objects.filter(pk__in=listed).values_list("state", flat=True)) == {"cancelled"}
    again = house.post(desk.people["Operations"], "retractions", body, once="again")
    assert again.status_code == 409


def test_calls_that_rest_on_a_wrong_price_are_found_by_it(desk):
    call, share = desk.calls["issued"], rows.equity("XYZ")
    at = timezone.now()
    sweep = Sweep.objects.create(kind="securities", slot_at=at, at=at, started_at=at)
    found = Assessment.objects.create(
        sweep=sweep, account=call.account, policy_version=call.policy_version, at=at, status="priced", currency="USD",
        holdings=[[share.pk, "10", None, "0.01"]],
    )  # fmt: skip
    rests = calls.carry_out(
        [rows.issue(rows.account(), call.policy_version, at=at, assessment_id=found.pk)], at=at, actor=rows.SWEEPER
    )[0]
    body = {
        "instrument": "XYZ", "assessed_from": text(at - timedelta(hours=1)), "reason_code": "bad_price", "reason": "x",
    }  # fmt: skip
    asked = house.post(desk.people["Operations"], "retractions", body)
    assert asked.status_code == 201, asked.content
    assert [Request.objects.get(pk=pk).call_id for pk in asked.json()["requests"]] == [rests.call_id]
    none = house.post(desk.people["Operations"], "retractions", {**body, "price": "0.02"}, once="b")
    assert none.status_code == 409


def test_a_call_by_hand_is_issued_or_above_the_limit_asked_for(desk):
    rows.account("H-1")
    body = {"account": "H-1", "regime": "house", "amount": "500", "reason": "custodian's figure"}
    made = house.post(desk.people["Operations"], "calls", body, once="a")
    assert made.status_code == 201, made.content
    assert made.json()["call"]["amount_called"] == "500"
    rows.account("H-2")
    asked = house.post(desk.people["Operations"], "calls", {**body, "account": "H-2", "amount": "500.01"}, once="b")
    assert (asked.status_code, asked.json()["call"]) == (202, None)
    request = Request.objects.get(pk=asked.json()["row"]["id"])
    issued = act(desk.people["Risk"], request, "grant", {"reason": "seen"}, on="requests")
    assert issued.json()["call"]["amount_called"] == "500.01"
    assert house.post(desk.people["Risk"], "calls", body, once="c").status_code == 403


def test_a_key_acts_in_the_name_and_role_of_who_answers_for_it(desk):
    sam = User.objects.get(username="api.supervisor")
    at = timezone.now()
    span = {"created_by": sam, "at": at, "expires_at": at + timedelta(days=1)}
    machine = house.bearer(keys.issue(name="bot", scopes=("calls:write",), **span)[1])
    call = desk.calls["issued"]
    assert act(machine, call, "escalate", {"reason": "late"}).status_code == 200
    event = Event.objects.filter(call=call).latest("id")
    assert '"api.supervisor"' in event.body
    assert act(machine, call, "ask_acceleration", {}, once="b").status_code == 422
    reads = house.bearer(house.key("read")[1])
    assert act(reads, call, "note", {"reason": "x"}).status_code == 403
    admins = house.bearer(house.key("calls:write")[1])
    assert act(admins, call, "note", {"reason": "x"}).status_code == 403


def test_rows_that_are_not_there_are_404(desk):
    for address in ("calls/999999/note", "requests/999999/grant", "calls/99999999999999999999/note"):
        assert house.post(desk.people["Supervisor"], address, {"reason": "x"}).status_code == 404, address
    assert desk.people["Supervisor"].get("/api/v1/calls/999999/verbs/").status_code == 404
