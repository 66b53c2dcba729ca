"""Stories of regimes with a law of their own: futures, collateral annexes, Regulation T, calendars abroad, clocks."""

from datetime import UTC, datetime

import pytest

from tests.flows import stories
from tests.flows.stories import TERMS, text
from tests.margin import world

pytestmark = pytest.mark.django_db

GOLD = """code,name,kind,currency,multiplier,expires_at,terms,max_age_seconds
GCQ6,Gold August,future,USD,100,2026-08-27T18:30:00Z,"{""commodity"": ""GC""}",31536000
"""
MARGINS = "exchange,product,date,initial,maintenance\nCME,GC,2026-01-02,11000,10000\n"
FUTURES = {
    "regime": "futures", "methodology": "cross", "measure": "requirement", "kinds": ["future_option"], "terms": {},
    "parts": [
        {"methodology": "span", "measure": "requirement", "kinds": ["future"], "terms": {"parameters": "cme"}}
    ],
    "clock": {"unit": "hours", "count": 24}, "restores_initial": True, "market_cures": True, "watch_rate": "1.25",
}  # fmt: skip


def put(house, name, content):
    file = house.folder / name
    file.write_text(content)
    return str(file)


def abroad(house, calendar):
    house.run("load_calendars", calendar, "--first", "2026-01-01", "--until", "2026-12-31")


@pytest.fixture
def house(db, tmp_path, monkeypatch):
    return stories.build(tmp_path, monkeypatch)


def of_futures(house, cash):
    house.run("load_instruments", put(house, "gold.csv", GOLD))
    margins = put(house, "margins.csv", MARGINS)
    house.run("load_futures_margins", "cme", margins, effective_on="2026-01-02", source="CME")
    house.mark("GCQ6", "2000")
    house.publish("futures", {**TERMS, "regimes": [FUTURES]})
    house.open("F-1", {"USD": cash}, "futures")
    house.batch(
        "fills", account="F-1", instrument="GCQ6", quantity="2", price="2000", fee="0", source="oms",
        external_reference="T-1", traded_at=text(house.at),
    )  # fmt: skip
    house.later(minutes=1)
    house.sweep()


def test_a_futures_call_is_restored_to_the_initial_margin(house):
    # 2 contracts: maintenance 20,000, initial 22,000. Equity 19,000 is below the one and called up to the other.
    of_futures(house, "19000")
    assert (house.call("F-1")["amount_called"], house.call("F-1")["regime"]) == ("3000", "futures")
    house.later(hours=1)
    house.deposit("1500", account="F-1")  # 20,500: above maintenance, below initial
    house.sweep()
    assert (house.call("F-1")["state"], house.call("F-1")["amount_outstanding"]) == ("issued", "1500")
    house.later(hours=1)
    house.mark("GCQ6", "2007.49")  # 2 × 100 × 7.49 = 1,498
    house.sweep()
    assert (house.call("F-1")["state"], house.call("F-1")["amount_outstanding"]) == ("issued", "2")
    house.later(hours=1)
    house.mark("GCQ6", "2007.50")
    house.sweep()
    assert house.call("F-1")["state"] == "met"


def test_above_its_maintenance_a_futures_account_is_not_called(house):
    of_futures(house, "20000")
    assert house.rows("calls", account="F-1") == []
    house.later(minutes=1)
    house.mark("GCQ6", "1999.99")  # 2 less: 19,998, so 2,002 to the initial margin
    house.sweep()
    assert house.call("F-1")["amount_called"] == "2002"


SWAP = """code,name,kind,currency,expires_at,terms,may_be_negative,max_age_seconds
SWAP,Swap,otc,USD,2029-06-01T00:00:00Z,"{""asset_class"": ""rates"", ""notional"": ""1000000""}",true,31536000
"""
ANNEX = {
    "regime": "csa", "methodology": "csa", "measure": "variation", "kinds": ["otc"], "watch_rate": "100000",
    "terms": {"currency": "USD", "threshold": "30000", "minimum_transfer": "100000", "rounding": "50000"},
    "clock": {
        "unit": "business_days", "count": 1, "zone": "Europe/London", "calendar": "UK-BANK", "cut_off": "17:00",
        "base": "demand_received", "base_cut_off": "13:00",
    },
    "market_cures": False,
}  # fmt: skip


def test_a_collateral_annex_calls_above_threshold_and_least_transfer_and_what_is_not_disputed_stays_due(house):
    abroad(house, "UK-BANK")
    house.run("load_instruments", put(house, "swap.csv", SWAP))
    house.mark("SWAP", "-130000")
    house.publish("annex", {**TERMS, "regimes": [ANNEX]})
    house.open("X-1", {"SWAP": "1", "USD": "1000"}, "annex")
    house.sweep()
    assert house.rows("calls", account="X-1") == []  # 130,000 − 30,000 − 1,000 = 99,000 < 100,000
    house.later(minutes=1)
    house.mark("SWAP", "-151000")
    house.sweep()
    call = house.call("X-1")
    # 151,000 − 30,000 − 1,000 = 120,000, rounded up to 50,000s. Demanded after 13:00 in London: Wednesday, not Tuesday.
    assert (call["regime"], call["amount_called"], call["due_at"]) == ("csa", "150000", "2026-03-04T17:00:00Z")
    dispute = house.do(
        "olga",
        f"calls/{call['id']}/dispute",
        amount="50000",
        reason_code="mark_to_market",
        reason="our model says less",
    )["row"]["id"]
    house.later(hours=20)
    house.deposit("100000", account="X-1")
    house.sweep()
    told = house.call("X-1")
    assert (told["state"], told["amount_outstanding"], told["disputed"]) == ("issued", "50000", "50000")
    house.do("cora", f"disputes/{dispute}/decide", finding="rejected", reason="three quotes agree with ours")
    house.later(hours=1)
    house.deposit("50000", account="X-1")
    house.sweep()
    assert (house.call("X-1")["state"], house.call("X-1")["amount_outstanding"]) == ("met", "0")


REG_T = {
    "regime": "reg_t", "methodology": "trades", "measure": "reg_t", "kinds": ["equity", "etf"], "terms": {},
    "clock": {
        "unit": "business_days", "count": 3, "zone": "America/New_York", "calendar": "XNYS", "cut_off": "15:00",
        "base": "trade_date",
    },
    "market_cures": False, "de_minimis": "1000",
}  # fmt: skip


def trade(house, quantity):
    house.later(minutes=1)
    house.batch(
        "fills", account="T-1", instrument="XYZ", source="oms", external_reference=f"T-{next(house.numbers)}",
        quantity=quantity, price="100", fee="0", traded_at=text(house.at),
    )  # fmt: skip


def close(house, day):
    house.at = datetime(2026, 2, day, 21, 5, tzinfo=UTC)
    for code, price in (("XYZ", "100"), ("ABC", "50")):
        house.mark(code, price)
    house.sweep()
    house.run("close_day")
    house.run("trade_calls")


def test_what_is_sold_and_bought_again_on_the_same_day_counts_net(db, tmp_path, monkeypatch):
    """Merrill's example: of 20,000 sold against a call of 10,000, 11,000 are bought again: 4,500 are released."""
    house = stories.build(tmp_path, monkeypatch, at=datetime(2026, 2, 9, 16, 0, tzinfo=UTC))
    house.publish("us_margin", {**world.securities(world.EXCHANGE, REG_T), "calendar": "24/7"})
    house.open("T-1", {"XYZ": "300", "USD": "-15000"})  # half is paid: no SMA
    close(house, 9)
    house.at = datetime(2026, 2, 10, 16, 0, tzinfo=UTC)
    trade(house, "200")  # 50 % of 20,000
    close(house, 10)
    call = house.call("T-1", regime="reg_t")
    assert (call["amount_called"], call["amount_outstanding"]) == ("10000", "10000")
    house.at = datetime(2026, 2, 11, 16, 0, tzinfo=UTC)
    trade(house, "-200")
    house.later(minutes=15)
    house.sweep()
    assert house.call("T-1", regime="reg_t")["state"] == "issued"  # final at the close alone
    trade(house, "110")
    close(house, 11)
    found = house.call("T-1", regime="reg_t")
    assert (found["id"], found["state"], found["amount_outstanding"]) == (call["id"], "issued", "5500")
    house.at = datetime(2026, 2, 12, 16, 0, tzinfo=UTC)
    trade(house, "-110")  # the rest, a day later
    close(house, 12)
    assert (house.call("T-1", regime="reg_t")["state"], house.call("T-1", regime="reg_t")["amount_outstanding"]) == (
        "met", "0",
    )  # fmt: skip


def clocked(house, **clock):
    abroad(house, clock["calendar"])
    house.publish("us_margin", {**TERMS, "regimes": [{**stories.HOUSE, "clock": clock}]})
    house.open("S-1", {"XYZ": "1000", "USD": "-75000"})
    house.sweep()
    return house.call()["due_at"]


@pytest.mark.parametrize(
    ("at", "calendar", "zone", "cut_off", "due"),
    [
        # Thursday before Easter: Friday and Monday are bank holidays; Tuesday, Wednesday; London is at UTC+1
        (datetime(2026, 4, 2, 10, tzinfo=UTC), "UK-BANK", "Europe/London", "15:00", "2026-04-08T14:00:00Z"),
        # Friday 1 May: Greenery, Children's Day and the day in lieu of Constitution Day; Thursday, Friday; UTC+9
        (datetime(2026, 5, 1, 6, tzinfo=UTC), "JP-BANK", "Asia/Tokyo", "11:30", "2026-05-08T02:30:00Z"),
        # Friday before New York's clocks go forward: Monday, Tuesday at UTC−4
        (datetime(2026, 3, 6, 17, tzinfo=UTC), "XNYS", "America/New_York", "15:00", "2026-03-10T19:00:00Z"),
    ],
)
def test_a_deadline_skips_the_holidays_of_its_calendar(db, tmp_path, monkeypatch, at, calendar, zone, cut_off, due):
    house = stories.build(tmp_path, monkeypatch, at=at)
    assert clocked(house, unit="business_days", count=2, calendar=calendar, zone=zone, cut_off=cut_off) == due


def test_hours_are_elapsed_hours_where_clocks_go_forward(db, tmp_path, monkeypatch):
    """72 hours from Saturday noon, over the night in which New York skips an hour, for a loan that is never closed."""
    house = stories.build(tmp_path, monkeypatch, at=datetime(2026, 3, 7, 17, 0, tzinfo=UTC))
    loan = {**world.LOAN, "clock": {"unit": "hours", "count": 72}}
    house.publish("crypto_loan", {**world.crypto(loan), "calendar": "24/7"})
    house.open("L-1", {"BTC": "1", "USD": "-72000"}, "crypto_loan")  # 72 %
    house.sweep("crypto")
    call = house.call("L-1")
    issued, due = (datetime.fromisoformat(call[name]) for name in ("issued_at", "due_at"))
    assert (call["state"], call["amount_called"], (due - issued).total_seconds()) == ("issued", "7000", 72 * 3600)
    house.at = due.replace(microsecond=0)
    house.later(seconds=-30)
    house.sweep("crypto")
    assert house.call("L-1")["state"] == "issued"
    house.later(minutes=1)
    house.mark("BTC", "100000")
    house.sweep("crypto")
    assert (house.call("L-1")["state"], house.call("L-1")["escalation_cause"]) == ("escalated", "deadline")
