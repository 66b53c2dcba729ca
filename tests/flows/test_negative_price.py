"""A price below nothing, crude at −37.63, goes with its sign from the quote to the letter that a client reads."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from accounts import positions
from margin import assessments, replay, stress, sweep, whatif
from margin.hypothetical.document import StressGrid
from margin.models import Assessment, Charge, MarginCall, Measure
from market import parameters, quotes
from market.guard import Incoming
from market.models import ParameterSet, Quote, QuoteFact
from notifications import notices
from notifications.models import Notice
from tests.flows.every_methodology import cross, part
from tests.margin import rows, world
from tests.margin.world import MONDAY, minutes
from tests.notifications.test_letters import seen

D = Decimal
BEFORE = MONDAY - minutes(5)
CRUDE = {
    "on": "2026-03-02",
    "source": "Exchange",
    "commodities": {"CL": {"currency": "USD", "range": {"amount": "5"}}},
}


@pytest.fixture
def account(committed_db):
    """One contract of 1,000 barrels bought at 18.27 with 40,000 in cash, and a settlement at −37.63."""
    rows.cash()
    crude = rows.equity(
        "CLK6", kind="future", multiplier=1000, may_be_negative=True, jump_limit_rate=50,
        expires_at=datetime(2026, 4, 21, 18, 30, tzinfo=UTC), terms={"commodity": "CL"},
    )  # fmt: skip
    parameters.record("cme", CRUDE, kind=ParameterSet.Kind.SPAN, effective_on=date(2026, 3, 2), source="test")
    futures = part("span", ["future"], parameters="cme")
    rows.policy("futures", world.securities(cross(["equity"], futures, name="futures")))
    made = rows.account(agreement="futures")
    positions.write(
        [(made.pk, crude.pk, D(1), D(18_270)), (made.pk, rows.cash().pk, D(40_000), None)],
        cause="book",
        reference="test",
        effective_at=BEFORE,
    )
    said = [Incoming("CLK6", "venue", BEFORE, D("18.27")), Incoming("CLK6", "venue", MONDAY, D("-37.63"))]
    assert quotes.record(said, at=MONDAY).accepted == 2
    return made


def test_the_quote_the_value_the_requirement_and_the_call_have_the_sign(account):
    # −37,630 − 18,270 = −55,900 on 40,000; 1,000 × 5 by the range, whatever the sign of the price
    assert Quote.objects.get(instrument__code="CLK6").mark == D("-37.63")
    assert QuoteFact.objects.filter(mark__lt=0).count() == 1
    done = sweep.run("securities", at=MONDAY)
    found = Measure.objects.get()
    assert (found.equity, found.requirement, found.deficit) == (-15_900, 5_000, 20_900)
    assert MarginCall.objects.get().amount_called == 20_900
    assert [row[3] for row in Assessment.objects.get().holdings] == [None, "-37.63"]
    assert replay.run(done).differences == []


def test_the_explanation_has_it(account):
    sweep.run("securities", at=MONDAY)
    (regime,) = assessments.explain(account, at=MONDAY)["regimes"]
    assert regime["equity"]["amount"] == "-15900"
    (charge,) = regime["requirement"]["charges"]
    assert charge["amount"] == "5000"
    assert charge["price"] == "-37.63"
    assert sum(charge.amount for charge in Charge.objects.all()) == 5_000


def test_what_if_and_stress_have_it(account):
    # a tenth up is −33.867 and a tenth down −41.393: 3,763 each way
    (answer,) = whatif.of_book(whatif.export(account, at=MONDAY))["accounts"]
    assert [answer["regimes"][0][name] for name in ("equity", "requirement")] == ["-15900", "5000"]
    shocks = StressGrid((D("-0.10"), D("0.10")), (D(0),))
    (regime,) = stress.of_accounts([account], shocks, at=MONDAY)["regimes"]
    assert [cell["equity"] for cell in regime["cells"]] == ["-19663", "-12137"]
    supposed = whatif.of_account(account, {"prices": {"CLK6": "-40"}}, at=MONDAY)["regimes"][0]["after"]
    assert supposed["equity"] == "-18270"


def test_the_letter_has_it_in_its_subject_its_text_and_its_page(account):
    sweep.run("securities", at=MONDAY)
    assert notices.prepare(at=MONDAY) == 1
    notice = Notice.objects.get()
    assert notice.last_error == ""
    assert "20,900.00 USD" in notice.subject
    for told in (notice.text, seen(notice.html).text):
        assert "20,900.00 USD" in told
        assert "−15,900.00 USD" in told  # equity
        assert "−20,900.00 USD" in told  # less what is required
        assert "1 at −37.63 USD" in told
        assert "−55,900.00" in told  # a future is worth its profit: with 40,000 in cash that is the equity
        assert "37.63" not in told.replace("−37.63", "")
