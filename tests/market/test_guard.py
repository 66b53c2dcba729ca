"""The guard as a table: one line a case. Limits and figures are the cases' own, worked by hand."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market import guard
from market.guard import Outcome, Standing
from tests.market.conftest import NOON, quote

AT = NOON + timedelta(hours=1)
ACCEPT, HOLD, REFUSE, LATE = Outcome.ACCEPT, Outcome.HOLD, Outcome.REFUSE, Outcome.LATE


def standing(mark: str | None = "100", **more: Any) -> Standing:
    """An equity last quoted at `mark` one minute before noon, limit 25 %."""
    more.setdefault("latest", quote(mark=mark, seconds=-60) if mark is not None else None)
    return Standing(**more)


def limit(rate: str, mark: str = "100", **more: Any) -> Standing:
    return standing(mark, jump_limit_rate=Decimal(rate), **more)


OIL = standing("-1.43", may_be_negative=True, kind="future", jump_limit_rate=Decimal(50))
OPTION = standing("2.00", kind="option", jump_limit_rate=Decimal(5))
SPLIT = standing("700", splits=((NOON - timedelta(seconds=30), Decimal(7)),))
REVERSE_SPLIT = standing("1.16", splits=((NOON - timedelta(seconds=30), Decimal("0.05")),))
ENDED = standing(ended_at=NOON - timedelta(days=1))

CASES: list[tuple[str, Any, Standing, Outcome, str]] = [
    # name, quote, what stood before, outcome, what the reason mentions
    ("a first quote", quote(), standing(None), ACCEPT, ""),
    ("an unchanged quote", quote(), standing(), ACCEPT, ""),
    ("a small move", quote(mark="101"), standing(), ACCEPT, ""),
    ("a fall of exactly the limit", quote(mark="75"), standing(), ACCEPT, ""),
    ("a rise of exactly the limit", quote(mark="125"), standing(), ACCEPT, ""),
    ("a fall just beyond the limit", quote(mark="74.99"), standing(), HOLD, "jump"),
    ("a rise just beyond the limit", quote(mark="125.01"), standing(), HOLD, "jump"),
    ("a slip of one digit up", quote(mark="1000"), standing(), HOLD, "split suspected (1 for 10)"),
    ("a slip of one digit down", quote(mark="10"), standing(), HOLD, "split suspected (10 for 1)"),
    ("a slip of two digits", quote(mark="10000"), standing(), HOLD, "jump"),
    ("pence for pounds", quote(mark="1"), standing(), HOLD, "jump"),
    ("a price of 250 times (Quoine 2017)", quote(mark="10"), standing("0.04"), HOLD, "jump"),
    ("a print at a dime (GDAX 2017)", quote(mark="0.10"), standing("317.81"), HOLD, "jump"),
    ("AIG on 2008-09-15", quote(mark="4.76"), standing("12.14"), HOLD, "-60.8 %"),
    ("a move within a wide limit", quote(mark="199"), limit("1"), ACCEPT, ""),
    ("a fall to a third where the limit is 100 %", quote(mark="34"), limit("1"), HOLD, "split suspected (3 for 1)"),
    ("a fall to a half where the limit is 100 %", quote(mark="50"), limit("1"), ACCEPT, ""),
    ("a move beyond a narrow limit", quote(mark="101.1"), limit("0.01"), HOLD, "+1.1 %"),
    # splits
    ("a two for one split", quote(mark="50"), standing(), HOLD, "split suspected (2 for 1)"),
    ("a three for one split", quote(mark="33.4"), standing(), HOLD, "split suspected (3 for 1)"),
    ("a five for one split", quote(mark="20.1"), standing(), HOLD, "split suspected (5 for 1)"),
    ("AAPL on 2014-06-09, 7 for 1", quote(mark="93.70"), standing("645.57"), HOLD, "split suspected (7 for 1)"),
    ("a twenty for one split", quote(mark="5"), standing(), HOLD, "split suspected (20 for 1)"),
    ("AIG on 2009-07-01, 1 for 20", quote(mark="22.90"), standing("1.16"), HOLD, "split suspected (1 for 20)"),
    ("a split that positions follow already", quote(mark="101"), SPLIT, ACCEPT, ""),
    ("the old price after an applied split", quote(mark="700"), SPLIT, HOLD, "split suspected (1 for 7)"),
    ("a reverse split that positions follow already", quote(mark="22.90"), REVERSE_SPLIT, ACCEPT, ""),
    ("a fall of 40 % looks like no split", quote(mark="60"), standing(), HOLD, "jump"),
    # signs
    ("WTI at -37.63 where it may be negative", quote(mark="-37.63"), OIL, ACCEPT, ""),
    ("WTI at -37.63 where it may not", quote(mark="-37.63"), standing("18.27"), REFUSE, "may_be_negative"),
    (
        "the first fall through zero is asked about",
        quote(mark="-37.63"),
        limit("1", "18.27", may_be_negative=True),
        HOLD,
        "jump",
    ),
    ("a negative bid and ask where allowed", quote(mark="-37.63", bid="-38", ask="-37"), OIL, ACCEPT, ""),
    ("a negative bid where not allowed", quote(bid="-1", ask="101"), standing(), REFUSE, "negative"),
    ("a negative ask where not allowed", quote(mark="1", ask="-1"), standing(), REFUSE, "negative"),
    ("zero where it may be negative", quote(mark="0"), OIL, ACCEPT, ""),
    ("a zero equity", quote(mark="0"), standing(), REFUSE, "written off"),
    ("minus zero is zero", quote(mark="-0"), standing(), REFUSE, "written off"),
    ("a worthless option", quote(mark="0", bid="0", ask="0.01"), limit("5", "0.01", kind="option"), HOLD, "jump"),
    ("an option that stays worthless", quote(mark="0"), standing("0", kind="option"), ACCEPT, ""),
    ("an option that wakes from zero", quote(mark="0.05"), standing("0", kind="option"), HOLD, "jump"),
    ("a negative price that nears zero", quote(mark="-0.01"), OIL, ACCEPT, ""),
    ("an option with a zero bid", quote(mark="2", bid="0", ask="4"), OPTION, ACCEPT, ""),
    ("an equity with a zero bid", quote(mark="50", bid="0", ask="100"), standing("50"), HOLD, "too far apart"),
    ("a zero ask", quote(mark="0", bid="0", ask="0"), OPTION, REFUSE, "ask"),
    # bid and ask
    ("bid and ask without a mark", quote(mark=None, bid="99", ask="101"), standing(), ACCEPT, ""),
    ("a locked market", quote(bid="100", ask="100"), standing(), ACCEPT, ""),
    ("a crossed market", quote(bid="100.02", ask="100.01"), standing(), REFUSE, "crossed"),
    ("a crossed first quote", quote(bid="101", ask="100"), standing(None), REFUSE, "crossed"),
    ("a bid alone without a mark", quote(mark=None, bid="99"), standing(), REFUSE, "one side"),
    ("an ask alone without a mark", quote(mark=None, ask="99"), standing(), REFUSE, "one side"),
    ("nothing at all", quote(mark=None), standing(), REFUSE, "missing"),
    ("a mark with a bid alone", quote(bid="99.5"), standing(), ACCEPT, ""),
    ("a mark below the bid", quote(mark="98", bid="99", ask="101"), standing(), HOLD, "outside"),
    ("a mark above the ask", quote(mark="102", bid="99", ask="101"), standing(), HOLD, "outside"),
    ("a very wide market", quote(bid="80", ask="120"), standing(), HOLD, "too far apart"),
    ("a wide first quote", quote(bid="1", ask="199"), standing(None), HOLD, "too far apart"),
    # numbers that are none
    ("NaN", quote(mark="NaN"), standing(), REFUSE, "finite"),
    ("a signalling NaN", quote(mark="sNaN"), standing(), REFUSE, "finite"),
    ("infinity", quote(mark="Infinity"), standing(), REFUSE, "finite"),
    ("minus infinity", quote(mark="-Infinity"), OIL, REFUSE, "finite"),
    ("NaN for a bid", quote(bid="NaN", ask="101"), standing(), REFUSE, "bid"),
    ("infinity for an ask", quote(bid="99", ask="Infinity"), standing(), REFUSE, "ask"),
    ("NaN for a volatility", quote(implied_volatility="NaN"), standing(), REFUSE, "implied_volatility"),
    ("a float", quote()._replace(mark=100.0), standing(), REFUSE, "Decimal"),
    ("13 decimals", quote(mark="100.0000000000001"), standing(), REFUSE, "decimals"),
    ("13 decimals, the last a zero", quote(mark="100.0000000000010"), standing(), ACCEPT, ""),
    ("21 digits before the point", quote(mark="1e20"), standing(), REFUSE, "digits"),
    ("1E+400", quote(mark="1E+400"), standing(), REFUSE, "digits"),
    ("a volatility of 30 %", quote(implied_volatility="0.3"), standing(), ACCEPT, ""),
    ("a negative volatility", quote(implied_volatility="-0.3"), standing(), REFUSE, "between"),
    ("a volatility of 6,000 %", quote(implied_volatility="60"), standing(), REFUSE, "between"),
    # time
    ("an older quote", quote(seconds=-61), standing(), LATE, "not newer"),
    ("another price at the same instant", quote(mark="99", seconds=-60), standing(), LATE, "not newer"),
    ("another source at the same instant", quote(seconds=-60, source="beta"), standing(), LATE, "not newer"),
    ("the very same quote again", quote(seconds=-60), standing(), LATE, "not newer"),
    ("a minute ahead of our clock", quote(seconds=3660), standing(), ACCEPT, ""),
    ("more than a minute ahead", quote(seconds=3661), standing(), REFUSE, "future"),
    ("tomorrow", quote(seconds=86400), standing(), REFUSE, "future"),
    ("no time zone", quote()._replace(as_of=datetime(2026, 11, 20, 12)), standing(), REFUSE, "time zone"),  # noqa: DTZ001
    ("an ended instrument", quote(), ENDED, REFUSE, "ended"),
    ("the last quote before the end", quote(seconds=-1), standing(ended_at=NOON), ACCEPT, ""),
    # what it is
    ("cash", quote(), standing(None, kind="cash"), REFUSE, "exchange rate"),
    ("no source", quote(source=""), standing(), REFUSE, "source"),
    ("a source with a quote mark", quote(source='a"b'), standing(), REFUSE, "source"),
    ("a source of 33 characters", quote(source="x" * 33), standing(), REFUSE, "source"),
]


@pytest.mark.parametrize(
    ("given_quote", "before", "outcome", "mentions"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_guard_accepts_holds_or_refuses(
    given_quote: Any, before: Standing, outcome: Outcome, mentions: str
) -> None:
    verdict = guard.judge(given_quote, before, at=AT)
    assert verdict.outcome is outcome, verdict.reason
    assert mentions in f"{verdict.field}: {verdict.reason}"


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 60
    assert len({case[0] for case in CASES}) == len(CASES)


def test_a_mark_that_is_missing_is_the_middle_of_bid_and_ask_exactly() -> None:
    wide = quote(mark=None, bid="12345678901234567890.000000000001", ask="12345678901234567890.000000000003")
    assert guard.canonical(wide).mark == Decimal("12345678901234567890.000000000002")


def test_a_suspected_split_says_so_because_a_second_source_would_see_it_too() -> None:
    assert guard.judge(quote(mark="50"), standing(), at=AT).split_suspected
    assert not guard.judge(quote(mark="60"), standing(), at=AT).split_suspected


def test_splits_before_the_last_quote_or_after_this_one_do_not_count() -> None:
    early, late = NOON - timedelta(seconds=61), NOON + timedelta(seconds=1)
    splits = ((early, Decimal(7)), (late, Decimal(5)))
    assert guard.split_since(NOON - timedelta(seconds=60), NOON, splits) == 1


prices = st.decimals(min_value="0.000001", max_value="1000000", places=6)


@given(before=prices, now=prices, rate=st.decimals(min_value="0.01", max_value="10", places=2))
def test_whatever_is_accepted_moved_no_further_than_the_limit(before: Decimal, now: Decimal, rate: Decimal) -> None:
    verdict = guard.judge(quote(mark=str(now)), limit(str(rate), str(before)), at=AT)
    moved = abs(now / before - 1)
    assert verdict.outcome in (ACCEPT, HOLD)
    if verdict.outcome is ACCEPT:
        assert moved <= rate * (1 + Decimal("1e-20"))
    else:
        assert moved > rate * (1 - Decimal("1e-20")) or rate >= 1


@given(one=prices, other=prices)
def test_agreement_is_mutual(one: Decimal, other: Decimal) -> None:
    assert guard.agree(one, other) == guard.agree(other, one)


@given(st.decimals(allow_nan=True, allow_infinity=True), st.datetimes(timezones=st.just(UTC)))
def test_no_number_and_no_instant_makes_the_guard_fail(mark: Decimal, as_of: datetime) -> None:
    verdict = guard.judge(quote()._replace(mark=mark, as_of=as_of), standing(), at=AT)
    if verdict.outcome in (ACCEPT, HOLD):
        assert verdict.quote.mark is not None
        assert verdict.quote.mark.is_finite()
