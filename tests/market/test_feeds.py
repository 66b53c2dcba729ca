"""Playback of real prices and the made-up feed: what is recorded, what is asked about, what survives."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from market import calendars, instruments, quotes, strict
from market.feeds import demo, persistently, playback
from market.guard import Outcome, Standing, judge
from market.models import HeldQuote, Instrument, Quote, QuoteFact
from tests.market.conftest import NOON, instrument, quote

ROOT = Path(__file__).parents[2]
SHARED = ROOT / "../shared/data/market"
with_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared")


# --- playback -----------------------------------------------------------------------------------------------


@pytest.fixture
def bear_market(db: None) -> None:
    """AIG, Washington Mutual and the S&P 500 fund under their tickers of 2008."""
    calendars.fill("XNYS", date(2008, 8, 25), date(2009, 8, 31))
    new_york = calendars.find("XNYS")
    for code in ("AIG", "WAMU", "SPY"):
        instrument(code, calendar=new_york)
    file = b"""instrument,scheme,symbol,valid_from,valid_until
AIG,ticker,AIG,,
SPY,ticker,SPY,,
WAMU,ticker,WM,,2008-09-29
"""
    instruments.load_aliases(file)


def closes_of(symbol: str) -> dict[date, Decimal]:
    found = strict.table(SHARED / "equities_daily.csv", playback.DAILY)
    return {row.values["date"]: row.values["close"] for row in found if row.values["symbol"] == symbol}


@with_shared
def test_the_path_of_aig_in_2008_is_asked_about_and_not_hidden(
    bear_market: None, people: Callable[[str, str], Any]
) -> None:
    """A close beyond 25 % waits and the quote before it stays; once a person confirms, the next is measured from it."""
    recording = playback.read(SHARED / "equities_daily.csv", first=date(2008, 9, 8), last=date(2008, 9, 19))
    closes, ria, asked = closes_of("AIG"), people("ria", "Risk"), []
    believed = closes[date(2008, 9, 8)]
    for tick in recording.ticks:
        quotes.record(tick.quotes, at=tick.as_of)
        day = tick.as_of.date()
        waiting = HeldQuote.objects.filter(state="held", instrument__code="AIG").first()
        if abs(closes[day] / believed - 1) > Decimal("0.25"):
            assert waiting is not None
            assert (waiting.mark, waiting.previous_mark) == (closes[day], believed)
            assert Quote.objects.get(instrument__code="AIG").mark == believed
            quotes.confirm(waiting, at=tick.as_of, person=ria)
            asked.append(day)
        else:
            assert waiting is None
        believed = closes[day]
        assert Quote.objects.get(instrument__code="AIG").mark == believed
    # Closes of the file and their moves: 22.79, 18.31 (-19.7 %), 17.37 (-5.1), 17.73 (+2.1), 12.16 (-31.4),
    # 5.09 (-58.1), 3.94 (-22.6), 2.05 (-48.0), 2.39 (+16.6), 4.22 (+76.6): four beyond a quarter.
    assert len(recording.ticks) == 10
    assert asked == [date(2008, 9, day) for day in (12, 15, 17, 19)]


@with_shared
def test_without_an_answer_aig_stays_at_the_last_believed_price_and_in_quarantine(bear_market: None) -> None:
    recording = playback.read(SHARED / "equities_daily.csv", first=date(2008, 9, 11), last=date(2008, 9, 19))
    for tick in recording.ticks:
        quotes.record(tick.quotes, at=tick.as_of)
    assert Quote.objects.get(instrument__code="AIG").mark == closes_of("AIG")[date(2008, 9, 11)]
    assert HeldQuote.objects.filter(instrument__code="AIG", state="held").count() == 1


@with_shared
def test_washington_mutual_has_no_price_after_its_end_and_nobody_is_mistaken_for_it(bear_market: None) -> None:
    recording = playback.read(SHARED / "equities_daily.csv", first=date(2008, 9, 22), last=date(2009, 8, 6))
    wamu = [tick.as_of.date() for tick in recording.ticks for one in tick.quotes if one.instrument == "WAMU"]
    assert max(wamu) == date(2008, 9, 26)
    assert recording.unknown["WM"] == 2  # Waste Management on 2009-08-05 and 06
    assert recording.unknown["AAPL"] > 200


@with_shared
def test_a_daily_bar_is_known_at_the_real_close_of_its_day(bear_market: None) -> None:
    recording = playback.read(SHARED / "equities_daily.csv", first=date(2008, 10, 31), last=date(2008, 11, 28))
    at = {tick.as_of.date(): tick.as_of for tick in recording.ticks}
    assert at[date(2008, 10, 31)] == datetime(2008, 10, 31, 20, tzinfo=UTC)
    assert at[date(2008, 11, 3)] == datetime(2008, 11, 3, 21, tzinfo=UTC)
    assert at[date(2008, 11, 28)] == datetime(2008, 11, 28, 18, tzinfo=UTC)  # half day


@with_shared
def test_a_minute_bar_is_known_when_its_minute_ends(db: None) -> None:
    instrument("BTC", kind="crypto")
    instruments.load_aliases(b"instrument,scheme,symbol,valid_from,valid_until\nBTC,ticker,BTC-USD,,\n")
    recording = playback.read(SHARED / "crypto_minute.csv", last=date(2017, 12, 17))
    first = recording.ticks[0]
    assert (first.as_of, first.quotes[0].mark) == (datetime(2017, 12, 17, 0, 1, tzinfo=UTC), Decimal("19516.96"))
    assert playback.play(recording.ticks[:50], speed=0, stop=threading.Event()) == 50
    assert QuoteFact.objects.filter(source="playback").count() == 50


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "prices.csv"
    file.write_text(text)
    return file


def test_quotes_are_played_as_they_were(acme: Instrument, tmp_path: Path) -> None:
    text = "instrument,source,as_of,mark\nACME,venue,2026-11-20T15:00:02Z,101\nACME,venue,2026-11-20T15:00:00Z,100\n"
    recording = playback.read(write(tmp_path, text))
    started = time.monotonic()
    assert playback.play(recording.ticks, speed=10, stop=threading.Event()) == 2
    assert 0.15 < time.monotonic() - started < 2  # two recorded seconds at ten to one
    assert Quote.objects.get().mark == 101


def test_played_live_a_quote_bears_the_moment_it_is_played(acme: Instrument, tmp_path: Path) -> None:
    recording = playback.read(write(tmp_path, "instrument,source,as_of,mark\nACME,venue,2008-11-20T15:00:00Z,100\n"))
    playback.play(recording.ticks, speed=0, stop=threading.Event(), live=True)
    assert abs((Quote.objects.get().as_of - datetime.now(UTC)).total_seconds()) < 30


def test_playback_stops_when_told(acme: Instrument, tmp_path: Path) -> None:
    lines = "".join(f"ACME,venue,2026-11-20T15:{minute:02}:00Z,100\n" for minute in range(60))
    recording = playback.read(write(tmp_path, "instrument,source,as_of,mark\n" + lines))
    stop = threading.Event()
    played = playback.play(recording.ticks, speed=0, stop=stop, said=lambda tick, done: stop.set())
    assert played == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the header has none of"),
        ("symbol,price\nACME,1\n", "the header has none of"),
        ("symbol,date,close\nACME,2008-09-06,1\n", "row 2, date: XNYS was shut on 2008-09-06"),
        ("symbol,date,close\nACME,2008-09-08,NaN\n", "row 2, close"),
        ("symbol,date,close\nACME,2008-09-08,1\nACME,2008-09-08,2\n", "row 3, symbol"),
        ("symbol,at_utc,close\nACME,2008-09-08T10:00:00,1\n", "no time zone"),
    ],
)
def test_a_recording_that_cannot_be_is_refused(db: None, tmp_path: Path, text: str, says: str) -> None:
    calendars.fill("XNYS", date(2008, 9, 1), date(2008, 9, 30))
    instrument(calendar=calendars.find("XNYS"))
    instruments.load_aliases(b"instrument,scheme,symbol,valid_from,valid_until\nACME,ticker,ACME,,\n")
    with pytest.raises(strict.Refused, match=says):
        playback.read(write(tmp_path, text))


def test_days_beyond_the_calendar_are_not_guessed(db: None, tmp_path: Path) -> None:
    calendars.fill("XNYS", date(2008, 9, 1), date(2008, 9, 30))
    instrument(calendar=calendars.find("XNYS"))
    instruments.load_aliases(b"instrument,scheme,symbol,valid_from,valid_until\nACME,ticker,ACME,,\n")
    with pytest.raises(calendars.CalendarUnknown):
        playback.read(write(tmp_path, "symbol,date,close\nACME,2008-10-01,1\n"))


@with_shared
def test_of_a_thousand_planted_errors_in_sixty_days_none_is_believed_and_no_real_close_is_lost(db: None) -> None:
    """Fault P2: slips of a digit, pence for pounds, and numbers that are none, a minute after each real close."""
    calendars.fill("XNYS", date(2013, 1, 1), date(2013, 4, 30))
    new_york = calendars.find("XNYS")
    symbols = ("AAPL", "AIG", "BAC", "EEM", "IBM", "IWM", "QQQ", "SPY", "USO")
    for symbol in symbols:
        instrument(symbol, calendar=new_york)
    header = "instrument,scheme,symbol,valid_from,valid_until\n"
    instruments.load_aliases((header + "".join(f"{symbol},ticker,{symbol},,\n" for symbol in symbols)).encode())
    recording = playback.read(SHARED / "equities_daily.csv", first=date(2013, 1, 2), last=date(2013, 3, 28))
    errors = ("10", "0.1", "100", "0.01", "NaN", "-1")
    planted = accepted = 0
    for place, tick in enumerate(recording.ticks):
        accepted += quotes.record(tick.quotes, at=tick.as_of).accepted
        later = tick.as_of + timedelta(minutes=1)
        for wrong in (errors[place % 6], errors[(place + 1) % 6]):
            slips = [one._replace(mark=one.mark * Decimal(wrong), as_of=later) for one in tick.quotes if one.mark]
            done = quotes.record(slips, at=later)
            assert done.accepted == 0
            planted += len(slips)
    assert len(recording.ticks) == 60
    assert planted >= 1000
    assert accepted == sum(len(tick.quotes) for tick in recording.ticks) == QuoteFact.objects.count()


@pytest.fixture
def own_signals() -> Iterator[None]:
    """The feed command takes the process's signals; give them back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_the_command_plays_a_recording_and_says_what_it_left_out(
    acme: Instrument, own_signals: None, tmp_path: Path, capsys: Any
) -> None:
    instruments.load_aliases(b"instrument,scheme,symbol,valid_from,valid_until\nACME,ticker,ACME,,\n")
    text = "symbol,at_utc,close\nACME,2018-04-05T00:00:00Z,100\nACME,2018-04-05T00:01:00Z,900\n"
    text += "NONE,2018-04-05T00:00:00Z,1\n"
    call_command("feed", "playback", str(write(tmp_path, text)), "--speed", "0", "--source", "recorded")
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "NONE: 1 rows left out, no instrument had that ticker then"
    assert said[1] == "2018-04-05 00:01:00: 1 accepted, 0 held, 0 refused"
    assert said[2] == "2018-04-05 00:02:00: 0 accepted, 1 held, 0 refused"
    assert said[-1] == "played 2 of 2 instants"
    assert Quote.objects.get().source == "recorded"


@pytest.mark.parametrize(
    "arguments",
    [
        ("demo", "--interval", "0"),
        ("playback", "absent.csv"),
        ("playback", "absent.csv", "--speed", "-1"),
        ("playback", "absent.csv", "--first", "soon"),
        ("playback", "absent.csv", "--source", "a b\n"),
    ],
)
def test_the_command_refuses_what_it_cannot_do(db: None, own_signals: None, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        call_command("feed", *arguments)


# --- the made-up feed ---------------------------------------------------------------------------------------


def listing(code: str, mark: str = "100", **more: Any) -> demo.Listing:
    given = {
        "kind": "equity", "sector": "", "tick_size": None, "underlying": None, "right": "", "strike": None,
        "expires_at": None, "implied_volatility": None, "began": Decimal(mark), **more,
    }  # fmt: skip
    return demo.Listing(code=code, mark=Decimal(mark), **given)


def moved(before: list[demo.Listing], after: list[Any]) -> list[demo.Listing]:
    return [one._replace(mark=quote.mark) for one, quote in zip(before, after, strict=True)]


LATER = NOON + timedelta(days=90)
HOUSE = [
    listing("AAA", "100", sector="tech"),
    listing("BBB", "40.5", sector="tech"),
    listing("BTC", "60000", kind="crypto"),
    listing("BTC-PERP", "60010", kind="perpetual", underlying="BTC"),
    listing("AAA-C", "5", kind="option", underlying="AAA", right="call", strike=Decimal(100), expires_at=LATER),
    listing("PENNY", "0.5"),
]  # fmt: skip


def test_the_same_seed_and_tick_give_the_same_quotes_and_another_seed_others() -> None:
    one = demo.step(HOUSE, seed=7, tick=3, at=NOON)
    assert one == demo.step(HOUSE, seed=7, tick=3, at=NOON)
    assert one != demo.step(HOUSE, seed=8, tick=3, at=NOON)
    assert one != demo.step(HOUSE, seed=7, tick=4, at=NOON)
    assert {quote.source for quote in one} == {"demo"}


def test_a_feed_that_starts_again_goes_on_from_the_current_quotes() -> None:
    here, there = HOUSE, HOUSE
    for tick in range(4):
        here = moved(here, demo.step(here, seed=7, tick=tick, at=NOON))
    for tick in range(2):
        there = moved(there, demo.step(there, seed=7, tick=tick, at=NOON))
    for tick in range(2, 4):
        there = moved(there, demo.step(there, seed=7, tick=tick, at=NOON))
    assert here == there


def test_the_market_falls_enough_to_breach_a_thin_account() -> None:
    before = moved(HOUSE, demo.step(HOUSE, seed=7, tick=5, at=NOON))
    after = moved(before, demo.step(before, seed=7, tick=demo.FIRST_FALL, at=NOON))
    for one, other in zip(before[:3], after[:3], strict=True):
        assert other.mark / one.mark < Decimal("0.95")


def test_every_made_up_quote_passes_the_guard_except_the_slips() -> None:
    held, state = set(), HOUSE
    for tick in range(demo.FIRST_SLIP + demo.SLIP_EVERY + 10):
        at = NOON + timedelta(seconds=5 * tick)
        following = []
        for one, sent in zip(state, demo.step(state, seed=7, tick=tick, at=at), strict=True):
            latest = sent._replace(mark=one.mark, bid=None, ask=None, as_of=at - timedelta(seconds=5))
            limit = Decimal(5) if one.kind == "option" else Decimal("0.25")
            verdict = judge(sent, Standing(kind=one.kind, latest=latest, jump_limit_rate=limit), at=at)
            if verdict.outcome is Outcome.ACCEPT:
                following.append(one._replace(mark=sent.mark))
            else:
                held.add((tick, one.code))
                following.append(one)
        state = following
    slips = {tick for tick, _ in held}
    first = set(range(demo.FIRST_SLIP, demo.FIRST_SLIP + demo.SLIP_TICKS))
    assert first <= slips
    assert slips <= first | {tick + demo.SLIP_EVERY for tick in first}


def test_a_contract_that_is_worth_less_than_nothing_moves_too_and_stays_below() -> None:
    state = [listing("SWAP", "-840000", kind="otc"), listing("AAA", "100")]
    after = demo.step(state, seed=7, tick=3, at=NOON)
    assert after[0].mark < 0
    assert after[0].mark != state[0].mark
    assert abs(after[0].mark / state[0].mark - 1) < Decimal("0.05")


def test_prices_stay_near_where_they_began_for_a_whole_day() -> None:
    state = HOUSE
    for tick in range(2000):
        state = moved(state, demo.step(state, seed=11, tick=tick, at=NOON))
        if demo.slip([one for one in state if one.kind not in demo.DERIVED], seed=11, tick=tick):
            state = [one._replace(mark=min(one.mark, one.began * 2)) for one in state]
    for one in state[:3]:
        assert Decimal("0.5") < one.mark / one.began < 2


@pytest.mark.parametrize(
    ("forward", "strike", "years", "volatility", "call"),
    [
        # Black (1976) undiscounted, d1 and d2 from tables of the normal distribution: 100·N(0.1) − 100·N(−0.1)
        (100, 100, 1, 0.2, 100 * (0.539828 - 0.460172)),
        # d1 = (ln(1.1) + 0.02)/0.2 = 0.576551, d2 = 0.376551: 110·0.717877 − 100·0.646744
        (110, 100, 1, 0.2, 110 * 0.717877 - 100 * 0.646744),
        (90, 100, 0, 0.2, 0.0),
        (110, 100, 0, 0.2, 10.0),
    ],
)
def test_a_made_up_option_is_worth_what_black_says(
    forward: float, strike: float, years: float, volatility: float, call: float
) -> None:
    assert demo.black(forward, strike, years, volatility, "call") == pytest.approx(call, abs=2e-3)
    put = demo.black(forward, strike, years, volatility, "put")
    assert call - put == pytest.approx(forward - strike, abs=2e-3)


@given(st.floats(1e-6, 1e6), st.sampled_from([None, Decimal("0.01"), Decimal("0.25"), Decimal(5)]))
def test_a_made_up_price_is_a_positive_number_of_ticks(price: float, tick_size: Decimal | None) -> None:
    found = demo.rounded(price, tick_size)
    assert found > 0
    if tick_size:
        assert found % tick_size == 0


def test_the_feed_records_one_batch_a_tick_and_can_be_stopped(db: None) -> None:
    for code, mark in (("AAA", "100"), ("BBB", "50")):
        instrument(code)
        quotes.record([quote(code, mark)], at=NOON)
    stop, beats = threading.Event(), []
    ticked = demo.run(seed=7, interval_seconds=0.05, stop=stop, ticks=3, said=beats.append)
    assert ticked == 3
    assert [beat.recorded.accepted for beat in beats] == [2, 2, 2]
    assert QuoteFact.objects.filter(source="demo").count() == 6
    stop.set()
    assert demo.run(seed=7, interval_seconds=0.05, stop=stop) == 0


# --- living through cuts ------------------------------------------------------------------------------------


def test_a_step_is_tried_again_while_the_database_is_away() -> None:
    from django.db import OperationalError

    tries = []

    def step() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("server closed the connection unexpectedly")
        return "done"

    assert persistently(step, stop=threading.Event()) == "done"
    assert len(tries) == 3


def test_a_mistake_of_ours_is_not_tried_again() -> None:
    with pytest.raises(ZeroDivisionError):
        persistently(lambda: 1 // 0, stop=threading.Event())


def feed(committed_db: Any, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "feed", *arguments],
        cwd=ROOT,
        env={**committed_db.environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)


def test_the_feed_outlives_cuts_of_the_database_and_ends_cleanly_on_sigterm(
    committed_db: Any, as_application: Any
) -> None:
    instrument()
    quotes.record([quote()], at=NOON)
    process = feed(committed_db, "demo", "--interval", "0.1", "--seed", "7")
    try:
        made_up = QuoteFact.objects.filter(source="demo")
        wait_for(lambda: made_up.count() >= 3)
        for _ in range(3):
            with as_application().cursor() as cursor:
                cursor.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = current_user"
                )
                assert cursor.fetchone()[0] >= 1
            seen = made_up.count()
            wait_for(lambda seen=seen: made_up.count() >= seen + 2)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert "MADE-UP PRICES" in said
    assert "stopped after" in said
    newest = QuoteFact.objects.order_by("-as_of", "-id").first()
    assert newest is not None
    assert Quote.objects.get().fact_id == newest.pk
