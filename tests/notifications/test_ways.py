"""Ways to cure: against worked examples of workflow.md §5 and desk.md, and against what a unit releases."""

import random
from decimal import Decimal

import pytest

from notifications import ways
from notifications.ways import Lot

D = Decimal
RESTORE = D("0.35") / D("0.30")  # LTV 65 % over 70 %


def stock(price: str, rate: str, quantity: str = "100000", name: str = "XYZ", size: str = "1") -> Lot:
    return Lot(name, D(quantity), D(price), D(price), D(price) * D(rate), D(size))


def collateral(price: str, quantity: str, *, call: str, haircut: str = "0", size: str = "0.00000001") -> Lot:
    worth = D(price) * (1 - D(haircut))
    return Lot("Bitcoin", D(quantity), D(price), worth, worth * (1 - D(call)), D(size))


def test_a_house_call_of_35750_at_30_percent_takes_a_sale_of_119166_67():
    # workflow.md §5: V = Δ ÷ (m − f) = 35,750 ÷ 0.30 = 119,166.67; in shares of 1 cent that is 11,916,667 shares
    (sale,) = ways.of(D("35750"), [stock("0.01", "0.30", "99999999")]).sales
    assert (sale.units, sale.value) == (D("11916667"), D("119166.67"))


def test_at_75_percent_requirement_only_47666_67():
    (sale,) = ways.of(D("35750"), [stock("0.01", "0.75", "99999999")]).sales
    assert sale.value == D("47666.67")


def test_a_fed_call_of_10000_takes_a_sale_of_20000():
    (sale,) = ways.of(D("10000"), [stock("10", "0.50")]).sales
    assert (sale.units, sale.value) == (2000, 20000)


def test_depositing_30_percent_stock_counts_70_percent_of_its_value():
    # desk.md: 51,964.00 ÷ 0.70 = 74,234.29 rounded up to the cent
    found = ways.of(D("51964.00"), [stock("10", "0.30", "3000")])
    assert (found.deposit_rate, found.deposit_value) == (D("0.3"), D("74234.29"))
    assert found.deposits[0].units == 7424  # 7,423.43 shares at 10.00


def test_a_sale_larger_than_the_holding_is_not_offered():
    assert ways.of(D("10000"), [stock("10", "0.50", "1999")]).sales == ()
    assert ways.of(D("10000"), [stock("10", "0.50", "2000")]).sales != ()


def test_units_are_whole_lots():
    (sale,) = ways.of(D("100"), [stock("50", "0.30", "1000", size="5")]).sales
    assert sale.units == 10  # 6.67 shares are two lots of five


def test_buying_back_a_short_releases_its_requirement():
    # short 100 at 40.00 with 30 % required beyond the market value: 12.00 a share; 50 ÷ 12 = 4.17
    (purchase,) = ways.of(D("50"), [Lot("ABC", D(-100), D(40), D(40), D(12))]).purchases
    assert (purchase.units, purchase.value) == (5, 200)


def test_a_loan_is_cured_by_repaying_adding_or_selling_collateral():
    # B = 8,000, Q = 1, P = 10,000, T = 0.65, call rung 0.70. Repay 8,000 − 6,500 = 1,500.
    # Add (B ÷ T − Q·P) ÷ P = (12,307.6923 − 10,000) ÷ 10,000 = 0.23076923 → up: 0.23076924
    # Sell (B − T·Q·P) ÷ (P·(1 − T)) = 1,500 ÷ 3,500 = 0.428571428…, and what booking in whole cents loses
    lot = collateral("10000", "1", call="0.70")
    found = ways.of(D("1500"), [lot], least_scale=RESTORE, most_scale=RESTORE)
    assert found.cash == 1500
    assert found.deposits[0].units == D("0.23076924")
    assert D("0.42857143") <= found.sales[0].units < D("0.42857143") + D("0.01") / 3500


def test_costs_of_selling_raise_what_must_be_sold():
    # f = 2 %: 1,500 ÷ (10,000 × (1 − 0.02 − 0.65)) = 0.45454545…; and room for the fee's own rounding
    lot = collateral("10000", "1", call="0.70")
    (sale,) = ways.of(D("1500"), [lot], least_scale=RESTORE, most_scale=RESTORE, fee_rate=D("0.02")).sales
    assert D("0.45454545") < sale.units < D("0.454553")


def test_a_holding_with_no_requirement_offers_no_sale():
    assert ways.of(D("10"), [stock("10", "0")]).sales == ()


def test_at_most_three_ways_of_a_kind_the_largest_requirement_first():
    lots = [stock("10", "0.30", str(quantity), name=f"S{quantity}") for quantity in (900, 500, 700, 800)]
    assert [sale.name for sale in ways.of(D("100"), lots).sales] == ["S900", "S800", "S700"]


@pytest.mark.parametrize("seed", range(200))
def test_the_sale_is_the_smallest_that_is_enough(seed):
    """Without a fee: equity stays, the requirement falls by m·P a share; one lot less is not enough."""
    chance = random.Random(seed)
    price, rate = D(chance.randint(1, 90_000)) / 100, D(chance.randint(5, 100)) / 100
    outstanding = D(chance.randint(1, 5_000_000)) / 100
    (sale,) = ways.of(outstanding, [stock(str(price), str(rate), "1e12")]).sales
    assert sale.units * price * rate >= outstanding > (sale.units - 1) * price * rate
