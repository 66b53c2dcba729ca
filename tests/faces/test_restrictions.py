"""Rights on the desk: placed by a form, lifted by a button, waived by two people."""

import pytest
from django.urls import reverse

from margin.models import Restriction, Waiver
from tests.faces.test_call_page import told
from tests.margin import rows

PLACE = reverse("admin:margin_restriction_place")


@pytest.fixture
def typed(db):
    rows.account("A1008")
    return {"account": "A1008", "effect": "closing_only", "days": "10", "reason": "concentrated"}


def page(row, verb=""):
    name = f"admin:margin_{row._meta.model_name}_{verb or 'change'}"
    return reverse(name, args=(row.pk,))


def placed(browser, typed, **more):
    answer = browser.post(PLACE, {**typed, **more})
    assert answer.status_code == 302
    return Restriction.objects.latest("pk")


def test_a_supervisor_places_and_lifts_with_a_reason(typed, sign_in):
    browser = sign_in("Supervisor")
    row = placed(browser, typed)
    assert (row.effect, row.reason, row.placed_by, (row.ends_at - row.starts_at).days) == (
        *("closing_only", "concentrated", "supervisor", 10),
    )
    assert "Lift" in browser.get(page(row)).content.decode()
    assert "reason" in told(browser.post(page(row, "lift"), {"reason": " "}, follow=True))
    browser.post(page(row, "lift"), {"reason": "sold down"})
    row.refresh_from_db()
    assert row.lift_reason == "sold down"


def test_what_the_domain_refuses_is_said_in_the_form(typed, sign_in):
    browser = sign_in("Risk")
    placed(browser, typed)
    answer = browser.post(PLACE, typed)
    assert "already" in answer.content.decode()
    assert "There is no account" in browser.post(PLACE, {**typed, "account": "NOBODY"}).content.decode()
    assert Restriction.objects.count() == 1


@pytest.mark.parametrize("role", ["Operations", "Auditor", "Administrator"])
def test_others_do_not_place_lift_or_waive(typed, sign_in, role):
    row = placed(sign_in("Supervisor"), typed, days="90")
    browser = sign_in(role)
    assert browser.get(PLACE).status_code == 403
    statuses = [browser.post(page(row, verb), {"reason": "x"}).status_code for verb in ("lift", "waive")]
    assert statuses == [403, 403]


def test_ninety_days_end_early_by_two_people_alone(typed, sign_in):
    sue = sign_in("Supervisor")
    row = placed(sue, typed, days="90")
    assert "two people" in told(sue.post(page(row, "lift"), {"reason": "x"}, follow=True))
    sue.post(page(row, "waive"), {"reason": "the client paid"})
    waiver = Waiver.objects.get()
    assert "another person" in told(sue.post(page(waiver, "grant"), {"reason": "yes"}, follow=True))
    assert sign_in("Risk").post(page(waiver, "grant"), {"reason": "yes"}).status_code == 403
    compliance = sign_in("Compliance")
    assert "Grant" in compliance.get(page(waiver)).content.decode()
    compliance.post(page(waiver, "grant"), {"reason": "agreed"})
    row.refresh_from_db()
    waiver.refresh_from_db()
    assert (row.lifted_by, waiver.state, waiver.decision) == ("compliance", "granted", "agreed")
    assert "agreed" in compliance.get(page(row)).content.decode()


def test_a_denied_waiver_leaves_the_restriction(typed, sign_in):
    row = placed(sign_in("Supervisor"), typed, days="")
    sign_in("Compliance").post(page(row, "waive"), {"reason": "x"})
    sign_in("Supervisor").post(page(Waiver.objects.get(), "deny"), {"reason": "not yet"})
    row.refresh_from_db()
    assert (row.lifted_at, Waiver.objects.get().state) == (None, "denied")


def test_nothing_moves_by_get(typed, sign_in):
    row = placed(sign_in("Supervisor"), typed)
    assert sign_in("Supervisor").get(page(row, "lift")).status_code == 405


@pytest.mark.parametrize("verb", ["lift", "waive"])
def test_a_restriction_that_is_not_there_is_not_found(db, sign_in, verb):
    assert sign_in("Supervisor").post(reverse(f"admin:margin_restriction_{verb}", args=(9,))).status_code == 404
