"""Stress: one account, a client and the house on a grid of shocks; the unshocked cell is what the sweep finds."""

import json
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from margin import policies, stress, sweep, whatif
from margin.engine import pricing
from margin.hypothetical import forms, supposing
from margin.hypothetical.document import Hypotheses, StressGrid
from margin.models import Measure
from market.models import Rate
from tests.margin import rows, world
from tests.margin.world import MONDAY, minutes, quote

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def xyz():
    rows.policy("us_margin", world.securities())
    made = rows.equity("XYZ")
    quote(made, "50", MONDAY)
    return made


def grid(prices=("-0.30", "0", "0.10"), volatilities=("0",), **more):
    return StressGrid(tuple(map(D, prices)), tuple(map(D, volatilities)), **more)


def by_cell(regime):
    return {(cell["price_shock"], cell["volatility_shock"]): cell for cell in regime["cells"]}


def of(accounts, shocks=None, **more):
    return stress.of_accounts(accounts, shocks or grid(**more), at=MONDAY)


def test_an_account_is_measured_in_every_cell(xyz):
    # 100 × 50.00 less 2,600. At −30 %: 3,500 − 2,600 = 900 against 1,050. At +10 %: 2,900 against 1,650
    account = world.long_account("100", "2600", xyz)
    (house,) = of([account])["regimes"]
    found = by_cell(house)
    names = ("equity", "requirement", "excess", "deficit", "calls", "amount_called")
    assert [found["-0.3", "0"][name] for name in names] == ["900", "1050", "-150", "150", 1, "150"]
    assert [found["0.1", "0"][name] for name in names] == ["2900", "1650", "1250", "0", 0, "0"]
    assert house["worst"]["price_shock"] == "-0.3"


def test_the_default_grid_has_seven_prices_and_three_volatilities(xyz):
    answer = of([world.long_account("100", "2600", xyz)], StressGrid())
    assert answer["price_shocks"] == ["-0.15", "-0.1", "-0.05", "0", "0.05", "0.1", "0.15"]
    assert answer["volatility_shocks"] == ["-0.1", "0", "0.1"]
    assert len(answer["regimes"][0]["cells"]) == 21


def test_the_unshocked_cell_is_the_sweep_to_the_cent(xyz):
    quote(xyz, "49.9975", MONDAY, source="closer")
    account = world.long_account("100.5", "4000.33", xyz)
    sweep.run("securities", at=MONDAY)
    measure = Measure.objects.get(assessment__account=account, regime="house")
    (house,) = of([account])["regimes"]
    cell = by_cell(house)["0", "0"]
    assert (D(cell["equity"]), D(cell["requirement"])) == (measure.equity, measure.requirement)
    assert D(cell["deficit"]) == measure.deficit


def test_a_shocked_cell_is_the_what_if_with_that_price(xyz):
    account = world.long_account("100", "2600", xyz)
    (house,) = of([account], prices=("-0.137",))["regimes"]
    found = whatif.of_account(account, {"price_shifts": {"XYZ": "-0.137"}}, at=MONDAY)["regimes"][0]["after"]
    assert [house["cells"][0][name] for name in ("equity", "requirement", "excess")] == [
        *(found["equity"], found["requirement"], found["excess"])
    ]


def test_a_leveraged_fund_moves_by_its_factor_and_cash_not_at_all(xyz):
    # three times −30 %: 10 × 100.00 becomes 100.00; the euro counts as it did
    fund = rows.equity("3X", kind="etf", leverage=3)
    quote(fund, "100", MONDAY)
    account = world.long_account("10", "0", fund)
    found = by_cell(of([account])["regimes"][0])
    assert [found[shock, "0"]["equity"] for shock in ("-0.3", "0", "0.1")] == ["100", "1000", "1300"]


def test_a_fund_cannot_lose_more_than_all(xyz):
    fund = rows.equity("3X", kind="etf", leverage=3)
    quote(fund, "100", MONDAY)
    (cell,) = of([world.long_account("10", "0", fund)], prices=("-0.5",))["regimes"][0]["cells"]
    assert (cell["equity"], cell["unpriced"]) == ("0.1", 0)  # 0.01 % of 1,000


def test_bonds_move_only_when_asked():
    both = {**world.HOUSE, "kinds": ["equity", "etf", "bond"]}
    rows.policy("us_margin", world.securities(both))
    bond = rows.equity("UST", kind="bond", debt_class="us_government", matures_on="2036-03-01", multiplier=D("0.01"))
    quote(bond, "100", MONDAY)
    account = world.long_account("1000", "0", bond)
    calm = of([account], prices=("-0.10",))["regimes"][0]["cells"][0]
    moved = of([account], grid(prices=("-0.10",), bonds=True))["regimes"][0]["cells"][0]
    assert (calm["equity"], moved["equity"]) == ("1000", "900")


def test_options_move_with_their_underlying_and_with_volatility(xyz):
    """A margin policy has no rule for options here, so what they are worth is read from the shocked instruments."""
    call = rows.equity(
        "XYZ C50", kind="option", underlying=xyz, right="call", strike=50, style="american", multiplier=100,
        expires_at=MONDAY + minutes(365 * 24 * 60),
    )  # fmt: skip
    Rate.objects.create(kind="risk_free", currency="USD", value=D("0.05"), source="t", effective_at=MONDAY)
    value = float(pricing.american(50.0, 50.0, 1.0, 0.05, 0.0, 0.30, True)[0])
    quote(call, f"{value:.8f}", MONDAY)
    account = world.long_account("100", "0", xyz)
    rows.hold(account, call, "1")
    snap = whatif._world(account, at=MONDAY).snap
    shocks = grid(prices=("-0.15", "0"), volatilities=("0", "0.10"))
    cells = stress._cells(shocks)
    worlds = dict(
        zip([(c.price_shock, c.volatility_shock) for c in cells], stress._worlds(snap, shocks, cells), strict=True)
    )
    row = int((snap.instruments.codes == "XYZ C50").argmax())
    for (price, volatility), (instruments, _) in worlds.items():
        expected = pricing.american(50.0 * (1 + float(price)), 50.0, 1.0, 0.05, 0.0, 0.30 + float(volatility), True)[0]
        assert float(instruments.price[row]) == pytest.approx(float(expected), abs=2e-6)
    assert worlds[D(0), D(0)][0] is snap.instruments


def test_an_option_below_every_model_keeps_its_distance(xyz):
    """100 deep in the money, quoted 0.10 below what it is worth at once: 0.10 below at every spot."""
    put = rows.equity(
        "XYZ P150", kind="option", underlying=xyz, right="put", strike=150, style="american", multiplier=100,
        expires_at=MONDAY + minutes(30 * 24 * 60),
    )  # fmt: skip
    Rate.objects.create(kind="risk_free", currency="USD", value=D("0.05"), source="t", effective_at=MONDAY)
    quote(put, "99.90", MONDAY)
    account = world.long_account("100", "0", xyz)
    rows.hold(account, put, "1")
    own = whatif._world(account, at=MONDAY)
    moved = supposing.after(own, account, Hypotheses(prices={"XYZ": D(40)})).instruments
    assert moved.price[own.rows["XYZ P150"]] == D("109.90")


def test_without_a_rate_an_option_has_no_price_once_anything_moves(xyz):
    call = rows.equity(
        "XYZ C50", kind="option", underlying=xyz, right="call", strike=50, style="american", multiplier=100,
        expires_at=MONDAY + minutes(365 * 24 * 60),
    )  # fmt: skip
    quote(call, "5", MONDAY)
    account = world.long_account("100", "0", xyz)
    rows.hold(account, call, "1")
    own = whatif._world(account, at=MONDAY)
    moved = supposing.after(own, account, Hypotheses(price_shifts={"XYZ": D("0.1")})).instruments
    row = own.rows["XYZ C50"]
    assert (moved.priced[row], moved.unpriced_reason[row]) == (False, "XYZ C50: risk_free: no rate for USD")


def test_a_client_is_the_sum_of_the_accounts_and_an_unpriced_one_is_counted_apart(xyz):
    first, second = world.long_account("100", "2600", xyz), world.long_account("200", "6000", xyz)
    dark = world.long_account("1", "0", rows.equity("ABC"))
    answer = of([first, second, dark])
    cell = by_cell(answer["regimes"][0])["-0.3", "0"]
    # 900 + (7,000 − 6,000) against 1,050 + 2,100; short by 150 and 1,100
    names = ("equity", "requirement", "deficit", "calls", "amount_called", "unpriced")
    assert [cell[name] for name in names] == ["1900", "3150", "1250", 2, "1250", 1]
    assert [row["code"] for row in answer["worst_accounts"]] == [second.code, first.code]
    assert answer["worst_accounts"][0]["excess"] == "-1100"


def test_currencies_are_never_added_up(xyz):
    euro = world.long_account("10", "0", rows.equity("SAP", currency="EUR"), currency="EUR")
    answer = of([world.long_account("100", "2600", xyz), euro])
    assert [(regime["regime"], regime["currency"]) for regime in answer["regimes"]] == [
        ("house", "EUR"),
        ("house", "USD"),
    ]


def test_the_house_is_every_account_of_its_kind(xyz):
    rows.policy("crypto_loan", world.crypto())
    coin = rows.equity("COIN", kind="crypto", max_age_seconds=120)
    quote(coin, "10000", MONDAY)
    for borrowed in ("2600", "1000"):
        world.long_account("100", borrowed, xyz)
    world.long_account("18", "100000", coin, agreement="crypto_loan")
    stock = stress.of_house(grid(kind="securities"), at=MONDAY)
    loans = stress.of_house(grid(kind="crypto"), at=MONDAY)
    assert (stock["accounts"], loans["accounts"]) == (2, 1)
    # 18 × 7,000 = 126,000 against 100,000 ÷ 0.65 restored: the loan stands at 79.4 %
    assert by_cell(loans["regimes"][0])["-0.3", "0"]["calls"] == 1
    with pytest.raises(forms.Wrong, match="kind"):
        stress.of_house(grid(), at=MONDAY)


@pytest.mark.parametrize(
    ("shocks", "path"),
    [
        (grid(prices=("-1",)), "price_shocks[0]"),
        (grid(prices=("0", "11")), "price_shocks[1]"),
        (grid(prices=()), "price_shocks"),
    ],
)
def test_a_shock_beyond_sense_is_refused(xyz, shocks, path):
    with pytest.raises(forms.Wrong) as refusal:
        of([world.long_account("1", "0", xyz)], shocks)
    assert refusal.value.path == path


def test_a_shock_of_900_points_is_refused_when_it_is_read():
    with pytest.raises(forms.Wrong, match=r"volatility_shocks\[1\]: 9 is not from -5 to 5"):
        forms.read(StressGrid, {"volatility_shocks": ["0", "9"]})


def test_an_account_without_a_policy_is_refused(xyz):
    with pytest.raises(policies.NoPolicy):
        of([rows.account(agreement="nobody")])


def run(*arguments):
    out = StringIO()
    call_command("stress", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_prints_tables_and_json(xyz, monkeypatch):
    monkeypatch.setattr("market.clock.now", lambda: MONDAY)
    account = world.long_account("100", "2600", xyz)
    table = run("--account", account.code, "--prices=-0.30,0", "--volatilities=0")
    assert "house, USD, 1 accounts" in table
    assert "1050" in table
    by_client = json.loads(run("--client", account.client.code, "--json"))
    assert by_client["regimes"] == json.loads(run("--house", "securities", "--json"))["regimes"]
    for wrong in (("--account", "NOBODY"), ("--client", "NOBODY"), ("--account", account.code, "--prices=x")):
        with pytest.raises(CommandError):
            run(*wrong)
