"""Bad numbers, dates, texts and files: each refused with its row and field, nothing guessed, nothing rounded."""

from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market import strict
from market.strict import Control, Refused, column

COLUMNS = {
    "instrument": column(strict.code, length=8),
    "price": column(strict.decimal, digits=32, places=12),
    "on": column(strict.date, optional=True),
    "note": column(strict.words, optional=True, default="", length=12),
}
GOOD = b"instrument,price\nACME,100.25\nBETA,-3\n"


def refusal(of: Any) -> str:
    with pytest.raises(Refused) as caught:
        of()
    return str(caught.value)


def read(file: bytes, **more: Any) -> list[strict.Row]:
    return strict.table(file, COLUMNS, **{"key": ("instrument",), "total_of": "price", **more})


# --- single values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("-0.000", "0"),
        ("1", "1"),
        ("-37.63", "-37.63"),
        ("100.250000000000", "100.25"),
        ("100.2500000000000000", "100.25"),
        ("99999999999999999999.999999999999", "99999999999999999999.999999999999"),
        ("1e3", "1000"),
        ("1.5E-3", "0.0015"),
        ("1E+2", "100"),
    ],
)
def test_a_plain_number_is_read_exactly(text: str, value: str) -> None:
    found = strict.decimal(text, field="price", digits=32, places=12)
    assert found == Decimal(value)
    assert not found.is_signed() or found < 0
    assert "E" not in str(found) or abs(found) < Decimal("1e-6")


BAD_NUMBERS = [
    "", " ", "NaN", "nan", "sNaN", "-NaN", "Infinity", "-Infinity", "inf", "1_000", "1,000", "1 000", "+1", ".5", "5.",
    "007", "00", "0x10", "1e", "e5", "1e400", "1E+99", "1e-13", "0.0000000000001", "100000000000000000000", "--1", "1-",
    "1.2.3", "١٢٣", "１２", "½", "²", "−5", "$5", "5%", "1/2", "(5)", "5 ", " 5", "\t5", "5\n", "5\u200b", "1'000",
    "abc", "None", "null", "true", "9" * 65, "1e+999999999", "٫5", "1．5",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_NUMBERS)
def test_a_number_that_is_none_is_refused_by_field(text: str) -> None:
    assert refusal(lambda: strict.decimal(text, field="price", digits=32, places=12)).startswith("price: ")


@given(st.text(max_size=70))
def test_no_text_makes_the_number_reader_fail_or_guess(text: str) -> None:
    try:
        found = strict.decimal(text, field="price", digits=32, places=12)
    except Refused:
        return
    assert found == Decimal(text)
    assert all(character in "0123456789.-eE+" for character in text)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**19), max_value=10**19))
def test_every_number_that_fits_comes_back_unchanged(value: Decimal) -> None:
    assert strict.decimal(f"{value:f}", field="price", digits=32, places=12) == value


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-20T15:30:00Z", "2026-11-20 15:30:00+00:00"),
        ("2026-11-20T15:30:00.123456Z", "2026-11-20 15:30:00.123456+00:00"),
        ("2026-11-20T10:30:00-05:00", "2026-11-20 15:30:00+00:00"),
        ("2026-11-21T00:30:00+09:00", "2026-11-20 15:30:00+00:00"),
    ],
)
def test_an_instant_is_read_in_utc(text: str, utc: str) -> None:
    assert str(strict.instant(text, field="as_of")) == utc


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-11-20", "2026-11-20T15:30:00", "2026-11-20 15:30:00", "2026-11-20 15:30:00Z", "20261120T153000Z",
        "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-11-20T24:00:01Z", "2026-11-20T15:60:00Z",
        "0001-01-01T00:00:00+09:00",
        "9999-12-31T23:59:59-09:00", "2026-11-20T15:30:00z", "2026-11-20T15:30:00+25:00", "1763652600", "now",
        "２026-11-20T15:30:00Z",
        "2026-11-20T15:30:00.1234567Z", "2026-W47-5T15:30:00Z",
    ],
)  # fmt: skip
def test_an_instant_that_is_none_is_refused(text: str) -> None:
    assert refusal(lambda: strict.instant(text, field="as_of")).startswith("as_of: ")


def test_an_instant_without_a_zone_is_told_so() -> None:
    assert "names no time zone" in refusal(lambda: strict.instant("2026-11-20T15:30:00", field="as_of"))


@pytest.mark.parametrize(
    "text",
    [
        "2026-2-3",
        "2026-02-30",
        "20/11/2026",
        "2026-11-20T00:00:00Z",
        "0000-01-01",
        "1899-12-31",
        "2300-01-01",
        "٢٠٢٦-11-20",
    ],
)
def test_a_day_that_is_none_is_refused(text: str) -> None:
    assert refusal(lambda: strict.date(text, field="on")).startswith("on: ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " A",
        "A ",
        "-A",
        "=1+1",
        "@SUM",
        "A\tB",
        "A\nB",
        "Ａ",
        "A'B",
        'A"B',
        "A,B",
        "A;B",
        "A" * 9,
        "A\u202eB",
        "A\x00",
    ],
)
def test_a_code_with_odd_characters_is_refused(text: str) -> None:
    assert refusal(lambda: strict.code(text, field="instrument", length=8)).startswith("instrument: ")


@pytest.mark.parametrize(
    "text", ["a\x00b", "a\u200bb", "a\u202eb", "a\nb", " a", "a\x1b[31m", "a\ue000", "\ud800", "a\u2028b"]
)
def test_words_with_invisible_characters_are_refused(text: str) -> None:
    assert refusal(lambda: strict.words(text, field="note", length=40)).startswith("note: ")


@pytest.mark.parametrize("text", ["Zürich", "株式会社", "Ægir & Søn", "Müller-Lüdenscheidt"])
def test_words_of_any_script_are_kept(text: str) -> None:
    assert strict.words(text, field="note", length=40) == text


@pytest.mark.parametrize(
    "text",
    ["[1]", "1", "null", '{"a": 1.5}', '{"a": NaN}', '{"a": Infinity}', '{"a": 1, "a": 2}', '{"a": "\\u0000"}',
     '{"a": "\\ud800"}', '{"a": ' + "[" * 20_000, "{" * 3_000, '{"a": 1', "{'a': 1}", '{"a": ' + "1" * 5_000 + "}"],
    ids=range(14),
)  # fmt: skip
def test_json_that_is_deep_inexact_or_odd_is_refused(text: str) -> None:
    assert refusal(lambda: strict.json_object(text, field="terms")).startswith("terms: ")


def test_true_and_false_are_the_only_booleans() -> None:
    assert [strict.boolean(text, field="x") for text in ("true", "false")] == [True, False]
    for text in ("True", "1", "yes", "", "TRUE"):
        assert refusal(lambda text=text: strict.boolean(text, field="x"))


@pytest.mark.parametrize("text", ["1.0", "1e3", "01", "-", "", "10000", "-1", "１", "1_0", "0x1"])
def test_a_whole_number_outside_its_bounds_or_form_is_refused(text: str) -> None:
    assert refusal(lambda: strict.integer(text, field="x", lowest=0, highest=9999))


# --- records ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"instrument": "ACME"}, "price"),
        ({"instrument": "ACME", "price": None}, "price"),
        ({"instrument": "ACME", "price": ""}, "price"),
        ({"instrument": "ACME", "price": 100}, "price"),
        ({"instrument": "ACME", "price": 100.25}, "price"),
        ({"instrument": "ACME", "price": True}, "price"),
        ({"instrument": "ACME", "price": ["100"]}, "price"),
        ({"instrument": "ACME", "price": {"value": "100"}}, "price"),
        ({"instrument": 7, "price": "100"}, "instrument"),
        ({"instrument": "ACME", "price": "100", "state": "met"}, "'state'"),
        ({"price": "100"}, "instrument"),
    ],
)
def test_a_record_with_a_wrong_field_names_it(body: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as caught:
        strict.record(body, COLUMNS, row=4)
    assert [(problem.row, problem.field) for problem in caught.value.problems] == [(4, field)]


def test_a_record_names_all_its_wrong_fields_at_once() -> None:
    with pytest.raises(Refused) as caught:
        strict.record({"instrument": "A B\n", "price": "1_0", "on": "tomorrow"}, COLUMNS)
    assert [problem.field for problem in caught.value.problems] == ["instrument", "price", "on"]


def test_an_empty_optional_field_takes_its_default() -> None:
    assert strict.record({"instrument": "ACME", "price": "1", "on": ""}, COLUMNS) == {
        "instrument": "ACME", "price": 1, "on": None, "note": "",
    }  # fmt: skip


# --- files --------------------------------------------------------------------------------------------------


def test_a_good_file_is_read_with_the_line_numbers_of_the_file() -> None:
    rows = read(GOOD)
    assert [(row.number, row.values["instrument"], row.values["price"]) for row in rows] == [
        (2, "ACME", Decimal("100.25")),
        (3, "BETA", Decimal(-3)),
    ]


@pytest.mark.parametrize(
    "file",
    [
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"\n", b"\r\n"),
        b"price,instrument\n100.25,ACME\n-3,BETA\n",
        b'"instrument","price"\n"ACME","100.25"\nBETA,-3\n',
        GOOD + b"#rows=2\n",
        GOOD + b"#rows=2,total=97.25\n",
        GOOD + b"#rows=2,total=97.250000\n",
        b"instrument,price,note\nACME,100.25,\"a, b\"\nBETA,-3,\"\"\n",
    ],
    ids=["UTF-8 mark", "Windows ends", "other order", "quoted", "rows", "rows and total", "zeros", "comma in quotes"],
)  # fmt: skip
def test_harmless_differences_are_accepted(file: bytes) -> None:
    assert [row.values["price"] for row in read(file)] == [Decimal("100.25"), Decimal(-3)]


def test_a_path_a_stream_and_bytes_are_read_alike(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_bytes(GOOD)
    assert read(GOOD) == strict.table(path, COLUMNS) == strict.table(BytesIO(GOOD), COLUMNS)


BAD_FILES: list[tuple[str, bytes, str]] = [
    ("empty", b"", "the file is empty"),
    ("header alone", b"instrument,price\n", "no row"),
    ("no header", b"ACME,100\n", "row 1, the header has unknown"),
    ("unknown column", b"instrument,price,colour\nACME,1,red\n", "row 1, the header has unknown 'colour'"),
    ("missing column", b"instrument\nACME\n", "row 1, the header lacks 'price'"),
    ("repeated column", b"instrument,price,price\nACME,1,2\n", "row 1, the header repeats 'price'"),
    ("capital letters", b"Instrument,Price\nACME,1\n", "row 1, the header has unknown"),
    ("blank in the header", b"instrument, price\nACME,1\n", "row 1, the header has unknown ' price'"),
    ("semicolons", b"instrument;price\nACME;1\n", "row 1, the header has unknown"),
    ("tabs", b"instrument\tprice\nACME\t1\n", "row 1, the header has unknown"),
    ("UTF-16", "instrument,price\nACME,1\n".encode("utf-16"), "row 1, the file is UTF-16"),
    ("UTF-32", "instrument,price\nACME,1\n".encode("utf-32"), "row 1, the file is UTF-16"),
    ("Latin-1", b"instrument,price,note\nACME,1,Z\xfcrich\n", "row 2, is not UTF-8 at byte 9"),
    ("overlong UTF-8", b"instrument,price,note\nACME,1,\xc0\x80\n", "row 2, is not UTF-8"),
    ("surrogate in UTF-8", b"instrument,price,note\nACME,1,\xed\xa0\x80\n", "row 2, is not UTF-8"),
    ("NUL", b"instrument,price\nAC\x00ME,1\n", "row 2, holds the character U+0000"),
    ("gzip", b"\x1f\x8b\x08\x00" + GOOD, "row 1, the file is compressed"),
    ("workbook", b"PK\x03\x04" + GOOD, "row 1, the file is compressed or a workbook"),
    ("last line cut", GOOD[:-1], "row 3, the last line has no line end"),
    ("cut in a number", GOOD[:-2], "row 3, the last line has no line end"),
    ("too few fields", b"instrument,price\nACME\n", "row 2, has 1 fields where the header names 2"),
    ("too many fields", b"instrument,price\nACME,1,2\n", "row 2, has 3 fields where the header names 2"),
    ("decimal comma", b"instrument,price\nACME,1,5\n", "row 2, has 3 fields"),
    ("blank line", b"instrument,price\n\nACME,1\n", "row 2, has 1 fields"),
    ("open quote", b'instrument,price\n"ACME,1\nBETA,2\n', "row 2, is not CSV"),
    ("line break in quotes", b'instrument,price,note\nACME,1,"a\nb"\n', "row 2, is not CSV"),
    ("text after a quote", b'instrument,price\n"ACME"X,1\n', "row 2, is not CSV"),
    ("carriage return inside", b"instrument,price\nACME,1\rBETA,2\n", "row 2, holds a carriage return"),
    ("old Macintosh line ends", b"instrument,price\rACME,1\r", "row 1, the last line has no line end"),
    ("empty field", b"instrument,price\nACME,\n", "row 2, price: is missing"),
    ("NaN", b"instrument,price\nACME,NaN\n", "row 2, price: 'NaN' is not a plain number"),
    ("infinity", b"instrument,price\nACME,1\nBETA,Infinity\n", "row 3, price"),
    ("underscore", b"instrument,price\nACME,1_000\n", "row 2, price"),
    ("thousands", b'instrument,price\nACME,"1,000"\n', "row 2, price"),
    ("Arabic digits", "instrument,price\nACME,١٢\n".encode(), "row 2, price"),
    ("too precise", b"instrument,price\nACME,0.0000000000001\n", "row 2, price"),
    ("too large", b"instrument,price\nACME,100000000000000000000\n", "row 2, price"),
    ("formula", b"instrument,price\n=1+1,1\n", "row 2, instrument"),
    ("blank at the end", b"instrument,price\nACME ,1\n", "row 2, instrument"),
    ("blank before a number", b"instrument,price\nACME, 1\n", "row 2, price"),
    ("code too long", b"instrument,price\nACMEACMEA,1\n", "row 2, instrument"),
    ("impossible day", b"instrument,price,on\nACME,1,2026-02-30\n", "row 2, on"),
    ("American day", b"instrument,price,on\nACME,1,11/20/2026\n", "row 2, on"),
    ("escape sequence", b"instrument,price,note\nACME,1,\x1b[31m\n", "row 2, note"),
    ("note too long", b"instrument,price,note\nACME,1,aaaaaaaaaaaaa\n", "row 2, note"),
    ("same key twice", b"instrument,price\nACME,1\nBETA,2\nACME,3\n", "row 4, instrument: 'ACME' was given in row 2"),
    ("same row twice", b"instrument,price\nACME,1\nACME,1\n", "row 3, instrument"),
    ("row after the trailer", GOOD + b"#rows=2\nGAMMA,1\n", "row 5, comes after the trailer"),
    ("two trailers", GOOD + b"#rows=2\n#rows=2\n", "row 5, comes after the trailer"),
    ("wrong count", GOOD + b"#rows=3\n", "row 4, rows: 3 rows were announced, the file holds 2"),
    ("wrong total", GOOD + b"#rows=2,total=97.24\n", "row 4, total: 97.24 was announced for price, the file adds up"),
    ("total that is none", GOOD + b"#rows=2,total=NaN\n", "row 4, total"),
    ("comment", b"instrument,price\n# prices of today\nACME,1\n", "row 2, '# prices of today' is no trailer"),
    ("trailer first", b"#rows=2\ninstrument,price\nACME,1\n", "row 1, the header has unknown"),
    ("long line", b"instrument,price,note\nACME,1," + b"a" * 20_000 + b"\n", "row 2, is longer than"),
    ("long header", b"a" * 20_000 + b"\nACME,1\n", "row 1, is longer than"),
    ("thousands of columns", b"a," * 8_000 + b"b\nACME,1\n", "row 1, the header repeats"),
    ("binary", bytes(range(256)) * 4, "row 1"),
    ("HTML", b"<!DOCTYPE html>\n<html>\n</html>\n", "row 1, the header has unknown"),
    ("JSON", b'[{"instrument": "ACME", "price": "1"}]\n', "row 1"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "says"), [case[1:] for case in BAD_FILES], ids=[case[0] for case in BAD_FILES])
def test_a_bad_file_is_refused_with_row_and_reason(file: bytes, says: str) -> None:
    assert says in refusal(lambda: read(file))


def test_there_are_enough_bad_files() -> None:
    assert len(BAD_FILES) >= 60


def test_every_bad_row_is_named_in_one_refusal() -> None:
    message = refusal(lambda: read(b"instrument,price\nACME,x\nBETA,1\n,2\n=A,y\n"))
    assert [part in message for part in ("row 2, price", "row 4, instrument", "row 5, instrument", "row 5, price")] == [
        True
    ] * 4
    assert "row 3" not in message


def test_reading_stops_after_a_hundred_problems_and_says_so() -> None:
    message = refusal(lambda: read(b"instrument,price\n" + b"ACME,x\n" * 5_000))
    assert "stopped after 100 problems" in message
    assert len(message) < 20_000


def test_a_file_cut_at_any_place_is_refused_or_fails_its_control_totals() -> None:
    file = b"instrument,price\n" + b"".join(b"I%d,%d.5\n" % (n, n) for n in range(20)) + b"#rows=20,total=200\n"
    assert len(read(file)) == 20
    control = Control(rows=20, total=Decimal(200))
    whole_but_for_its_trailer = file.index(b"#")
    for cut in range(len(file)):
        if cut != whole_but_for_its_trailer:
            assert refusal(lambda cut=cut: read(file[:cut], control=control))


def test_control_totals_from_outside_are_checked() -> None:
    assert read(GOOD, control=Control(rows=2, total=Decimal("97.25")))
    assert "3 rows were announced" in refusal(lambda: read(GOOD, control=Control(rows=3)))
    assert "total: 97 was announced" in refusal(lambda: read(GOOD, control=Control(total=Decimal(97))))


def test_a_total_is_summed_exactly_however_many_digits_it_has() -> None:
    big = b"99999999999999999999.999999999999"
    file = b"instrument,price\nA," + big + b"\nB," + big + b"\n"
    assert read(file, control=Control(total=Decimal("199999999999999999999.999999999998")))


def test_an_endless_file_is_refused_without_being_swallowed() -> None:
    class Endless(BytesIO):
        served = 0

        def readline(self, size: int | None = -1) -> bytes:
            self.served += 1
            return b"instrument,price\n" if self.served == 1 else b"x" * (size or 0)

    endless = Endless()
    assert "row 2, is longer than" in refusal(lambda: strict.table(endless, COLUMNS))
    assert endless.served == 2


def test_raw_rows_come_one_by_one_and_stop_at_the_first_wrong_line() -> None:
    found = strict.rows(GOOD + b"GAMMA\n", ["instrument", "price"])
    assert next(found) == (2, {"instrument": "ACME", "price": "100.25"})
    assert next(found).number == 3
    assert "row 4" in refusal(lambda: next(found))


@given(st.binary(max_size=300))
def test_no_bytes_make_the_reader_fail(noise: bytes) -> None:
    for file in (noise, b"instrument,price\n" + noise, b"instrument,price\nACME,1\n" + noise + b"\n"):
        try:
            rows = read(file)
        except Refused:
            continue
        assert all(row.values["price"].is_finite() for row in rows)
