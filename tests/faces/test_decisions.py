"""What takes a second person: liquidation plans, policies, held quotes, corporate actions. Through the pages alone."""

import json
from datetime import timedelta

import pytest
import time_machine
from django.urls import reverse
from django.utils import timezone

from margin import calls, sweep
from margin.models import MarginCall, Plan, PolicyVersion
from market.models import CorporateAction, HeldQuote, Quote
from tests.faces import house as houses
from tests.faces.test_call_page import button, told
from tests.margin import rows, world


@pytest.fixture
def short_call(db) -> MarginCall:
    """An escalated call over 100.00: 100 units at 50.00 with 3,600.00 borrowed against a house rate of 30 %."""
    now = timezone.now()
    rows.policy("us_margin", world.securities())
    share = rows.equity("XYZ")
    world.long_account("100", "3600", share, code="A1008")
    world.quote(share, "50", now)
    sweep.run("securities", at=now)
    call = MarginCall.objects.get()
    return calls.escalate(
        call, cause=calls.Cause.PERSON, at=now, actor=houses.actor("supervisor", "Supervisor"), reason="no answer"
    )


@pytest.fixture
def plan(short_call, sign_in) -> Plan:
    sign_in("Operations").post(button(short_call, "propose"), {"reason": "client unreachable", "seq": short_call.seq})
    return Plan.objects.get()


def decide(plan: Plan, verb: str) -> str:
    return reverse(f"admin:margin_plan_{verb}", args=(plan.pk,))


def page(plan: Plan) -> str:
    return reverse("admin:margin_plan_change", args=(plan.pk,))


def test_a_plan_is_proposed_approved_by_another_filled_and_the_call_is_liquidated(plan, short_call, sign_in):
    shown = sign_in("Risk").get(page(plan)).content.decode()
    assert "another person must decide" not in shown
    assert decide(plan, "approve") in shown
    sign_in("Risk").post(decide(plan, "approve"))
    plan.refresh_from_db()
    assert plan.state == "approved"
    line = plan.lines.get()
    fill = {"quantity": str(-line.quantity), "price": "50", "fee": "0", "external_reference": "X-1"}
    answer = sign_in("Operations").post(reverse("admin:margin_plan_fill", args=(line.pk,)), fill, follow=True)
    assert "The fill is booked" in told(answer)
    assert MarginCall.objects.get().state == "liquidated"


def test_a_plan_that_is_out_is_called_off_by_its_page_with_a_reason(plan, short_call, sign_in):
    shown = sign_in("Operations").get(page(plan)).content.decode()
    assert decide(plan, "call_off") not in shown
    sign_in("Risk").post(decide(plan, "approve"))
    assert decide(plan, "call_off") not in sign_in("Auditor").get(page(plan)).content.decode()
    compliance = sign_in("Compliance")
    assert decide(plan, "call_off") in compliance.get(page(plan)).content.decode()
    assert "a reason is needed" in told(compliance.post(decide(plan, "call_off"), {"reason": ""}, follow=True))
    answer = compliance.post(decide(plan, "call_off"), {"reason": "the client paid elsewhere"}, follow=True)
    assert f"Plan {plan.pk} is called off" in told(answer)
    assert decide(plan, "call_off") not in answer.content.decode()
    assert (Plan.objects.get().state, MarginCall.objects.get().state) == ("expired", "escalated")


def test_the_proposer_sees_approve_greyed_with_the_reason_and_is_refused_if_they_press_it_anyway(short_call, sign_in):
    supervisor = sign_in("Supervisor")
    supervisor.post(button(short_call, "propose"), {"reason": "no answer"})
    plan = Plan.objects.get()
    assert "another person must decide" in supervisor.get(page(plan)).content.decode()
    assert "another person must approve" in told(supervisor.post(decide(plan, "approve"), follow=True))
    assert Plan.objects.get().state == "proposed"


@pytest.mark.parametrize("role", ["Operations", "Compliance", "Auditor", "Administrator"])
def test_a_role_that_may_not_approve_has_no_button_and_no_effect(plan, sign_in, role):
    browser = sign_in(role, f"{role}.two")
    assert decide(plan, "approve") not in browser.get(page(plan)).content.decode()
    browser.post(decide(plan, "approve"))
    browser.post(decide(plan, "reject"), {"reason": "no"})
    assert (Plan.objects.get().state, plan.approvals.count()) == ("proposed", 0)


def test_a_rejection_takes_a_reason_and_makes_room_for_another_plan(plan, sign_in):
    risk = sign_in("Risk")
    assert "a reason is needed" in told(risk.post(decide(plan, "reject"), {"reason": ""}, follow=True))
    risk.post(decide(plan, "reject"), {"reason": "price moved"})
    assert Plan.objects.get().state == "rejected"


def test_a_fill_that_cannot_be_is_refused_in_a_sentence_and_what_was_typed_stays(plan, sign_in):
    sign_in("Risk").post(decide(plan, "approve"))
    line = plan.lines.get()
    url, browser = reverse("admin:margin_plan_fill", args=(line.pk,)), sign_in("Operations")
    for quantity in ("NaN", "-3", "1e400", "abc", ""):
        bad = {"quantity": quantity, "price": "50", "fee": "0", "external_reference": "REF-KEPT"}
        assert "REF-KEPT" in browser.post(url, bad).content.decode(), quantity
    too_many = {"quantity": "1000000", "price": "50", "fee": "0", "external_reference": "X-2"}
    assert "Not done" in told(browser.post(url, too_many, follow=True))
    assert not line.fills.exists()


def test_the_plan_waits_in_the_inbox_until_it_is_decided(plan, sign_in):
    inbox = reverse("admin:approvals")
    assert f"Plan {plan.pk}" in sign_in("Risk").get(inbox).content.decode()
    assert "You asked for this" in sign_in("Operations").get(inbox).content.decode()
    sign_in("Risk").post(decide(plan, "approve"))
    assert f"Plan {plan.pk}" not in sign_in("Risk").get(inbox).content.decode()


def test_a_plan_that_expired_waits_no_longer_and_says_so(plan, short_call, sign_in):
    risk, late = sign_in("Risk"), timezone.now() + timedelta(minutes=16)
    with time_machine.travel(late):
        assert f"Plan {plan.pk}" not in risk.get(reverse("admin:approvals")).content.decode()
        shown = risk.get(page(plan)).content.decode()
    assert "propose a new one" in shown
    assert "expired" in shown


# --- quarantine -------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["Operations", "Supervisor", "Risk"])
def test_a_held_quote_is_confirmed_by_a_button_of_the_list(house, sign_in, role):
    browser = sign_in(role)
    confirm = reverse("admin:market_heldquote_confirm", args=(house.held.pk,))
    assert f'formaction="{confirm}"' in browser.get(reverse("admin:market_heldquote_changelist")).content.decode()
    assert "is confirmed" in told(browser.post(confirm, follow=True))
    assert Quote.objects.get(instrument=house.held.instrument).mark == 90


def test_rejecting_a_held_quote_takes_a_reason_and_leaves_the_last_accepted_one(house, sign_in):
    browser, reject = sign_in("Operations"), reverse("admin:market_heldquote_reject", args=(house.held.pk,))
    assert "say why" in told(browser.post(reject, follow=True))
    browser.post(reject, {"reason": "fat finger"})
    assert HeldQuote.objects.get(pk=house.held.pk).state == "rejected"
    assert str(Quote.objects.get(instrument=house.held.instrument).mark.normalize()) == "149.5"


@pytest.mark.parametrize("role", ["Compliance", "Auditor", "Administrator"])
def test_others_neither_see_nor_press_the_buttons_of_the_quarantine(house, sign_in, role):
    browser, confirm = sign_in(role), reverse("admin:market_heldquote_confirm", args=(house.held.pk,))
    assert confirm not in browser.get(reverse("admin:market_heldquote_changelist")).content.decode()
    assert browser.post(confirm).status_code == 403
    assert HeldQuote.objects.get(pk=house.held.pk).state == "held"


# --- policies ---------------------------------------------------------------------------------------

PUBLISH = "admin:margin_policyversion_publish"


def typed(**changes: str) -> dict[str, str]:
    later = (timezone.localtime() + timedelta(days=1)).strftime("%Y-%m-%d %H:%M")
    terms = json.dumps(world.securities())
    return {"code": "us_margin", "effective_at": later, "note": "tighter", "terms": terms, **changes}


def test_a_policy_is_published_by_one_person_of_risk_and_approved_by_another(house, sign_in):
    first, second = sign_in("Risk"), sign_in("Risk", "risk.other")
    first.post(reverse(PUBLISH), typed())
    version = PolicyVersion.objects.order_by("-pk").first()
    approve = reverse("admin:margin_policyversion_approve", args=(version.pk,))
    own_page = first.get(reverse("admin:margin_policyversion_change", args=(version.pk,))).content.decode()
    assert "another person must decide" in own_page
    assert "another person must approve it" in told(first.post(approve, follow=True))
    assert "is approved" in told(second.post(approve, follow=True))
    version.refresh_from_db()
    assert (version.published_by.username, version.approved_by.username) == ("risk", "risk.other")


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ("{", "Not JSON"),
        ("[" * 100_000, "Not JSON|Nested too deeply"),
        ("[]", ""),
        ('{"sweep": "crypto", "sweep": "securities"}', "stated twice"),
        ('{"sweep": "yearly", "regimes": []}', "sweep"),
        (json.dumps({**world.securities(), "surprise": 1}), "surprise"),
        (json.dumps({**world.securities(), "fee_rate": "NaN"}), "fee_rate"),
    ],
)
def test_bad_terms_are_refused_naming_the_key_and_stay_in_the_form(house, sign_in, terms, said):
    before = PolicyVersion.objects.count()
    answer = sign_in("Risk").post(reverse(PUBLISH), typed(terms=terms, note="KEPT-NOTE"))
    problems = " ".join(answer.context["form"].errors.get("terms", []))
    assert answer.status_code == 200
    assert problems
    assert any(words in problems for words in said.split("|"))
    assert "KEPT-NOTE" in answer.content.decode()
    assert PolicyVersion.objects.count() == before


@pytest.mark.parametrize("role", ["Operations", "Supervisor", "Compliance", "Auditor", "Administrator"])
def test_only_risk_publishes_and_approves_policies(house, sign_in, role):
    browser = sign_in(role)
    assert browser.get(reverse(PUBLISH)).status_code == 403
    assert browser.post(reverse(PUBLISH), typed()).status_code == 403
    approve = reverse("admin:margin_policyversion_approve", args=(house.unapproved.pk,))
    assert browser.post(approve).status_code == 403


# --- corporate actions ------------------------------------------------------------------------------

ENTER = "admin:market_corporateaction_enter"


def announced(**changes: str) -> dict[str, str]:
    return {"kind": "split", "instrument": "XYZ", "effective_at": "2026-12-01 09:30", "reason": "news", **changes}


def test_a_corporate_action_is_entered_by_operations_and_approved_by_risk(house, sign_in):
    operations = sign_in("Operations")
    operations.post(reverse(ENTER), announced(new_per_old="2"))
    action = CorporateAction.objects.order_by("-pk").first()
    approve = reverse("admin:market_corporateaction_approve", args=(action.pk,))
    assert operations.post(approve).status_code == 403
    assert "is approved" in told(sign_in("Risk").post(approve, follow=True))
    action.refresh_from_db()
    assert (action.proposed_by.username, action.approved_by.username) == ("operations", "risk")


@pytest.mark.parametrize(
    "changes", [{}, {"new_per_old": "NaN"}, {"new_per_old": "0"}, {"instrument": "NONE"}, {"effective_at": "soon"}]
)
def test_an_incomplete_corporate_action_is_refused_and_what_was_typed_stays(house, sign_in, changes):
    answer = sign_in("Operations").post(reverse(ENTER), announced(**{"reason": "KEPT-REASON", **changes}))
    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert "KEPT-REASON" in answer.content.decode()
    assert CorporateAction.objects.count() == 1


def test_whoever_entered_a_corporate_action_may_withdraw_it(house, sign_in):
    reject = reverse("admin:market_corporateaction_reject", args=(house.action.pk,))
    assert sign_in("Supervisor").post(reject, {"reason": "no"}).status_code == 403
    sign_in("Operations").post(reject, {"reason": "typing error"})
    assert CorporateAction.objects.get().rejected_by.username == "operations"
