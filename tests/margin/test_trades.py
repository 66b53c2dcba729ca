"""Calls that come from trades, on a real PostgreSQL: from fills to the door, by pencil."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as Dec

import pytest

from accounts import adjustments, cash, fills, positions
from margin import calls, closing, restrictions, sweep, trades
from margin.models import Cure, Event, MarginCall, PolicyVersion, SmaEntry
from margin.restriction_terms import Effect
from market import calendars
from tests.margin import rows, world

pytestmark = pytest.mark.django_db
THREE_DAYS = {
    "unit": "business_days",
    "count": 3,
    "zone": "America/New_York",
    "calendar": "XNYS",
    "cut_off": "15:00",
    "base": "trade_date",
}
REG_T = {
    "regime": "reg_t",
    "methodology": "trades",
    "measure": "reg_t",
    "kinds": ["equity", "etf"],
    "terms": {},
    "clock": THREE_DAYS,
    "market_cures": False,
    "de_minimis": "1000",
}
DAY_TRADE = {
    **REG_T,
    "regime": "day_trade",
    "measure": "day_trade",
    "terms": {"of": "exchange", "past_due_clock": {**THREE_DAYS, "count": 1}},
    "clock": {**THREE_DAYS, "count": 5},
    "de_minimis": "0",
}
INTRADAY = {
    **DAY_TRADE,
    "regime": "intraday",
    "measure": "intraday",
    "terms": {"of": "exchange"},
    "market_cures": True,
    "de_minimis": "1000",
}
FRIDAY = datetime(2026, 2, 27, 21, 5, tzinfo=UTC)  # five minutes after New York has closed


def at(day, hour=0.0):
    """So many hours after the close of a day of March 2026 (negative: before)."""
    return datetime(2026, 3, day, 21, 5, tzinfo=UTC) + timedelta(hours=hour)


def begin(*regimes, cash_in="500"):
    """A policy, stock X and Y at 100 and 50, and an account that has kept SMA since Friday."""
    calendars.fill("XNYS", date(2026, 2, 1), date(2026, 3, 31))
    rows.policy("us_margin", world.securities(world.EXCHANGE, *(regimes or (REG_T,))))
    rows.cash()
    owner = rows.account("TRADER")
    stock = {"X": rows.equity("X"), "Y": rows.equity("Y", margin_eligible=False)}
    if cash_in != "0":
        positions.write(
            [(owner.pk, rows.cash().pk, Dec(cash_in), None)],
            cause="book",
            reference="b",
            effective_at=FRIDAY - timedelta(1),
        )
    end(27, now=FRIDAY)
    return owner, stock


def quotes(when, **prices):
    for code, price in {"X": "100", "Y": "50", **prices}.items():
        world.quote(rows.equity(code), price, when)


def end(day, *, now=None, **prices):
    """Close a day: quote, sweep, keep SMA, review."""
    when = now or at(day)
    quotes(when, **prices)
    swept = sweep.run("securities", at=when)
    closing.close(swept, day=closing.day_of(when))
    return trades.review(swept, at=when)


def look(when, **prices):
    """Review in the middle of a day."""
    quotes(when, **prices)
    return trades.review(sweep.run("securities", at=when), at=when)


def trade(owner, instrument, quantity, price, when):
    return fills.apply_fill(
        owner, instrument=instrument, quantity=Dec(quantity), price=Dec(price), source="oms",
        external_reference=f"n{next(rows.numbers)}", traded_at=when, at=when,
    )  # fmt: skip


def deal(owner, instrument, quantity, when, price="100"):
    """Trade at the mark of the moment: an intraday level needs one that is fresh."""
    quotes(when)
    return trade(owner, instrument, quantity, price, when)


def pay(owner, amount, when):
    return cash.deposit(
        owner, currency="USD", amount=Dec(amount), source="bank", external_reference=f"n{next(rows.numbers)}", at=when
    )


def told(regime="reg_t"):
    """(key, state, called, outstanding) of every call of a regime, by key."""
    calls = MarginCall.objects.filter(regime=regime).order_by("deficiency_key", "pk")
    return [(c.deficiency_key, c.state, int(c.amount_called), int(c.amount_outstanding)) for c in calls]


def kinds(call):
    return list(Event.objects.filter(call=call).order_by("seq").values_list("kind", flat=True))


def only(regime="reg_t"):
    return MarginCall.objects.get(regime=regime)


class TestRegulationT:
    @pytest.fixture
    def lived(self):
        return begin()

    def test_a_purchase_beyond_sma_is_called_for_its_trade_date_at_the_close(self, lived):
        """20,000 of X ask 10,000; SMA is 500. Three business days after Monday: Thursday, 15:00 in New York."""
        owner, stock = lived
        trade(owner, stock["X"], "200", "100", at(2, -3))
        end(2)
        assert told() == [("2026-03-02", "issued", 9500, 9500)]
        call = only()
        assert call.due_at == datetime(2026, 3, 5, 20, 0, tzinfo=UTC)
        assert (call.is_provisional, call.market_cures, call.regime) == (False, False, "reg_t")

    def test_an_account_whose_strikes_leave_it_a_day_pays_on_the_next_business_day(self, lived):
        """OptionsHouse's fourth strike: Tuesday, 15:00 in New York, instead of Thursday; until the 90 days are over."""
        owner, stock = lived
        restrictions.place(
            owner, effect=Effect.DUE_NEXT_DAY, reason="four strikes", ends_at=at(3, -4), at=at(2, -6),
            actor=rows.staff("rita", "Risk"),
        )  # fmt: skip
        trade(owner, stock["X"], "200", "100", at(2, -3))
        end(2)
        assert only().due_at == datetime(2026, 3, 3, 20, 0, tzinfo=UTC)
        trade(owner, stock["X"], "50", "100", at(3, -3))
        end(3)
        later = MarginCall.objects.get(deficiency_key="2026-03-03")
        assert later.due_at == datetime(2026, 3, 6, 20, 0, tzinfo=UTC)

    def test_a_call_is_provisional_while_its_day_lasts_and_final_at_the_close(self, lived):
        owner, stock = lived
        trade(owner, stock["X"], "200", "100", at(2, -3))
        look(at(2, -2))
        assert only().is_provisional
        trade(owner, stock["X"], "20", "100", at(2, -1.5))
        look(at(2, -1))
        assert told() == [("2026-03-02", "issued", 10500, 10500)]
        end(2)
        assert not only().is_provisional
        assert kinds(only()) == ["call.issued", "call.amount_changed", "call.finalised"]

    def test_a_day_that_ends_without_a_deficiency_meets_its_own_call(self, lived):
        owner, stock = lived
        trade(owner, stock["X"], "200", "100", at(2, -3))
        look(at(2, -2))
        trade(owner, stock["X"], "-200", "100", at(2, -1.5))
        look(at(2, -1))
        assert only().provisionally_met_at is not None
        end(2)
        call = only()
        assert (call.state, call.resolution) == ("met", "sale")
        assert kinds(call) == ["call.issued", "call.provisionally_met", "call.met"]

    def test_merrill_a_sale_of_20000_and_a_purchase_of_11000_leave_5500_of_an_open_call_of_10000(self, lived):
        """Merrill Edge: the net release is 4,500 against the call of 10,000, and the call is open again."""
        owner, stock = lived
        trade(owner, stock["X"], "210", "100", at(2, -3))  # 10,500, less 500 of SMA
        end(2)
        assert told() == [("2026-03-02", "issued", 10000, 10000)]
        trade(owner, stock["X"], "-200", "100", at(3, -3))
        look(at(3, -2.5))
        assert only().provisionally_met_at is not None
        trade(owner, stock["X"], "110", "100", at(3, -2))
        look(at(3, -1))
        assert only().provisionally_met_at is None
        end(3)
        assert told() == [("2026-03-02", "issued", 10000, 5500)]
        assert [(c.kind, c.release) for c in Cure.objects.filter(call__regime="reg_t")] == [("sale", 4500)]
        assert SmaEntry.objects.filter(account=owner).latest("number").called == 5500

    def test_selling_twice_the_call_meets_it_at_the_close_and_not_before(self, lived):
        owner, stock = lived
        trade(owner, stock["X"], "210", "100", at(2, -3))
        end(2)
        trade(owner, stock["X"], "-200", "100", at(3, -3))
        look(at(3, -2))
        assert only().state == "issued"
        end(3)
        assert (only().state, only().resolution) == ("met", "sale")

    def test_a_sale_of_what_has_no_loan_value_releases_all_of_its_proceeds(self):
        owner, stock = begin(cash_in="5000")
        trade(owner, stock["Y"], "100", "50", at(2, -4))  # paid in full by 5,000 of SMA
        end(2)
        assert told() == []
        trade(owner, stock["X"], "60", "100", at(3, -3))  # 3,000
        end(3)
        assert told() == [("2026-03-03", "issued", 3000, 3000)]
        trade(owner, stock["Y"], "-40", "50", at(4, -3))  # 2,000
        end(4)
        assert told() == [("2026-03-03", "issued", 3000, 1000)]

    def test_a_deposit_meets_the_call_first_due_and_what_is_left_the_next(self, lived):
        owner, stock = lived
        trade(owner, stock["X"], "90", "100", at(2, -3))  # 4,500 − 500
        end(2)
        trade(owner, stock["X"], "60", "100", at(3, -3))  # 3,000
        end(3)
        assert told() == [("2026-03-02", "issued", 4000, 4000), ("2026-03-03", "issued", 3000, 3000)]
        pay(owner, "5000", at(4, -3))
        look(at(4, -2))
        assert told() == [("2026-03-02", "met", 4000, 0), ("2026-03-03", "issued", 3000, 2000)]
        assert sum(cure.used for cure in Cure.objects.filter(call__regime="reg_t")) == 5000

    def test_money_paid_in_on_the_day_of_a_purchase_is_taken_off_its_call(self, lived):
        owner, stock = lived
        pay(owner, "3000", at(2, -5))
        trade(owner, stock["X"], "200", "100", at(2, -3))
        end(2)
        assert told() == [("2026-03-02", "issued", 6500, 6500)]

    def test_money_that_came_after_a_provisional_call_is_a_cure_of_it_and_counts_once(self, lived):
        owner, stock = lived
        trade(owner, stock["X"], "200", "100", at(2, -4))
        look(at(2, -3))
        pay(owner, "3000", at(2, -2))
        look(at(2, -1))
        end(2)
        assert told() == [("2026-03-02", "issued", 9500, 6500)]
        end(3)
        assert told() == [("2026-03-02", "issued", 9500, 6500)]

    def test_margin_securities_brought_in_release_their_loan_value(self, lived):
        """50 X of 100 are worth 5,000; half of it counts."""
        owner, stock = lived
        trade(owner, stock["X"], "200", "100", at(2, -3))
        end(2)
        adjustments.adjust(
            owner, instrument=stock["X"], change=Dec(50), reason="brought in", external_reference="D-1",
            effective_at=at(3, -3), at=at(3, -3), is_delivery=True,
        )  # fmt: skip
        end(3)
        assert told() == [("2026-03-02", "issued", 9500, 7000)]

    def test_a_rising_market_does_not_meet_it(self, lived):
        owner, stock = lived
        trade(owner, stock["X"], "200", "100", at(2, -3))
        end(2)
        end(3, X="300")
        assert told() == [("2026-03-02", "issued", 9500, 9500)]

    def test_a_deficiency_of_1000_is_not_called_and_one_of_1001_is(self, lived):
        """12 CFR 220.4(d): a deficiency up to 1,000 need not be acted on."""
        owner, stock = lived
        trade(owner, stock["X"], "30", "100", at(2, -3))  # 1,500 − 500
        end(2)
        assert told() == []
        trade(owner, stock["X"], "1", "2002", at(3, -3))
        end(3, X="100")
        assert told() == [("2026-03-03", "issued", 1001, 1001)]

    def test_an_assignment_that_buys_stock_is_called_like_a_purchase(self, lived):
        owner, stock = lived
        fills.apply_fill(
            owner, instrument=stock["X"], quantity=Dec(100), price=Dec(100), source="assignment",
            external_reference="A-1", traded_at=at(2, -1), at=at(2, -1),
        )  # fmt: skip
        end(2)
        assert told() == [("2026-03-02", "issued", 4500, 4500)]

    def test_it_escalates_when_its_deadline_passes(self, lived):
        owner, stock = lived
        trade(owner, stock["X"], "200", "100", at(2, -3))
        end(2)
        calls.notified([only().pk], at=at(2, 0.5), actor=rows.SWEEPER)
        look(at(5, -1.5))
        assert only().state == "issued"
        look(at(5, -1))
        assert (only().state, only().escalation_cause) == ("escalated", "deadline")
        end(5)
        assert only().state == "escalated"

    def test_reviewing_twice_is_reviewing_once(self, lived):
        owner, stock = lived
        trade(owner, stock["X"], "210", "100", at(2, -3))
        end(2)
        trade(owner, stock["X"], "-150", "100", at(3, -3))
        end(3)
        before = Event.objects.count()
        for day in (2, 3):
            trades.review(closing.sweep_of(date(2026, 3, day)), at=at(3))
        trades.review(closing.sweep_of(date(2026, 3, 3)), at=at(3, 1))
        assert Event.objects.count() == before

    def test_a_day_gone_by_that_is_taken_up_again_leaves_a_later_provisional_call_alone(self, lived):
        owner, stock = lived
        end(2)
        trade(owner, stock["X"], "200", "100", at(3, -3))
        look(at(3, -2))
        trades.review(closing.sweep_of(date(2026, 3, 2)), at=at(3, -1))
        assert (only().is_provisional, only().state, only().amount_outstanding) == (True, "issued", 9500)

    def test_a_trade_told_after_the_close_raises_the_call_of_its_day(self, lived):
        owner, stock = lived
        trade(owner, stock["X"], "200", "100", at(2, -3))
        end(2)
        late = at(2, -2)
        fills.apply_fill(
            owner, instrument=stock["X"], quantity=Dec(10), price=Dec(100), source="oms", external_reference="late",
            traded_at=late, at=at(3, -5),
        )  # fmt: skip
        end(3)
        assert told() == [("2026-03-02", "issued", 10000, 10000)]

    def test_an_unmet_call_is_liquidated_for_no_more_than_the_deficiency_of_that_day(self, lived):
        owner, stock = lived
        trade(owner, stock["X"], "200", "100", at(2, -3))
        end(2)
        assert trades.to_liquidate(only(), margin_deficiency=Dec(4000)) == Dec(4000)
        assert trades.to_liquidate(only(), margin_deficiency=Dec(12000)) == Dec(9500)


class TestDayTrades:
    @pytest.fixture
    def lived(self):
        return begin(DAY_TRADE, cash_in="30000")

    def test_a_round_trip_beyond_buying_power_is_called_at_the_close(self, lived):
        """30,000 without a pattern buy 60,000; 80,000 were day-traded: half of the 20,000 beyond it are asked."""
        owner, stock = lived
        trade(owner, stock["X"], "800", "100", at(2, -4))
        trade(owner, stock["X"], "-800", "100", at(2, -3))
        look(at(2, -2))
        assert told("day_trade") == []
        end(2)
        assert told("day_trade") == [("2026-03-02", "issued", 10000, 10000)]
        call = only("day_trade")
        assert call.due_at == datetime(2026, 3, 9, 19, 0, tzinfo=UTC)  # 15:00 in New York, summer time since the 8th
        event = Event.objects.get(call=call)
        assert '"exposure": "80000"' in event.body.replace('":"', '": "')

    def test_what_is_held_overnight_is_no_day_trade(self, lived):
        owner, stock = lived
        trade(owner, stock["X"], "800", "100", at(2, -4))
        end(2)
        trade(owner, stock["X"], "-800", "100", at(3, -3))
        end(3)
        assert told("day_trade") == []

    def test_four_day_trades_make_a_pattern_that_buys_four_times_the_excess(self, lived):
        """120,000 at once are 4 × 30,000: nothing is asked of a pattern day trader of 30,000."""
        owner, stock = lived
        for place in range(3):
            trade(owner, stock["X"], "10", "100", at(2, -6 + place))
            trade(owner, stock["X"], "-10", "100", at(2, -5.5 + place))
        trade(owner, stock["X"], "1200", "100", at(2, -2))
        trade(owner, stock["X"], "-1200", "100", at(2, -1))
        end(2)
        assert told("day_trade") == []

    def test_a_pattern_day_trader_below_25000_is_asked_for_the_rest(self):
        """24,000: 1,000 are missing; and buying power is twice, not four times, the excess."""
        owner, stock = begin(DAY_TRADE, cash_in="24000")
        for place in range(4):
            trade(owner, stock["X"], "500", "100", at(2, -6 + place))
            trade(owner, stock["X"], "-500", "100", at(2, -5.5 + place))
        end(2)
        assert told("day_trade") == [("2026-03-02", "issued", 1000, 1000), ("minimum:2026-03-02", "issued", 1000, 1000)]

    def test_another_call_past_due_is_due_the_next_day(self, lived):
        owner, stock = lived
        for day in (2, 10):
            trade(owner, stock["X"], "800", "100", at(day, -4))
            trade(owner, stock["X"], "-800", "100", at(day, -3))
            quotes(at(day - 1 if day == 10 else day, 0.5))
            if day == 10:
                sweep.run("securities", at=at(9, 0.6))
            end(day)
        later = MarginCall.objects.get(regime="day_trade", deficiency_key="2026-03-10")
        assert later.due_at == datetime(2026, 3, 11, 19, 0, tzinfo=UTC)

    def test_a_deposit_meets_it_and_the_day_is_not_called_again(self, lived):
        owner, stock = lived
        trade(owner, stock["X"], "800", "100", at(2, -4))
        trade(owner, stock["X"], "-800", "100", at(2, -3))
        end(2)
        pay(owner, "10000", at(3, -4))
        look(at(3, -3))
        assert told("day_trade") == [("2026-03-02", "met", 10000, 0)]
        trades.review(closing.sweep_of(date(2026, 3, 2)), at=at(3, -2))
        assert len(told("day_trade")) == 1


class TestIntraday:
    @pytest.fixture
    def lived(self):
        return begin(INTRADAY, cash_in="10000")

    def test_the_lowest_level_of_the_day_is_called_though_it_was_sold_before_the_close(self, lived):
        """10,000 against 25 % of 60,000: 5,000 short at noon; flat at the close."""
        owner, stock = lived
        deal(owner, stock["X"], "600", at(2, -4))
        deal(owner, stock["X"], "-600", at(2, -3))
        end(2)
        assert told("intraday") == [("2026-03-02", "issued", 5000, 5000)]

    def test_a_fall_of_the_market_alone_is_no_deficit(self, lived):
        owner, stock = lived
        deal(owner, stock["X"], "300", at(2, -4))
        end(2)
        end(3, X="75")
        assert told("intraday") == []

    def test_a_small_deficit_is_disregarded(self, lived):
        """The lesser of 1,000 and 5 % of 10,000, 500: 42,000 ask 10,500."""
        owner, stock = lived
        deal(owner, stock["X"], "420", at(2, -4))
        deal(owner, stock["X"], "-420", at(2, -3))
        end(2)
        assert told("intraday") == []

    def test_purchases_of_one_instant_are_taken_before_its_sales(self, lived):
        owner, stock = lived
        deal(owner, stock["X"], "-600", at(2, -4))
        trade(owner, stock["X"], "600", "100", at(2, -4))
        end(2)
        assert [row[2] > 0 for row in told("intraday")] == [True]

    def test_money_of_the_day_itself_satisfies_from_close_to_close(self, lived):
        owner, stock = lived
        deal(owner, stock["X"], "600", at(2, -4))
        deal(owner, stock["X"], "-600", at(2, -3))
        pay(owner, "5000", at(2, -2))
        end(2)
        assert told("intraday") == []

    def test_a_rise_from_one_close_to_the_next_satisfies(self, lived):
        """The day closes flat at 10,000; 3,000 paid in raise the level by as much, and count once."""
        owner, stock = lived
        deal(owner, stock["X"], "600", at(2, -4))
        deal(owner, stock["X"], "-600", at(2, -3))
        end(2)
        pay(owner, "3000", at(3, -3))
        end(3)
        assert told("intraday") == [("2026-03-02", "issued", 5000, 2000)]
        pay(owner, "2000", at(4, -3))
        end(4)
        assert told("intraday") == [("2026-03-02", "met", 5000, 0)]

    def test_what_met_one_deficit_satisfies_no_other(self, lived):
        """5,000 and 5,000 of two days; 5,000 paid in meet the older, on the next close and on the one after."""
        owner, stock = lived
        for day in (2, 3):
            deal(owner, stock["X"], "600", at(day, -4))
            deal(owner, stock["X"], "-600", at(day, -3))
            end(day)
        pay(owner, "5000", at(4, -3))
        for day in (4, 5):
            end(day)
            assert told("intraday") == [("2026-03-02", "met", 5000, 0), ("2026-03-03", "issued", 5000, 5000)]

    def test_a_withdrawal_lowers_the_level_too(self, lived):
        owner, stock = lived
        deal(owner, stock["X"], "300", at(2, -4))
        quotes(at(2, -3))
        cash.withdraw(owner, currency="USD", amount=Dec(6000), source="bank", external_reference="W-1", at=at(2, -3))
        end(2)
        assert told("intraday") == [("2026-03-02", "issued", 3500, 3500)]


def test_what_applies_is_what_the_policy_in_force_on_the_day_says():
    """Until 3 March the firm counts day trades; from 4 March it measures intraday margin."""
    owner, stock = begin(DAY_TRADE, cash_in="10000")
    first = PolicyVersion.objects.get()
    later = PolicyVersion.objects.create(
        policy=first.policy, number=2, terms=world.securities(world.EXCHANGE, INTRADAY), effective_at=at(3, 2),
        published_by=first.published_by, published_at=first.published_at,
    )  # fmt: skip
    later.approved_by, later.approved_at = first.approved_by, first.approved_at
    later.save()
    end(2)
    for day in (3, 4):
        deal(owner, stock["X"], "600", at(day, -4))
        deal(owner, stock["X"], "-600", at(day, -3))
        end(day)
    assert [row[0] for row in told("day_trade")] == ["2026-03-03"]
    assert [row[0] for row in told("intraday")] == ["2026-03-04"]
