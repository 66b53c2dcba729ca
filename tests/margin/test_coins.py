"""A coin is a currency too: its rate comes from the spot instrument that is named like it."""

from datetime import UTC, datetime
from decimal import Decimal

from margin import snapshot
from margin.prices import Price, PriceSet
from tests.margin.test_contracts import Row

D = Decimal
NOW = datetime(2026, 3, 2, 15, tzinfo=UTC)


def rates(price):
    stored = {
        1: Row(1, "BTC", "crypto"),
        2: Row(2, "BTC.cash", "cash", currency="BTC", minor_exponent=8),
        3: Row(3, "DOGE", "crypto"),  # nothing is counted in it
    }
    return snapshot.coin_rates(stored, PriceSet(NOW, {1: price, 3: Price(D("0.1"), NOW)}))


def test_a_coin_that_amounts_are_in_has_the_rate_of_its_spot_price():
    assert rates(Price(D(96000), NOW)) == {("BTC", "USD"): D(96000)}


def test_a_stale_or_quarantined_spot_price_is_no_rate():
    assert rates(Price(D(96000), NOW, refused="stale")) == {}
