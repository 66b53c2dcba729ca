"""What a client is told of a call on options: every position with its price, and only cures that were tried."""

import pytest

from margin import sweep
from notifications import notices
from notifications.models import Notice
from tests.margin import options
from tests.margin.world import MONDAY

pytestmark = pytest.mark.django_db


@pytest.fixture
def text():
    """The notice of a call on covered calls and naked puts: 18,000 against 17,000."""
    options.quoted_xyz()
    options.strategies()
    options.account("us_margin", "-33000", XYZ=1000, XYZ_C55=-10, XYZ_P45=-5)
    sweep.run("securities", at=MONDAY)
    assert notices.prepare(at=MONDAY) == 1
    return Notice.objects.get().text


def test_every_position_is_told_with_the_price_it_was_taken_at(text):
    table = [line for line in text.splitlines() if " | " in line]
    assert "XYZ: 1,000 at 50.00 USD | 50,000.00 | —" in table
    assert "XYZ call 55: −10 at 2.00 USD | −2,000.00 | —" in table
    assert "XYZ put 45: −5 at 1.00 USD | −500.00 | 3,000.00" in table
    assert "Together: XYZ call 55, XYZ |  | 15,000.00" in table


def test_puts_are_bought_back_at_what_they_release_after_price_and_fee(text):
    cures = text.split("HOW TO MEET IT")[1].split("WHAT COUNTS AS RECEIVED")[0]
    named = [line.removeprefix("* ") for line in cures.splitlines() if line.startswith("*")]
    assert named[0] == "Pay in 1,000.00 USD in cleared funds."
    # A put bought back costs 100.10 and lowers what is required by 600: two leave 0.20 missing.
    assert "Or buy back 3 XYZ put 45 (worth 300.00 USD); our fee is 0.30 USD." in named


def test_naked_options_alone_are_bought_back_too():
    options.quoted_xyz()
    options.strategies()
    options.account("us_margin", "2900", XYZ_P45=-5)  # 3,000 are asked; one put bought back leaves 2,799.90 of 2,400
    sweep.run("securities", at=MONDAY)
    notices.prepare(at=MONDAY)
    assert "Or buy back 1 XYZ put 45 (worth 100.00 USD); our fee is 0.10 USD." in Notice.objects.get().text
