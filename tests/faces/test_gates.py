"""Storm gates on the desk: everybody reads them, Supervisor and Risk let the calls go out with a reason."""

from datetime import timedelta

import pytest
from django.urls import reverse

from margin.models import Reconciliation, StormGate
from tests.margin import rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def storm(house):
    version = rows.policy("stormy")
    found = rows.assessment(rows.account("A-STORM"), version, at=rows.AT)
    return StormGate.objects.create(
        policy=version.policy, sweep=found.sweep, calls=30, accounts=100, opened_at=rows.AT,
        until=rows.AT + timedelta(minutes=15),
    )  # fmt: skip


def page(row):
    return reverse(f"admin:margin_{row._meta.model_name}_change", args=(row.pk,))


def test_risk_lets_the_held_calls_go_out_with_a_reason(storm, sign_in):
    address = reverse("admin:margin_stormgate_release", args=(storm.pk,))
    browser = sign_in("Risk")
    assert address in browser.get(page(storm)).content.decode()
    browser.post(address, {"reason": " "})
    storm.refresh_from_db()
    assert storm.state == "open"
    browser.post(address, {"reason": "the whole market fell"})
    storm.refresh_from_db()
    assert (storm.state, storm.reason) == ("released", "the whole market fell")
    assert address not in browser.get(page(storm)).content.decode()


def test_operations_sees_the_gate_and_may_not_open_it(storm, sign_in):
    address = reverse("admin:margin_stormgate_release", args=(storm.pk,))
    browser = sign_in("Operations")
    shown = browser.get(page(storm))
    assert shown.status_code == 200
    assert address not in shown.content.decode()
    browser.post(address, {"reason": "please"})
    storm.refresh_from_db()
    assert storm.state == "open"


def test_a_confirmed_book_is_on_the_register(house, sign_in):
    olga = rows.staff("olga.o", "Operations")
    owner = rows.account("A-BOOK")
    row = Reconciliation.objects.create(
        account=owner, confirmed_by_id=olga.user_id, confirmed_at=rows.AT, reason="compared with the custodian"
    )
    shown = sign_in("Auditor").get(reverse("admin:margin_reconciliation_changelist")).content.decode()
    assert "A-BOOK" in shown
    assert sign_in("Auditor").get(page(row)).status_code == 200
