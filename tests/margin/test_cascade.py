"""The cascade radar: a toy book by pencil, stored accounts, counterparties, what is not known, and the promises."""

import json
import math
from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Client
from margin import cascade
from margin.cascading import selling
from margin.engine import sizing
from margin.hypothetical import books, forms
from margin.hypothetical.document import BookDocument
from margin.models import Event
from tests.margin import rows, world
from tests.margin.world import MONDAY, quote

D = Decimal


def account(code, cash, **holdings):
    listed = [{"instrument": name, "quantity": str(quantity)} for name, quantity in holdings.items()]
    return {"code": code, "currency": "USD", "policy": "stock", "positions": listed, "cash": {"USD": str(cash)}}


def share(code, price, **more):
    return {"code": code, "kind": "equity", "currency": "USD", "price": str(price), **more}


def question(accounts, instruments, *, fee_rate="0", **asked):
    """Long stock needs 30 % of its value, short stock 35 %."""
    house = {key: value for key, value in world.HOUSE.items() if key != "clock"}
    book = {
        "on": "2026-03-02",
        "instruments": instruments,
        "policies": {"stock": {"fee_rate": fee_rate, "regimes": [house]}},
        "accounts": accounts,
    }
    return {"book": book, "floor_rate": "0", **asked}


def ask(*arguments, **asked):
    return cascade.answer(question(*arguments, **asked), at=MONDAY)


# --- the toy book, by pencil -------------------------------------------------------------------------------

TOY = (
    [account("A", -6500, XYZ=100), account("B", -6270, XYZ=100), account("C", 0, XYZ=50)],
    [share("XYZ", 100, daily_volume="100")],
)
SHOCK = {"shock": "-0.1", "volatilities": {"XYZ": "0.05"}}
# δ = 0.4 × 100 × 90 ÷ 0.05 = 72,000. Selling q leaves e^(-q/72,000) of the price; sales fetch the mean.
# Short: 0.30 × value - (value - debt). To sell: short ÷ (0.30 × price), rounded up: selling leaves equity as it was.
#
# round  price     A holds  A owes    A short   B holds  B owes    B short   sold by A, B   q           price after
# 1      90.000000 100      6500.00   200.00    100      6270.00   -         8 (7.41)       720.00      89.104485
# 2      89.104485  92      5783.59    45.27    100      6270.00   32.69     2, 2 (1.22)    356.417940  88.664486
# 3      88.664486  90      5605.83    19.97     98      6092.24    9.86     1, 1           177.328972  88.446383
# 4      88.446383  89      5517.28     7.08     97      6003.69   -         1               88.446383  88.337800
# 5      88.337800  88      5428.89    -         97      6003.69    5.56     1               88.337800  88.229483
# 6      88.229483  88      5428.89    -         96      5915.41   -
PENCIL = [
    (8, "200.00", 720.0, 89.104485),
    (4, "77.96", 356.417940, 88.664486),
    (2, "29.83", 177.328972, 88.446383),
    (1, "7.08", 88.446383, 88.337800),
    (1, "5.56", 88.337800, 88.229483),
]


def test_the_toy_book_falls_as_by_pencil():
    found = ask(*TOY, **SHOCK)["at_once"]
    assert found["ended"] == "nobody is called"
    assert len(found["rounds"]) == len(PENCIL)
    price = 90.0
    for step, (sold, called, value, after) in zip(found["rounds"], PENCIL, strict=True):
        (sale,) = step["sales"]
        assert (sale["sold"], step["called"]) == (str(sold), called)
        assert float(sale["value"]) == pytest.approx(value, abs=0.01)
        assert float(sale["price_after"]) == pytest.approx(after, abs=1e-6)
        assert after == pytest.approx(price * math.exp(-value / 72_000), abs=1e-5)
        price = after


def test_the_losses_of_the_toy_book_are_those_of_the_pencil():
    # A ends with 88 × 88.229483 - 5,428.89 = 2,335.30 of 3,500.00; by the shock 1,000.00, by the sales 164.70
    # B with 96 × 88.229483 - 5,915.41 = 2,554.62 of 3,730.00; C with 50 × 88.229483 = 4,411.47 of 5,000.00
    found = ask(*TOY, **SHOCK)["losers"]
    assert {each["code"]: (each["by_the_shock"], each["by_the_cascade"]) for each in found["accounts"]} == {
        "A": ("1000.00", "164.70"),
        "B": ("1000.00", "175.38"),
        "C": ("500.00", "88.53"),
    }


def test_what_the_called_hold_in_common_is_measured_by_the_depth_of_its_market():
    # A and B hold 200 × 90 = 18,000 of a depth of 72,000: 25 %; closing all of it at once takes 1 - e^-0.25
    (found,) = ask(*TOY, **SHOCK)["overlap"]
    assert (found["held"], found["depth"], found["held_by_depth"]) == ("18000.00", "72000.00", "0.250000")
    assert float(found["impact_of_all"]) == pytest.approx(1 - math.exp(-0.25), abs=1e-6)
    assert [each["share"] for each in found["shares"]] == ["0.500000", "0.500000"]


def test_in_stages_less_is_sold_and_less_is_lost():
    found = ask(*TOY, **SHOCK)
    assert found["staged"]["order"] == "impact"
    assert D(found["staged"]["total_traded"]) < D(found["at_once"]["total_traded"])
    assert D(found["staged"]["losers"]["by_the_cascade"]) < D(found["losers"]["by_the_cascade"])
    assert found["staged"]["still_called"] == []


def test_of_two_holdings_the_one_in_the_deeper_market_is_sold_first():
    # both release 30 % of what is sold; THIN has a hundredth of the depth
    holder = account("A", -12_900, THIN=100, DEEP=100)
    instruments = [share("THIN", 100, daily_volume="1000"), share("DEEP", 100, daily_volume="100000")]
    found = ask([holder], instruments, shock="-0.1", volatilities={"THIN": "0.05", "DEEP": "0.05"})
    sold = {sale["instrument"] for step in found["staged"]["rounds"] for sale in step["sales"]}
    assert sold == {"DEEP"}


# --- how it ends -------------------------------------------------------------------------------------------


def test_without_a_shock_nobody_is_called_and_nothing_is_sold():
    found = ask(*TOY, volatilities={"XYZ": "0.05"})
    assert (found["at_once"]["rounds"], found["at_once"]["ended"]) == ([], "nobody is called")
    assert (found["losers"]["by_the_shock"], found["overlap"]) == ("0.00", [])


def test_the_most_rounds_are_kept_and_said():
    found = ask(*TOY, **SHOCK, max_rounds=2)["at_once"]
    assert (len(found["rounds"]), found["ended"]) == (2, "the most rounds were played")
    assert {one["account"] for one in found["still_called"]} == {"A", "B"}


def test_what_has_no_depth_is_sold_without_moving_its_price_and_named():
    found = ask(TOY[0], [share("XYZ", 100)], shock="-0.1", volatilities={"XYZ": "0.05"})
    assert found["without_depth"] == [{"instrument": "XYZ", "reason": "no daily volume is known"}]
    assert found["at_once"]["price_path"] == {"XYZ": ["100", "90", "90"]}
    assert found["overlap"][0]["held_by_depth"] is None


def test_an_account_that_is_sold_out_still_owes_and_its_debt_is_cleared():
    # 100 × 100 - 9,000; at -50 % it holds 5,000 and owes 9,000. All sold: it owes 4,000. It has 1,000 elsewhere, of
    # which it pays 1,000; we lose 3,000 of 10,000 and are left with 11,000 (our capital and what came in)
    found = ask([account("A", -9000, XYZ=100)], [share("XYZ", 100)], shock="-0.5", capital="10000", means={"A": "1000"})
    assert found["clearing"]["debtors"] == [{"client": "A", "owes": "4000.00", "pays": "1000.00", "defaults": True}]
    assert (found["clearing"]["our_losses"], found["clearing"]["left"]) == ("3000.00", "11000.00")
    assert (found["at_once"]["ended"], found["at_once"]["calls"]["liquidated"]) == (
        "nothing is left that a sale would help",
        1,
    )


def test_a_short_that_is_bought_back_drives_its_price_up():
    # short 100 at 100, 14,000 in cash: at +10 % equity 3,000 < 0.35 × 11,000 = 3,850
    short = account("S", 14_000, XYZ=-100)
    found = ask([short], [share("XYZ", 100, daily_volume="100000")], shock="0.1", volatilities={"XYZ": "0.05"})
    first = found["at_once"]["rounds"][0]["sales"][0]
    assert D(first["sold"]) < 0
    assert D(first["price_after"]) > D(first["price_before"]) == 110


def test_pro_rata_sells_the_same_share_of_every_holding():
    # short by 0.30 × 18,000 - 5,000 = 400 of 18,000 held: a share of 1/45, of 100 each 2.22, so 3 of each
    found = ask(
        [account("A", -13_000, ONE=100, TWO=100)], [share("ONE", 100), share("TWO", 100)], shock="-0.1",
        sales="pro_rata", max_rounds=1,
    )  # fmt: skip
    assert [(sale["instrument"], sale["sold"]) for sale in found["at_once"]["rounds"][0]["sales"]] == [
        *(("ONE", "3"), ("TWO", "3"))
    ]


def test_sales_pay_the_fee_of_the_policy():
    free, dear = (ask(*TOY, **SHOCK, fee_rate=rate)["at_once"] for rate in ("0", "0.01"))
    assert D(dear["total_traded"]) > D(free["total_traded"])


# --- ours at counterparties --------------------------------------------------------------------------------


def test_a_call_on_us_is_paid_where_we_can_and_else_sold():
    accounts = [account("PRIME", -6500, XYZ=100)]
    plain = ask(accounts, TOY[1], **SHOCK, counterparties=["PRIME"])
    paying = ask(accounts, TOY[1], **SHOCK, counterparties=["PRIME"], liquidity={"USD": "1000"})
    assert plain["at_once"]["rounds"][0]["calls_on_us"] == 1
    assert plain["at_once"]["calls"]["liquidated"] == 1
    (only,) = paying["at_once"]["rounds"]
    assert (only["paid_by_us"], only["sales"], paying["at_once"]["calls"]["met"]) == ("200.00", [], 1)


def test_what_our_account_at_a_counterparty_is_short_of_we_owe():
    # -50 % leaves 5,000 against 9,000: we owe PRIME 4,000 and have 1,500
    found = ask(
        [account("PRIME", -9000, XYZ=100)], [share("XYZ", 100)], shock="-0.5", counterparties=["PRIME"], capital="1500"
    )["clearing"]
    assert (found["we_owe"], found["we_default"]) == ("4000.00", True)
    assert (found["lost_by_counterparties"], found["left"]) == ("2500.00", "0.00")


# --- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        ({"shock": "-1"}, "shock"),
        ({"price_shocks": {"NONE": "0.1"}}, "price_shocks.NONE"),
        ({"counterparties": ["NONE"]}, "counterparties"),
        ({"clients": {"NONE": "X"}}, "clients"),
        ({"kind": "securities"}, "kind"),
        ({"floor_rate": "1"}, ""),
        ({"volatilities": {"XYZ": "0"}}, "volatilities.XYZ"),
        ({"max_rounds": 101}, "max_rounds"),
        ({"surprise": "1"}, "surprise"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_path(asked, path):
    with pytest.raises(forms.Wrong) as refusal:
        ask(*TOY, **asked)
    assert refusal.value.path == path


# --- promises ----------------------------------------------------------------------------------------------

debt = st.integers(3000, 7500)
holder = st.tuples(debt, st.integers(0, 100), st.integers(0, 100))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(holder, min_size=1, max_size=4), st.integers(-40, 0), st.integers(10, 10_000), st.booleans())
def test_the_schedule_never_sells_more_than_all_at_once(holders, shock, volume, pro_rata):
    accounts = [
        account(f"A{number}", -cash * (one + two) // 100, ONE=one, TWO=two)
        for number, (cash, one, two) in enumerate(holders)
    ]
    instruments = [share("ONE", 100, daily_volume=str(volume)), share("TWO", 100, daily_volume="500")]
    found = ask(
        accounts, instruments, shock=str(D(shock) / 100), volatilities={"ONE": "0.03", "TWO": "0.06"}, max_rounds=10,
        sales="pro_rata" if pro_rata else "smallest",
    )  # fmt: skip
    once, staged = found["at_once"], found["staged"]
    assert D(staged["total_traded"]) <= D(once["total_traded"])
    assert len(staged["still_called"]) <= len(once["still_called"])
    for path in [*once["price_path"].values(), *staged["price_path"].values()]:
        assert [D(price) for price in path[1:]] == sorted((D(price) for price in path[1:]), reverse=True)
    assert once["ended"] != "nobody is called" or not once["still_called"]


# --- stored accounts ---------------------------------------------------------------------------------------


@pytest.fixture
def house(db):
    """The toy book, stored; XYZ closed at 99 and 101 in turn on 40 days before it stood at 100."""
    rows.policy("us_margin", {**world.securities(), "fee_rate": "0"})
    xyz = rows.equity("XYZ", daily_volume=100)
    for days in range(40, 0, -1):
        quote(xyz, "99" if days % 2 else "101", MONDAY - timedelta(days=days))
    quote(xyz, "100", MONDAY)
    for code, quantity, borrowed in (("A", "100", "6500"), ("B", "100", "6270"), ("C", "50", "0")):
        world.long_account(quantity, borrowed, xyz, code=code)
    return xyz


STORED = {"kind": "securities", "shock": "-0.1", "floor_rate": "0"}


def test_stored_accounts_fall_as_the_same_book_does(house):
    stored = cascade.answer({**STORED, "volatilities": {"XYZ": "0.05"}}, at=MONDAY)
    assert stored["at_once"]["rounds"][0]["listed"][0]["client"] == "C-A"
    assert stored["at_once"]["price_path"] == ask(*TOY, **SHOCK)["at_once"]["price_path"]
    assert not Event.objects.exists()


def test_volatility_is_that_of_the_recorded_closes(house):
    # 101, 99, 101 … 99, 100: 20 returns of -ln(101/99), 19 of it, and ln(100/99)
    found = cascade._recorded({house.pk: "XYZ"}, MONDAY)
    step = math.log(101 / 99)
    returns = [step if k % 2 else -step for k in range(39)] + [math.log(100 / 99)]
    mean = sum(returns) / 40
    expected = math.sqrt(sum((r - mean) ** 2 for r in returns) / 39)
    assert float(found["XYZ"]) == pytest.approx(expected, rel=1e-9)


def test_too_few_closes_are_no_volatility(house):
    fresh = rows.equity("NEW", daily_volume=100)
    quote(fresh, "10", MONDAY)
    assert cascade._recorded({fresh.pk: "NEW"}, MONDAY) == {}


def test_a_client_marked_as_counterparty_is_ours(house):
    Client.objects.filter(code="C-A").update(is_counterparty=True)
    found = cascade.answer({**STORED, "liquidity": {"USD": "500"}}, at=MONDAY)
    assert found["at_once"]["rounds"][0]["calls_on_us"] == 1
    assert found["at_once"]["rounds"][0]["paid_by_us"] == "200.00"


def test_a_house_too_large_for_an_answer_is_refused(house):
    with pytest.raises(forms.Wrong, match=r"use manage.py cascade"):
        cascade.answer(STORED, at=MONDAY, limits=cascade.Limits(accounts=2))
    with pytest.raises(forms.Wrong, match="calls 1 accounts, more than 0"):
        cascade.answer(STORED, at=MONDAY, limits=cascade.Limits(called=0))


def test_the_command_tells_the_rounds_and_draws_them(house, monkeypatch, tmp_path):
    monkeypatch.setattr("market.clock.now", lambda: MONDAY)
    asked, chart = tmp_path / "question.json", tmp_path / "chart.svg"
    asked.write_text(json.dumps({**STORED, "volatilities": {"XYZ": "0.05"}}))
    out = StringIO()
    call_command("cascade", str(asked), "--chart", str(chart), stdout=out)
    assert "Sold at once: nobody is called; 1440.00 USD traded" in out.getvalue()
    assert chart.read_text().startswith("<svg")
    out = StringIO()
    call_command("cascade", "--house", "securities", "--shock=-0.1", "--json", stdout=out)
    assert json.loads(out.getvalue())["accounts"] == 3
    with pytest.raises(CommandError, match="name a file"):
        call_command("cascade")
    with pytest.raises(CommandError, match="nothing was sold"):
        call_command("cascade", "--house", "securities", "--chart", str(chart))


def test_an_account_sized_alone_is_sized_as_among_all_instruments():
    accounts = [account("A", -13_000, ONE=100, FUND=100), account("B", 0, TWO=5)]
    instruments = [
        *(share(code, 100) for code in ("ONE", "TWO", "SIX")),
        {"code": "NDX", "kind": "index", "currency": "USD", "price": "9000"},
        {**share("FUND", 40), "kind": "etf", "index": "NDX"},
    ]
    case = books.case(forms.read(BookDocument, question(accounts, instruments)["book"]))
    own = selling.alone(case, 0)
    assert sorted(own.instruments.codes.tolist()) == ["FUND", "NDX", "ONE", "USD"]
    assert sizing.plan(*own.arguments, regime="house") == sizing.plan(*case.arguments, regime="house")
    assert sizing.plan(*own.arguments, regime="house").trades


def test_coins_in_cash_fall_with_their_coin():
    """One coin in cash against 32,000: at 40,000 that is 80 % of it, and 65 % would be 26,000."""
    loan = {key: value for key, value in world.LOAN.items() if key != "clock"}
    cash = {"code": "BTC-CASH", "kind": "cash", "currency": "BTC", "minor_exponent": 8}
    book = {
        "on": "2026-03-02",
        "instruments": [{"code": "BTC", "kind": "crypto", "currency": "USD", "price": "50000"}, cash],
        "policies": {"loan": {"sweep": "crypto", "regimes": [loan]}},
        "accounts": [{"code": "A", "currency": "USD", "policy": "loan", "cash": {"BTC": "1", "USD": "-32000"}}],
    }
    found = cascade.answer({"book": book, "floor_rate": "0", "shock": "-0.2"}, at=MONDAY)["at_once"]
    assert [one["amount_called"] for one in found["still_called"]] == ["6000"]
