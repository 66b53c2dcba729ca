"""Calls that come from trades, by pencil and from published examples.

Sources: 12 CFR 220.4; FINRA 4210(f)(8)(B) and (d)(2); pages of brokers where they are named.
"""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as Dec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.engine import account, sma, sma_day, trade_calls
from margin.engine.sma import Entry, Kind, Resulting, State
from margin.engine.trade_calls import DayTrades, Level, Posted, Trade, Waiting

MONDAY, TUESDAY, WEDNESDAY = date(2026, 3, 2), date(2026, 3, 3), date(2026, 3, 4)
NINE = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
X, Y = 1, 2


def posted(state, *entries):
    """Postings of entries (day, kind, amount) as SMA books them day by day; trades count their fills from 1."""
    found, fills = [], 0
    before = state
    for on in sorted({on for on, *_ in entries}):
        mine = [Entry(kind, Dec(amount)) for day, kind, amount in entries if day == on]
        planned = sma_day.plan(before, mine, Resulting(Dec(0), Dec("1e9")), 2)
        states = trade_calls.fold(before, planned.entries, 2)
        for entry, after in zip(planned.entries, states, strict=True):
            is_trade = entry.kind in (Kind.PURCHASE, Kind.SALE, Kind.SHORT_SALE, Kind.CASH_PURCHASE)
            fills += is_trade
            found.append(Posted(on, sma.effect(entry), after.called - before.called, fills if is_trade else None))
            before = after
    return found


class TestRegulationT:
    @pytest.mark.parametrize("order", [(("sale", 20000), ("purchase", 11000)), (("purchase", 11000), ("sale", 20000))])
    def test_merrill_nets_a_day_that_sells_20000_and_buys_11000_against_an_open_call_of_10000(self, order):
        """Merrill Edge, Regulation T call page: the net release is 4,500, so the call of 10,000 is open again."""
        postings = posted(State(called=Dec(10000)), *((TUESDAY, Kind(kind), amount) for kind, amount in order))
        (day,) = trade_calls.days(Dec(10000), postings)
        assert (day.released, day.deficiency) == (Dec(4500), Dec(0))

    def test_a_purchase_of_20000_without_sma_asks_half(self):
        (day,) = trade_calls.days(Dec(0), posted(State(), (MONDAY, Kind.PURCHASE, 20000)))
        assert (day.deficiency, day.released) == (Dec(10000), Dec(0))

    def test_sma_and_what_came_in_that_day_are_taken_off(self):
        """20,000 bought: 10,000, less 3,000 of SMA and 2,500 paid in."""
        bought = (MONDAY, Kind.PURCHASE, 20000), (MONDAY, Kind.DEPOSIT, 2500)
        (day,) = trade_calls.days(Dec(0), posted(State(balance=Dec(3000)), *bought))
        assert day.deficiency == Dec(4500)

    def test_what_has_no_loan_value_is_asked_in_full(self):
        (day,) = trade_calls.days(Dec(0), posted(State(), (MONDAY, Kind.CASH_PURCHASE, 7000)))
        assert day.deficiency == Dec(7000)

    def test_a_day_that_ends_even_asks_nothing_and_releases_nothing(self):
        even = (MONDAY, Kind.PURCHASE, 9000), (MONDAY, Kind.SALE, 9000)
        (day,) = trade_calls.days(Dec(0), posted(State(), *even))
        assert (day.deficiency, day.released) == (Dec(0), Dec(0))

    def test_money_pays_the_older_day_first_and_the_rest_its_own(self):
        """Monday lacks 4,000. Tuesday buys 12,000 (6,000) and pays in 5,000: 4,000 for Monday, 1,000 for Tuesday."""
        lived = (
            (MONDAY, Kind.PURCHASE, 8000),
            (TUESDAY, Kind.PURCHASE, 12000),
            (TUESDAY, Kind.DEPOSIT, 5000),
        )
        monday, tuesday = trade_calls.days(Dec(0), posted(State(), *lived))
        assert (monday.deficiency, tuesday.deficiency) == (Dec(4000), Dec(5000))

    def test_a_withdrawal_takes_back_what_the_day_sold(self):
        lived = (TUESDAY, Kind.SALE, 6000), (TUESDAY, Kind.REVERSAL, 1000)
        (day,) = trade_calls.days(Dec(5000), posted(State(called=Dec(5000)), *lived))
        assert (day.released, day.deficiency) == (Dec(2000), Dec(0))

    def test_what_a_day_released_names_the_sales_it_came_from(self):
        lived = (TUESDAY, Kind.SALE, 6000), (TUESDAY, Kind.PURCHASE, 4000), (TUESDAY, Kind.SALE, 2000)
        (day,) = trade_calls.days(Dec(9000), posted(State(called=Dec(9000)), *lived))
        assert day.released == Dec(2000)
        assert day.sources == ((1, Dec(2000)),)

    def test_a_trade_told_late_belongs_to_its_own_day(self):
        late = [Posted(TUESDAY, Dec(-500), Dec(500), 2), Posted(MONDAY, Dec(-700), Dec(700), 1)]
        assert [(day.on, day.deficiency) for day in trade_calls.days(Dec(0), late)] == [
            (MONDAY, Dec(700)),
            (TUESDAY, Dec(500)),
        ]

    def test_a_sale_meets_the_call_that_is_first_due_and_then_the_next(self):
        """Two calls of 3,000 and 4,000; sales release 2,000 and 3,000."""
        given = trade_calls.shared([(11, Dec(2000)), (12, Dec(3000))], [(1, Dec(3000)), (2, Dec(4000))])
        assert given == [(1, 11, Dec(2000)), (1, 12, Dec(1000)), (2, 12, Dec(2000))]

    @given(
        st.lists(st.integers(1, 9000), max_size=5).map(lambda amounts: [Dec(a) for a in amounts]),
        st.lists(st.integers(1, 9000), max_size=5).map(lambda amounts: [Dec(a) for a in amounts]),
    )
    def test_no_part_of_a_sale_is_given_twice(self, released, wanted):
        given = trade_calls.shared(list(enumerate(released)), list(enumerate(wanted)))
        for place, amount in enumerate(released):
            assert sum(part for _, source, part in given if source == place) <= amount
        for place, amount in enumerate(wanted):
            assert sum(part for call, _, part in given if call == place) <= amount
        assert sum(part for *_, part in given) == min(sum(released), sum(wanted))

    @given(
        st.lists(
            st.tuples(
                st.sampled_from((MONDAY, TUESDAY, WEDNESDAY)),
                st.sampled_from((Kind.PURCHASE, Kind.SALE, Kind.DEPOSIT, Kind.CASH_PURCHASE)),
                st.integers(1, 20000),
            ),
            max_size=12,
        ),
        st.integers(0, 9000),
    )
    def test_deficiencies_less_what_pays_them_are_what_sma_says_is_called(self, lived, balance):
        """The oldest is paid first; what is left of all days together is the called part of SMA, to the cent."""
        state = State(balance=Dec(balance))
        postings = posted(state, *lived)
        owed = Dec(0)
        for day in trade_calls.days(Dec(0), postings):
            mine = [one for one in postings if one.on == day.on]
            traded = sum((one.effect for one in mine if one.is_trade), Dec(0))
            money = sum((one.effect for one in mine if not one.is_trade), Dec(0))
            owed += day.deficiency - min(owed, money if traded < 0 else money + traded)
        assert owed == sum((one.called_change for one in postings), Dec(0))

    def test_an_unmet_call_is_liquidated_for_the_lesser_of_it_and_the_deficiency_of_that_day(self):
        assert trade_calls.to_liquidate(Dec(10000), Dec(6000)) == Dec(6000)
        assert trade_calls.to_liquidate(Dec(10000), Dec(16000)) == Dec(10000)
        assert trade_calls.to_liquidate(Dec(10000), Dec(-50)) == Dec(0)

    def test_the_regulatory_waiver_ends_at_1000(self):
        assert account.may_be_disregarded(Dec(1000))
        assert not account.may_be_disregarded(Dec("1000.01"))


def done(*steps):
    """Trades of steps (security, quantity, value), a minute apart."""
    return [
        Trade(security, Dec(quantity), Dec(value), NINE + timedelta(minutes=place))
        for place, (security, quantity, value) in enumerate(steps)
    ]


class TestDayTrades:
    @pytest.mark.parametrize(
        ("held", "steps", "count"),
        [
            ({}, [(X, 100, 10), (X, -100, 11)], 1),
            ({}, [(X, -100, 10), (X, 100, 11)], 1),
            ({}, [(X, 100, 10)], 0),
            ({}, [(X, 250, 10), (X, 250, 10), (X, -500, 11)], 1),
            ({}, [(X, 500, 10), (X, -250, 11), (X, -250, 11)], 1),
            ({}, [(X, 100, 10), (X, -100, 11), (X, 100, 10), (X, -100, 11)], 2),
            ({}, [(X, 100, 10), (Y, -100, 11)], 0),
            ({X: 100}, [(X, -100, 11)], 0),
            ({X: 100}, [(X, -100, 11), (X, 100, 10)], 0),
            ({X: 100}, [(X, 100, 10), (X, -100, 11)], 1),
            ({X: -100}, [(X, 100, 11), (X, -100, 10)], 0),
            ({X: -100}, [(X, -100, 10), (X, 100, 11)], 1),
            ({}, [(X, 100, 10), (X, -200, 11), (X, 100, 10)], 2),
        ],
        ids=[
            "bought and sold",
            "sold short and covered",
            "held overnight",
            "two purchases, one sale",
            "one purchase, two sales",
            "a chain of two round trips",
            "another security",
            "sold from overnight",
            "sold from overnight and bought back",
            "sold after a new purchase",
            "covered from overnight, sold again",
            "covered after a new short sale",
            "turned and turned back",
        ],
    )
    def test_round_trips_are_counted_as_the_rule_counts_them(self, held, steps, count):
        found = trade_calls.day_trades(done(*steps), {security: Dec(size) for security, size in held.items()})
        assert (found.count, found.trades) == (count, len(steps))

    def test_what_was_opened_last_is_closed_first_and_only_what_was_closed_counts(self):
        """100 at 10, 100 at 20, then 150 sold: 100 × 20 and 50 × 10."""
        found = trade_calls.day_trades(done((X, 100, 10), (X, 100, 20), (X, -150, 21)), {})
        assert sorted(trip.cost for trip in found.round_trips) == [Dec(500), Dec(2000)]

    def test_one_after_another_counts_the_larger_by_time_and_tick_and_both_in_aggregate(self):
        trades = done((X, 100, 100), (X, -100, 101), (Y, 100, 80), (Y, -100, 81))
        trips = trade_calls.day_trades(trades, {}).round_trips
        assert trade_calls.exposure(trips, trade_calls.DayTradeTerms("exchange")) == Dec(10000)
        summed = trade_calls.DayTradeTerms("exchange", is_time_and_tick=False)
        assert trade_calls.exposure(trips, summed) == Dec(18000)

    def test_both_at_once_count_together(self):
        trades = done((X, 100, 100), (Y, 100, 80), (X, -100, 101), (Y, -100, 81))
        trips = trade_calls.day_trades(trades, {}).round_trips
        assert trade_calls.exposure(trips, trade_calls.DayTradeTerms("exchange")) == Dec(18000)

    def test_four_in_five_business_days_are_a_pattern_three_are_none(self):
        week = [date(2026, 3, day) for day in (2, 3, 4, 5, 6, 9)]
        terms = trade_calls.DayTradeTerms("exchange")
        four = {week[0]: DayTrades(count=2, trades=4), week[4]: DayTrades(count=2, trades=4)}
        assert trade_calls.has_pattern(four, week, terms)
        spread = {week[0]: DayTrades(count=2, trades=4), week[5]: DayTrades(count=2, trades=4)}
        assert not trade_calls.has_pattern(spread, week, terms)
        assert not trade_calls.has_pattern({week[0]: DayTrades(count=3, trades=6)}, week, terms)

    def test_six_percent_of_the_trades_are_no_pattern(self):
        """6 of 100 is 6 %; 6 of 99 is more."""
        terms = trade_calls.DayTradeTerms("exchange")
        assert not trade_calls.has_pattern({MONDAY: DayTrades(count=6, trades=100)}, [MONDAY], terms)
        assert trade_calls.has_pattern({MONDAY: DayTrades(count=6, trades=99)}, [MONDAY], terms)

    @pytest.mark.parametrize(
        ("exposed", "multiple", "called"),
        [("120000", 4, "0"), ("140000", 4, "5000"), ("140000", 2, "40000"), ("120000.01", 4, "0.01")],
    )
    def test_the_call_is_what_is_beyond_buying_power_at_its_rate(self, exposed, multiple, called):
        """An excess of 30,000 buys 120,000 at 4 : 1. 20,000 beyond it ask 25 %, 5,000; at 2 : 1, 80,000 ask half."""
        assert trade_calls.day_trade_call(Dec(exposed), Dec(30000), Dec(multiple), 2) == Dec(called)

    def test_nothing_buys_on_a_maintenance_deficiency(self):
        assert trade_calls.day_trade_call(Dec(1000), Dec(-500), Dec(4), 2) == Dec(250)

    @pytest.mark.parametrize(
        ("is_pattern", "equity", "has_open_call", "expected"),
        [(True, 25000, False, 4), (True, "24999.99", False, 2), (True, 30000, True, 2), (False, 90000, False, 2)],
    )
    def test_four_is_for_patterns_of_25000_without_an_open_call(self, is_pattern, equity, has_open_call, expected):
        terms = trade_calls.DayTradeTerms("exchange")
        found = trade_calls.multiple(terms, is_pattern=is_pattern, equity=Dec(equity), has_open_call=has_open_call)
        assert found == expected


def level(minute, margin, *, reducing=True, equity=20000):
    return Level(NINE + timedelta(minutes=minute), Dec(margin), Dec(equity), reducing)


class TestIntraday:
    def test_the_lowest_level_after_a_reducing_trade_counts(self):
        found = trade_calls.intraday_deficit([level(0, -500), level(1, -1200), level(2, 300)])
        assert found.margin == Dec(-1200)

    def test_a_fall_of_the_market_alone_makes_no_deficit(self):
        assert trade_calls.intraday_deficit([level(0, 100), level(1, -9000, reducing=False)]) is None

    def test_the_first_of_equal_levels_is_named(self):
        assert trade_calls.intraday_deficit([level(3, -5), level(1, -5)]).at == NINE + timedelta(minutes=1)

    @pytest.mark.parametrize(("equity", "limit"), [("20000", "1000"), ("10000", "500"), ("80000", "1000"), ("-5", "0")])
    def test_the_lesser_of_1000_and_five_percent_of_equity_is_disregarded(self, equity, limit):
        """SR-FINRA-2025-017: the lesser of 5 % of equity or 1,000."""
        assert trade_calls.disregarded(Dec(equity), Dec(1000), trade_calls.IntradayTerms("exchange")) == Dec(limit)

    def test_a_rise_of_the_level_from_close_to_close_satisfies(self):
        """Closed at −200 on the day; at 1,000 later: 1,200 of a deficit of 1,500 are satisfied."""
        assert trade_calls.unsatisfied([Waiting(Dec(-200), Dec(1500))], Dec(1000)) == [Dec(300)]

    def test_selling_1000_of_a_security_charged_35_percent_satisfies_350(self):
        """4210(d)(2): selling releases the maintenance of what is sold; the level rises by as much."""
        rise = account.released(Dec(1000), Dec("0.35"))
        assert trade_calls.unsatisfied([Waiting(Dec(0), Dec(500))], rise) == [Dec(150)]

    def test_no_part_of_a_rise_satisfies_two_deficits(self):
        """1,000 and 800 of one close; a rise of 1,500 leaves 300 of the younger."""
        assert trade_calls.unsatisfied([Waiting(Dec(0), Dec(1000)), Waiting(Dec(0), Dec(800))], Dec(1500)) == [
            Dec(0),
            Dec(300),
        ]

    def test_a_rise_before_the_younger_deficit_is_the_older_ones_alone(self):
        """Closes at 0, then 1,000 (satisfying the older), then 1,400: 400 of the younger 800 are satisfied."""
        assert trade_calls.unsatisfied([Waiting(Dec(0), Dec(1000)), Waiting(Dec(1000), Dec(800))], Dec(1400)) == [
            Dec(0),
            Dec(400),
        ]

    def test_a_fall_satisfies_nothing_and_adds_nothing(self):
        assert trade_calls.unsatisfied([Waiting(Dec(0), Dec(500))], Dec(-900)) == [Dec(500)]


@pytest.mark.parametrize(
    ("rule", "document", "named"),
    [
        ("magic", {}, "magic"),
        ("reg_t", {"rate": "1"}, "rate"),
        ("day_trade", {}, "of"),
        ("day_trade", {"of": "exchange", "multiple": "1"}, "reduced_multiple"),
        ("day_trade", {"of": "exchange", "window": 0}, "window"),
        ("intraday", {"of": "exchange", "least_equity_rate": "1"}, "least_equity_rate"),
    ],
)
def test_wrong_terms_are_refused_with_the_key(rule, document, named):
    with pytest.raises(ValueError, match=named):
        trade_calls.terms(rule, document)
