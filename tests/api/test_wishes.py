"""What a client wants sold last, by the API and by the desk's form; and what a plan was weighed against, on both."""

import json

import pytest
from django.urls import reverse

from accounts.models import Account, AccountChange
from margin import liquidation
from tests.api.house import bearer, key, member, post, url
from tests.margin import rows
from tests.margin.test_planning import LATER, escalated


@pytest.fixture
def writer(db):
    """A key in the name of somebody of Operations."""
    found, text = key("read", "calls:write")
    found.created_by.groups.add(*member("Operations").groups.all())
    return bearer(text)


def test_a_wish_is_stated_once_shown_and_its_reason_kept(writer, reader):
    account = rows.account("A-1")
    rows.equity("XYZ")
    answered = post(writer, "accounts/A-1/liquidate-last", {"keep": "XYZ, etf", "reason": "by letter"})
    assert (answered.status_code, answered.json()) == (200, {"list": "accounts", "id": account.pk})
    told = reader.get(url("accounts/A-1")).json()["liquidate_last"]
    assert [one["keep"] for one in told] == ["XYZ", "etf"]
    change = AccountChange.objects.filter(pgh_obj=account).order_by("-pgh_id").first()
    assert change.pgh_context.metadata["reason"] == "by letter"
    cleared = post(writer, "accounts/A-1/liquidate-last", {"keep": "", "reason": "sold"}, once="k-2")
    assert cleared.status_code == 200
    assert Account.objects.get().liquidate_last == []


@pytest.mark.parametrize(("keep", "why"), [("NOPE", "neither"), ("etf, etf", "once"), ("cash", "cash")])
def test_a_wish_that_cannot_be_is_refused_at_its_field(writer, keep, why):
    rows.account("A-1")
    answered = post(writer, "accounts/A-1/liquidate-last", {"keep": keep, "reason": "by letter"})
    assert answered.status_code == 422
    assert why in answered.content.decode()
    assert Account.objects.get().liquidate_last == []


def test_what_a_plan_was_weighed_against_is_on_the_wire_and_on_its_page(reader, client, django_user_model):
    plan = liquidation.propose(escalated(), at=LATER, actor=rows.staff("ops", "Operations"))
    weighed = reader.get(url(f"plans/{plan.pk}")).json()["weighed"]
    assert weighed["total"] == json.loads(plan.content)["total"]
    assert [one["name"] for one in weighed["alternatives"]] == ["as_held", "largest_loser", "by_release"]
    client.force_login(member("Risk"))
    page = client.get(reverse("admin:margin_plan_change", args=(plan.pk,))).content.decode()
    assert "Weighed against" in page
    assert "the largest loser first" in page
    assert "Best at: the least value traded, fees and half spreads included." in page
