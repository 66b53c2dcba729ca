"""Loading instruments, names, rates and closes: all or nothing, harmless to repeat, every refusal with its row."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from market import closes, fx, instruments, quotes, rates, strict
from market.models import Alias, Calendar, Close, FxRate, Instrument, QuoteFact, Rate
from market.rates import Subject
from tests.market.conftest import NOON, instrument, quote

AT = NOON + timedelta(hours=1)

BOOK = b"""code,name,kind,currency,minor_exponent,underlying,right,strike,style,expires_at,multiplier,ticker,listed_on,matures_on,debt_class
USD,US dollar,cash,USD,2,,,,,,,,,,
AAPL.C650,Apple call 650,option,USD,,AAPL,call,650,american,2014-06-21T20:00:00Z,100,,,,
AAPL,Apple,equity,USD,,,,,,,,AAPL,1980-12-12,,
ESZ3,E-mini S&P 500 Dec 2013,future,USD,,,,,,2013-12-20T14:30:00Z,50,ES201312,,,
ESZ3.P1600,E-mini put,future_option,USD,,ESZ3,put,1600,american,2013-12-20T14:30:00Z,50,,,,
T30,Treasury 30 years,bond,USD,,,,,,,,,,2043-11-15,us_government
#rows=6
"""  # noqa: E501


def refusal(of: Callable[[], Any]) -> str:
    with pytest.raises(strict.Refused) as caught:
        of()
    return str(caught.value)


# --- instruments --------------------------------------------------------------------------------------------


def test_instruments_of_every_kind_load_underlyings_first_whatever_their_order(db: None) -> None:
    assert instruments.load(BOOK) == instruments.Loaded(added=6, changed=0, same=0, names=2)
    call = Instrument.objects.get(code="AAPL.C650")
    assert (call.underlying.code, call.strike, call.multiplier) == ("AAPL", 650, 100)  # type: ignore[union-attr]
    assert Instrument.objects.get(code="ESZ3.P1600").underlying == Instrument.objects.get(code="ESZ3")
    assert Instrument.objects.get(code="USD").minor_exponent == 2
    apple = Instrument.objects.get(code="AAPL")
    assert (apple.jump_limit_rate, apple.max_age_seconds, apple.margin_eligible) == (Decimal("0.25"), 900, True)


def test_a_coin_and_its_cash_stand_beside_each_other(db: None) -> None:
    head = b"code,name,kind,currency,minor_exponent\n"
    assert instruments.load(head + b"BTC,Bitcoin,crypto,USD,\nBTC-CASH,Bitcoin,cash,BTC,8\n").added == 2


def test_the_same_file_again_changes_nothing(db: None) -> None:
    instruments.load(BOOK)
    assert instruments.load(BOOK) == instruments.Loaded(added=0, changed=0, same=6, names=0)
    assert Alias.objects.count() == 2


def test_what_may_change_changes_and_leaves_its_history(db: None) -> None:
    instruments.load(BOOK)
    done = instruments.load(b"code,name,kind,currency,jump_limit_rate\nAAPL,Apple Inc.,equity,USD,0.4\n")
    assert (done.added, done.changed) == (0, 1)
    apple = Instrument.objects.get(code="AAPL")
    assert (apple.name, apple.jump_limit_rate) == ("Apple Inc.", Decimal("0.4"))
    assert apple.changes.count() == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (b"AAPL.C650,x,option,USD,AAPL,call,651,american,2014-06-21T20:00:00Z,100", "strike"),
        (b"AAPL.C650,x,option,USD,AAPL,put,650,american,2014-06-21T20:00:00Z,100", "right"),
        (b"AAPL.C650,x,option,USD,AAPL,call,650,american,2014-06-20T20:00:00Z,100", "expires_at"),
        (b"AAPL.C650,x,option,USD,AAPL,call,650,american,2014-06-21T20:00:00Z,10", "multiplier"),
        (b"AAPL.C650,x,option,EUR,AAPL,call,650,american,2014-06-21T20:00:00Z,100", "currency"),
        (b"AAPL.C650,x,option,USD,ESZ3,call,650,american,2014-06-21T20:00:00Z,100", "underlying"),
    ],
)
def test_a_contract_term_never_changes(db: None, row: bytes, field: str) -> None:
    instruments.load(BOOK)
    header = b"code,name,kind,currency,underlying,right,strike,style,expires_at,multiplier\n"
    assert f"row 2, {field}: is " in refusal(lambda: instruments.load(header + row + b"\n"))


BAD_INSTRUMENTS: list[tuple[str, str, str, str]] = [
    # what is wrong, header, row, what the refusal says
    ("unknown kind", "code,name,kind,currency", "A,a,share,USD", "row 2, kind"),
    ("no currency", "code,name,kind,currency", "A,a,equity,", "row 2, currency"),
    ("option without a strike", "code,name,kind,currency,underlying", "A,a,option,USD,AAPL", "row 2, strike: is"),
    ("option without an underlying", "code,name,kind,currency", "A,a,option,USD", "row 2, underlying: is missing"),
    ("future without an expiry", "code,name,kind,currency", "A,a,future,USD", "row 2, expires_at: is missing"),
    ("bond without a maturity", "code,name,kind,currency", "A,a,bond,USD", "row 2, matures_on: is missing"),
    ("cash without minor units", "code,name,kind,currency", "EUR,a,cash,EUR", "row 2, minor_exponent: is missing"),
    ("equity with minor units", "code,name,kind,currency,minor_exponent", "A,a,equity,USD,2", "row 2, minor_exponent"),
    ("cash of another coin", "code,name,kind,currency,minor_exponent", "ETH-CASH,a,cash,BTC,8", "row 2, currency"),
    ("cash in another currency", "code,name,kind,currency,minor_exponent", "EUR,a,cash,USD,2", "row 2, currency"),
    ("zero multiplier", "code,name,kind,currency,multiplier", "A,a,equity,USD,0", "row 2, multiplier: 0 is not"),
    ("negative lot", "code,name,kind,currency,lot_size", "A,a,equity,USD,-1", "row 2, lot_size"),
    ("zero limit", "code,name,kind,currency,jump_limit_rate", "A,a,equity,USD,0", "row 2, jump_limit_rate"),
    ("zero age", "code,name,kind,currency,max_age_seconds", "A,a,equity,USD,0", "row 2, max_age_seconds"),
    ("zero divisor", "code,name,kind,currency,price_divisor", "A,a,equity,USD,0", "row 2, price_divisor"),
    ("calendar not loaded", "code,name,kind,currency,calendar", "A,a,equity,USD,XLON", "load_calendars XLON"),
    ("underlying not loaded", "code,name,kind,currency,underlying", "A,a,perpetual,USD,NONE", "row 2, underlying"),
    ("its own underlying", "code,name,kind,currency,underlying", "A,a,perpetual,USD,A", "row 2, underlying"),
    ("naive expiry", "code,name,kind,currency,expires_at", "A,a,future,USD,2026-12-18T14:30:00", "no time zone"),
    ("float in terms", "code,name,kind,currency,terms", 'A,a,otc,USD,"{""rate"": 0.5}"', "row 2, terms"),
    ("true in capitals", "code,name,kind,currency,cash_settled", "A,a,equity,USD,TRUE", "row 2, cash_settled"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("header", "row", "says"), [case[1:] for case in BAD_INSTRUMENTS], ids=[case[0] for case in BAD_INSTRUMENTS]
)
def test_a_wrong_instrument_is_refused_in_words(db: None, header: str, row: str, says: str) -> None:
    assert says in refusal(lambda: instruments.load(f"{header}\n{row}\n".encode()))
    assert not Instrument.objects.exists()


def test_one_wrong_row_keeps_the_whole_file_out(db: None) -> None:
    file = b"code,name,kind,currency\nGOOD,good,equity,USD\nBAD,bad,future,USD\n"
    assert "row 3" in refusal(lambda: instruments.load(file))
    assert not Instrument.objects.exists()


def test_instruments_that_derive_from_each_other_are_refused(db: None) -> None:
    file = b"code,name,kind,currency,underlying\nA,a,perpetual,USD,B\nB,b,perpetual,USD,A\n"
    message = refusal(lambda: instruments.load(file))
    assert "row 2, underlying" in message
    assert "row 3, underlying" in message


# --- names --------------------------------------------------------------------------------------------------

WM = b"""instrument,scheme,symbol,valid_from,valid_until
WAMU,ticker,WM,1998-01-01,2008-09-29
WASTE,ticker,WMI,1998-01-01,2009-08-05
WASTE,ticker,WM,2009-08-05,
"""


@pytest.fixture
def wm(db: None) -> None:
    instrument("WAMU")
    instrument("WASTE")
    assert instruments.load_aliases(WM) == 3


def test_wm_was_washington_mutual_then_nobody_then_waste_management(wm: None) -> None:
    names = instruments.names(["WM", "WMI"])
    assert names.on("WM", date(2008, 9, 26)) == "WAMU"
    assert names.on("WM", date(2008, 9, 29)) is None
    assert names.on("WM", date(2009, 8, 4)) is None
    assert names.on("WMI", date(2009, 8, 4)) == "WASTE"
    assert names.on("WM", date(2009, 8, 5)) == "WASTE"
    assert names.on("WMI", date(2009, 8, 5)) is None
    assert names.on("AIG", date(2008, 9, 26)) is None


def test_names_load_again_without_effect(wm: None) -> None:
    assert instruments.load_aliases(WM) == 0


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (b"WASTE,ticker,WM,2008-09-01,2008-10-01", "row 2, symbol: ticker WM means WAMU on some of these days"),
        (b"WASTE,ticker,WM,,", "means WAMU"),
        (b"NOBODY,ticker,XX,,", "row 2, instrument"),
        (b"WASTE,ticker,XX,2009-01-01,2009-01-01", "row 2, valid_until"),
        (b"WASTE,nickname,XX,,", "row 2, scheme"),
    ],
)
def test_a_name_that_cannot_be_is_refused(wm: None, row: bytes, says: str) -> None:
    header = b"instrument,scheme,symbol,valid_from,valid_until\n"
    assert says in refusal(lambda: instruments.load_aliases(header + row + b"\n"))


def test_two_rows_of_one_file_that_fight_for_a_name_are_refused(wm: None) -> None:
    file = (
        b"instrument,scheme,symbol,valid_from,valid_until\nWAMU,ticker,NEW,,2010-01-01\nWASTE,ticker,NEW,2009-01-01,\n"
    )
    assert "row 3, symbol: ticker NEW means WAMU" in refusal(lambda: instruments.load_aliases(file))


# --- exchange rates -----------------------------------------------------------------------------------------


def euro(value: str, *, days: float = 0, source: str = "ecb", pair: tuple[str, str] = ("EUR", "USD")) -> fx.Incoming:
    return fx.Incoming(*pair, Decimal(value), NOON + timedelta(days=days), source)


def test_the_newest_rate_counts_and_the_past_stays(db: None) -> None:
    fx.record([euro("1.10", days=-2), euro("1.12", days=-1)], at=NOON)
    assert fx.latest(NOON)["EUR", "USD"].value == Decimal("1.12")
    assert fx.latest(NOON - timedelta(days=1.5))["EUR", "USD"].value == Decimal("1.10")
    assert fx.latest(NOON - timedelta(days=3)) == {}


def test_a_rate_sent_again_changes_nothing_and_another_value_is_refused(db: None) -> None:
    assert fx.record([euro("1.10")], at=NOON) == fx.Recorded(accepted=1, repeated=0)
    assert fx.record([euro("1.10")], at=NOON) == fx.Recorded(accepted=0, repeated=1)
    assert "ecb said 1.1" in refusal(lambda: fx.record([euro("1.11")], at=NOON))
    fx.record([euro("1.11", source="correction")], at=NOON)
    assert fx.latest(NOON)["EUR", "USD"].value == Decimal("1.11")


@pytest.mark.parametrize(
    ("rate", "says"),
    [
        (euro("0"), "not positive"),
        (euro("-1"), "not positive"),
        (euro("NaN"), "finite"),
        (euro("1.0000000000001"), "decimals"),
        (euro("1.10", days=1), "future"),
        (euro("1.10", pair=("EUR", "EUR")), "against itself"),
        (euro("0.9", pair=("EUR", "USD")), "upside down"),
        (euro("11", pair=("EUR", "USD")), "+900.0 %"),
        (euro("1.10", pair=("USD", "EUR")), "upside down"),
    ],
)
def test_a_rate_that_cannot_be_is_refused_and_nothing_of_its_batch_is_taken(
    db: None, rate: fx.Incoming, says: str
) -> None:
    fx.record([euro("1.10", days=-1)], at=NOON)
    yen = euro("150", pair=("USD", "JPY"))
    assert says in refusal(lambda: fx.record([yen, rate], at=NOON))
    assert "row 2" in refusal(lambda: fx.record([yen, rate], at=NOON))
    assert FxRate.objects.count() == 1


def test_a_real_move_of_more_than_a_tenth_needs_a_word(db: None) -> None:
    """The Swiss franc on 2015-01-15: from 1.20 to 0.98 per euro within the day."""
    franc = ("EUR", "CHF")
    fx.record([euro("1.2010", days=-1, pair=franc)], at=NOON)
    assert "confirmed" in refusal(lambda: fx.record([euro("0.9000", pair=franc)], at=NOON))
    fx.record([euro("0.9000", pair=franc)], at=NOON, confirmed=True)
    assert fx.latest(NOON)[franc].value == Decimal("0.9")


def test_old_rates_may_be_loaded_after_new_ones(db: None) -> None:
    fx.record([euro("1.10")], at=NOON)
    fx.record([euro("0.85", days=-9000)], at=NOON)
    assert fx.latest(NOON)["EUR", "USD"].value == Decimal("1.10")


# --- rates --------------------------------------------------------------------------------------------------


def lending(value: str, *, days: float = 0, source: str = "desk", **subject: str) -> rates.Incoming:
    named = Subject(**{"kind": "lending", "currency": "USD", **subject})
    return rates.Incoming(named, Decimal(value), NOON + timedelta(days=days), source)


def test_a_rate_is_effective_from_its_instant_for_its_subject(acme: Instrument) -> None:
    rates.record(
        [
            lending("0.07", days=-30),
            lending("0.08", days=-1),
            lending("0.09", days=5),
            lending("0.12", venue="kraken"),
            lending("0.3", kind="borrow", instrument="ACME", currency=""),
        ],
        at=NOON,
    )
    dollars = Subject("lending", currency="USD")
    assert rates.latest(NOON)[dollars].value == Decimal("0.08")
    assert rates.latest(NOON - timedelta(days=2))[dollars].value == Decimal("0.07")
    assert rates.latest(NOON + timedelta(days=5))[dollars].value == Decimal("0.09")
    assert rates.latest(NOON)[Subject("lending", "kraken", "USD")].value == Decimal("0.12")
    assert rates.latest(NOON, kind="borrow") == {
        Subject("borrow", instrument="ACME"): rates.Standing(Decimal("0.3"), NOON, "desk")
    }


def test_a_rate_again_changes_nothing_and_a_correction_comes_from_another_source(db: None) -> None:
    rates.record([lending("0.07")], at=NOON)
    assert rates.record([lending("0.07")], at=NOON) == rates.Recorded(0, 1)
    assert "desk said 0.07" in refusal(lambda: rates.record([lending("0.08")], at=NOON))
    rates.record([lending("0.08", source="correction")], at=NOON)
    assert rates.latest(NOON)[Subject("lending", currency="USD")].value == Decimal("0.08")


def test_a_negative_rate_is_a_rate(db: None) -> None:
    rates.record([lending("-0.005", kind="risk_free", currency="EUR")], at=NOON)
    assert rates.latest(NOON)[Subject("risk_free", currency="EUR")].value == Decimal("-0.005")


@pytest.mark.parametrize(
    ("rate", "says"),
    [
        (lending("7"), "write 7 % as 0.07"),
        (lending("-6"), "write 7 % as 0.07"),
        (lending("NaN"), "finite"),
        (lending("0.07", kind="usury"), "kind"),
        (lending("0.07", currency=""), "is missing"),
        (lending("0.07", instrument="NOBODY"), "NOBODY"),
        (lending("0.07", days=400), "year ahead"),
    ],
)
def test_a_rate_that_cannot_be_is_refused_with_its_place(db: None, rate: rates.Incoming, says: str) -> None:
    message = refusal(lambda: rates.record([lending("0.07", currency="EUR"), rate], at=NOON))
    assert "row 2" in message
    assert says in message
    assert not Rate.objects.exists()


# --- closes -------------------------------------------------------------------------------------------------

DAY = date(2026, 11, 20)


def test_a_corrected_close_is_a_later_row_and_counts(acme: Instrument) -> None:
    assert closes.record([closes.Incoming("ACME", DAY, Decimal(100), "venue")], at=AT).accepted == 1
    assert closes.record([closes.Incoming("ACME", DAY, Decimal("100.00"), "venue")], at=AT).repeated == 1
    assert closes.record([closes.Incoming("ACME", DAY, Decimal(101), "venue")], at=AT).accepted == 1
    assert Close.objects.count() == 2
    assert closes.latest([acme], days=[DAY]) == {("ACME", DAY): Decimal(101)}


@pytest.mark.parametrize(
    ("close", "says"),
    [
        (closes.Incoming("NOBODY", DAY, Decimal(1), "venue"), "instrument"),
        (closes.Incoming("ACME", DAY, Decimal(-1), "venue"), "negative"),
        (closes.Incoming("ACME", DAY, Decimal("Infinity"), "venue"), "finite"),
        (closes.Incoming("ACME", DAY + timedelta(days=2), Decimal(1), "venue"), "future"),
        (closes.Incoming("ACME", DAY, Decimal(1), ""), "source"),
    ],
)
def test_a_close_that_cannot_be_is_refused(acme: Instrument, close: closes.Incoming, says: str) -> None:
    message = refusal(lambda: closes.record([closes.Incoming("ACME", DAY, Decimal(1), "venue"), close], at=AT))
    assert "row 2" in message
    assert says in message
    assert not Close.objects.exists()


# --- files and commands -------------------------------------------------------------------------------------

QUOTES = b"""instrument,source,as_of,mark,bid,ask
ACME,venue,2026-11-20T15:00:00Z,100,99.9,100.1
ACME,venue,2026-11-20T15:01:00Z,,100.9,101.1
BETA,venue,2026-11-20T15:00:00Z,50,,
"""


@pytest.fixture
def two(acme: Instrument) -> None:
    instrument("BETA")


def test_a_file_of_quotes_is_recorded_the_oldest_first(two: None) -> None:
    header, *lines = QUOTES.splitlines(keepends=True)
    done = quotes.load(header + b"".join(reversed(lines)), at=AT)
    assert (done.accepted, done.refused) == (3, ())
    assert quotes.load(QUOTES, at=AT).repeated == 3


def test_a_file_with_one_impossible_quote_is_refused_whole_by_its_line(two: None) -> None:
    file = QUOTES + b"BETA,venue,2026-11-20T15:02:00Z,-50,,\n"
    assert "row 5, mark: -50 is negative" in refusal(lambda: quotes.load(file, at=AT))
    assert not QuoteFact.objects.exists()


def test_a_jump_in_a_file_is_held_not_refused(two: None) -> None:
    done = quotes.load(QUOTES + b"BETA,venue,2026-11-20T15:02:00Z,500,,\n", at=AT)
    assert [(problem.row, problem.field) for problem in done.held] == [(5, "mark")]


FILES: dict[str, tuple[bytes, str, str]] = {
    # command → a good file, its total, what is said
    "load_quotes": (QUOTES, "150", "3 quotes accepted"),
    "load_fx": (b"base,quoted,value,as_of,source\nEUR,USD,1.1,2026-11-20T15:00:00Z,ecb\n", "1.1", "1 recorded"),
    "load_rates": (b"kind,currency,value,effective_at,source\nlending,USD,0.07,2026-11-20T00:00:00Z,a\n", "0.07", "1"),
    "load_closes": (b"instrument,on,price,source\nACME,2026-11-19,100,venue\n", "100", "1 recorded"),
}  # fmt: skip


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands ask the database's clock; these files are of 2026."""
    from market import clock

    monkeypatch.setattr(clock, "now", lambda: AT)


@pytest.mark.parametrize("command", FILES)
def test_a_loading_command_checks_control_totals_and_says_what_it_did(
    two: None, now: None, tmp_path: Path, capsys: Any, command: str
) -> None:
    content, total, said = FILES[command]
    file = tmp_path / "file.csv"
    file.write_bytes(content)
    rows = str(content.count(b"\n") - 1)
    with pytest.raises(CommandError, match="announced"):
        call_command(command, file, rows="99")
    with pytest.raises(CommandError, match="announced"):
        call_command(command, file, total="99999")
    call_command(command, file, rows=rows, total=total)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("command", [*FILES, "load_instruments"])
def test_a_loading_command_names_the_wrong_row_and_fails(db: None, now: None, tmp_path: Path, command: str) -> None:
    file = tmp_path / "file.csv"
    file.write_bytes(b"colour\nred\n")
    with pytest.raises(CommandError, match=r"Nothing of .*file.csv was loaded(.|\n)*row 1, the header"):
        call_command(command, file)
    with pytest.raises(CommandError, match="cannot be read"):
        call_command(command, tmp_path / "absent.csv")


def test_instruments_and_names_load_from_the_command_line(db: None, tmp_path: Path, capsys: Any) -> None:
    book, names = tmp_path / "book.csv", tmp_path / "names.csv"
    book.write_bytes(BOOK)
    names.write_bytes(b"instrument,scheme,symbol,valid_from,valid_until\nAAPL,isin,US0378331005,,\n")
    call_command("load_instruments", book, rows="6")
    call_command("load_instruments", names, aliases=True)
    assert capsys.readouterr().out.splitlines() == [
        "6 instruments added, 0 changed, 0 the same already; 2 names added",
        "1 names added",
    ]


def test_the_database_itself_refuses_a_calendar_known_backwards(db: None) -> None:
    from django.db import IntegrityError

    with pytest.raises(IntegrityError, match="calendar_is_known_from_before_until"):
        Calendar.objects.create(code="X", name="x", zone="UTC", known_from=DAY, known_until=DAY - timedelta(days=1))


def test_facts_cannot_be_changed_or_deleted(acme: Instrument) -> None:
    from django.db import IntegrityError, transaction

    quotes.record([quote()], at=AT)
    fx.record([euro("1.1")], at=AT)
    rates.record([lending("0.07")], at=AT)
    closes.record([closes.Incoming("ACME", DAY, Decimal(1), "venue")], at=AT)
    for model in (QuoteFact, FxRate, Rate, Close):
        for change in (
            lambda model=model: model.objects.update(source="x"),
            lambda model=model: model.objects.all()._raw_delete(using="default"),
        ):
            with pytest.raises(IntegrityError, match="append only"), transaction.atomic():
                change()


def test_times_in_files_are_kept_in_utc(two: None) -> None:
    quotes.load(b"instrument,source,as_of,mark\nACME,venue,2026-11-20T10:00:00-05:00,1\n", at=AT)
    assert QuoteFact.objects.get().as_of == datetime(2026, 11, 20, 15, tzinfo=UTC)
