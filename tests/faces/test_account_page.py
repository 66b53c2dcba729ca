"""An account's page and its explanation: the same figures as the sweep's, for now and for an instant gone by."""

from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import positions
from accounts.models import Cause
from margin import sweep
from margin.models import MarginCall, Measure
from tests.margin import rows, world


@pytest.fixture
def call(db) -> MarginCall:
    """100 units at 50.00, 3,600.00 borrowed: equity 1,400.00, 30 % of 5,000.00 required, 100.00 called."""
    rows.policy("us_margin", world.securities())
    share, usd, account = rows.equity("XYZ"), rows.cash(), rows.account("A1008")
    before = timezone.now()
    held = [(account.pk, share.pk, Decimal(100), None), (account.pk, usd.pk, Decimal(-3600), None)]
    positions.write(held, cause=Cause.BOOK, reference="book 1", effective_at=before)
    world.quote(share, "50", before)
    sweep.run("securities", at=timezone.now())
    return MarginCall.objects.get()


def explanation(browser, **query: str):
    return browser.get(reverse("admin:accounts_account_explain", args=("A1008",)), query)


def test_the_explanation_of_now_has_the_figures_of_the_pencil(call, sign_in):
    page = explanation(sign_in("Operations")).content.decode()
    for figure in ("1,400.00", "1,500.00", "100.00", "30 %", "the rounding line"):
        assert figure in page, figure


def test_the_explanation_tells_how_far_the_price_may_fall(call, sign_in):
    # 3,600.00 owed on 100 units at 30 %: 3,600 ÷ 0.70 ÷ 100 = 51.428…
    page = explanation(sign_in("Operations")).content.decode()
    assert 'down to <span class="figure">51.43 ' in page


def test_the_explanation_as_of_the_assessment_is_equal_to_it(call, sign_in):
    measure = Measure.objects.get(assessment=call.assessment, regime="house")
    tree = {}
    answer = explanation(sign_in("Auditor"), at=call.assessment.at.isoformat())
    for regime in answer.context["regimes"]:
        tree[regime["name"]] = dict(regime["figures"])
    assert f"{measure.equity:,.2f}" in tree["house"]["equity"]
    assert f"{measure.requirement:,.2f}" in tree["house"]["requirement"]


@pytest.mark.parametrize("at", ["tomorrow", "2026-13-45", "2999-01-01", "0001-01-01", "{}", "2026-11-20T25:00"])
def test_an_instant_that_cannot_be_is_refused_in_a_sentence(call, sign_in, at):
    answer = explanation(sign_in("Operations"), at=at)
    assert answer.status_code == 200
    assert answer.context["problem"]


def test_an_account_without_a_price_is_explained_by_its_reasons_and_no_number(db, sign_in):
    rows.policy("us_margin", world.securities())
    world.long_account("100", "3600", rows.equity("XYZ"), code="A1008")
    page = explanation(sign_in("Operations")).content.decode()
    assert "Unpriced" in page
    assert "no price" in page


def test_an_account_without_a_policy_is_told_so(db, sign_in):
    world.long_account("100", "3600", rows.equity("XYZ"), code="A1008")
    assert "no approved policy" in explanation(sign_in("Operations")).content.decode()


def test_the_account_page_shows_positions_calls_and_the_latest_figures(call, sign_in):
    page = sign_in("Operations").get(reverse("admin:accounts_account_change", args=(call.account_id,))).content.decode()
    for words in ("5,000.00", "−3,600.00", call.number, "1,400.00", "Explain the requirement"):
        assert words in page, words
