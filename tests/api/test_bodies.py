"""Bodies nobody should send: each is refused with a reason, changes nothing, and is never our fault (a 500)."""

import json
import time

import pytest

from accounts.models import BookLoad, CashMovement, Fill
from backoffice.api import parsing
from backoffice.models import IdempotentReply
from market.models import HeldQuote, QuoteFact
from tests.api import house

pytestmark = pytest.mark.django_db
BIG = 5 * 1024 * 1024


def text(rows):
    return json.dumps({"rows": rows})


NOT_STRICT_JSON = {
    "blanks": "   ",
    "a bracket": "{",
    "half": '{"rows": [{"instrument": "AIG"',
    "two values": '{"rows": []} {"rows": []}',
    "a trailing comma": '{"rows": [],}',
    "single quotes": "{'rows': []}",
    "a comment": '{"rows": [] /* all */}',
    "NaN": '{"rows": [{"mark": NaN}]}',
    "Infinity": '{"rows": [{"mark": Infinity}]}',
    "-Infinity": '{"rows": [{"mark": -Infinity}]}',
    "a double field": '{"rows": [{"mark": "1", "mark": "2"}]}',
    "double rows": '{"rows": [], "rows": []}',
    "a double field spelt otherwise": '{"rows": [{"mark": "1", "m\\u0061rk": "2"}]}',
    "U+0000 escaped": '{"rows": [{"instrument": "A\\u0000"}]}',
    "U+0000 in a name": '{"rows": [{"A\\u0000": "1"}]}',
    "U+0000 raw": b'{"rows": [{"instrument": "A\x00"}]}',
    "a lone surrogate": '{"rows": [{"instrument": "\\ud800"}]}',
    "a raw control character": '{"rows": [{"instrument": "A\n"}]}',
    "20,000 brackets": "[" * 20_000,
    "3,000 objects in each other": '{"a":' * 3_000 + "1" + "}" * 3_000,
    "17 levels": "[" * 17 + "]" * 17,
    "Latin-1": '{"rows": [{"note": "Zürich"}]}'.encode("latin-1"),
    "UTF-16": '{"rows": []}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf" + b'{"rows": []}',
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "over-long UTF-8": b'{"rows": "\xc0\xaf"}',
    "a number of 5,000 digits": '{"rows": ' + "9" * 5_000 + "}",
    "a fraction of 5,000 digits": '{"rows": 0.' + "9" * 5_000 + "}",
    "a leading zero": '{"rows": 01}',
    "hexadecimal": '{"rows": 0x10}',
}


def test_what_is_no_strict_json_is_400_with_the_reason(writer):
    for what, body in NOT_STRICT_JSON.items():
        response = house.post(writer, "quotes", body)
        assert response.status_code == 400, (what, response.content)
        assert response.json()["type"] == "urn:margin-desk:problem:not-strict-json", what
        assert response.json()["detail"], what
    assert not IdempotentReply.objects.exists()


def test_sixteen_levels_are_not_too_deep_and_brackets_in_texts_do_not_count():
    assert parsing.read(b"[" * 16 + b"]" * 16)
    assert parsing.read(b'{"a": [[["[[[[[[[[[[[[[[[[[[[["]]]}')
    assert parsing.read(b'["\\\\", "\\"[[[[[[[[[[[[[[[[[[["]') == ["\\", '"[[[[[[[[[[[[[[[[[[[']
    assert parsing.is_too_deep(b"[" * 17 + b"]" * 17)


WRONG_WHOLE = {
    "nothing": "",
    "null": "null",
    "a list": "[]",
    "a text": '"rows"',
    "a number": "7",
    "no rows": "{}",
    "rows null": '{"rows": null}',
    "rows a text": '{"rows": "all"}',
    "rows an object": '{"rows": {"0": {}}}',
    "no row": '{"rows": []}',
    "10,001 rows": text([{}] * 10_001),
    "more than rows": '{"rows": [], "row": []}',
    "a field of another batch": '{"rows": [{}], "effective_at": "2026-01-01T00:00:00Z"}',
}


@pytest.mark.parametrize("name", ["quotes", "fills", "cash-movements"])
def test_a_body_that_is_no_batch_is_422_and_names_the_field(name, writer):
    for what, body in WRONG_WHOLE.items():
        response = house.post(writer, name, body)
        assert response.status_code == 422, (what, response.content)
        assert response.json()["errors"][0]["field"] is not None, what


NUMBERS = [
    *("NaN", "Infinity", "-inf", "1_000", "1,000.00", "٤.٧", "４.７", " 4.7", "4.7 ", "+4.7", "4.", ".7", "0x10"),
    *("1e400", "1e-40", "007", "--1", "4.7.1", "four", "4.7USD", "9" * 65, "1" + "0" * 20, "0.1234567890123"),
]
ODD_VALUES = [4.7, 5, True, [], ["4.7"], {}, {"value": "4.7"}]

WRONG_ROWS = [
    *(("quotes", house.quote(mark=number), "mark") for number in (*NUMBERS, *ODD_VALUES)),
    *(("fills", house.fill(quantity=number), "quantity") for number in (*NUMBERS, *ODD_VALUES, "", None, "0")),
    *(("cash-movements", house.movement(amount=number), "amount") for number in (*NUMBERS, *ODD_VALUES, "", None, "0")),
    *(("positions", house.position(quantity=number), "quantity") for number in (*NUMBERS, *ODD_VALUES, "", None)),
    ("quotes", house.quote(mark=None), "mark"),
    ("quotes", house.quote(mark="-1"), "mark"),
    ("quotes", house.quote(mark="0"), "mark"),
    ("quotes", house.quote(bid="5", ask="4", mark=None), "bid"),
    ("quotes", house.quote(as_of="2026-03-02"), "as_of"),
    ("quotes", house.quote(as_of="2026-03-02T15:00:00"), "as_of"),
    ("quotes", house.quote(as_of="2026-02-30T15:00:00Z"), "as_of"),
    ("quotes", house.quote(as_of="9999-12-31T23:59:59-14:00"), "as_of"),
    ("quotes", house.quote(as_of="2150-01-01T00:00:00Z"), "as_of"),
    ("quotes", house.quote(as_of="2001-01-01T00:00:00Z"), "as_of"),
    ("quotes", house.quote(as_of=1_700_000_000), "as_of"),
    ("quotes", house.quote(instrument="NONE"), "instrument"),
    ("quotes", house.quote(instrument="USD"), "instrument"),
    ("quotes", house.quote(instrument="A" * 49), "instrument"),
    ("quotes", house.quote(instrument="AIG'; --"), "instrument"),
    ("quotes", house.quote(instrument="AIG\u202e"), "instrument"),
    ("quotes", house.quote(source=""), "source"),
    ("quotes", house.quote(implied_volatility="51"), "implied_volatility"),
    ("quotes", house.quote(price="4.7"), "'price'"),
    ("quotes", house.quote(Mark="4.7"), "'Mark'"),
    ("fills", house.fill(account="A-9999"), "account"),
    ("fills", house.fill(instrument="NONE"), "instrument"),
    ("fills", house.fill(instrument="USD"), "instrument"),
    ("fills", house.fill(price="-1"), "price"),
    ("fills", house.fill(fee="-1"), "fee"),
    ("fills", house.fill(fee="0.001"), "fee"),
    ("fills", house.fill(external_reference=None), "external_reference"),
    ("fills", house.fill(external_reference="x" * 81), "external_reference"),
    ("fills", house.fill(external_reference="a\nb"), "external_reference"),
    ("fills", house.fill(traded_at="2150-01-01T00:00:00Z"), "traded_at"),
    ("fills", house.fill(settles_on="2026-02-30"), "settles_on"),
    ("fills", house.fill(settles_on="02/03/2026"), "settles_on"),
    ("fills", house.fill(reverses=1), "'reverses'"),
    ("cash-movements", house.movement(account=7), "account"),
    ("cash-movements", house.movement(currency="XXX"), "currency"),
    ("cash-movements", house.movement(currency="usd"), "currency"),
    ("cash-movements", house.movement(kind="gift"), "kind"),
    ("cash-movements", house.movement(kind="withdrawal"), "amount"),
    ("cash-movements", house.movement(amount="-5"), "amount"),
    ("cash-movements", house.movement(amount="5.001"), "amount"),
    ("cash-movements", house.movement(note="x" * 201), "note"),
    ("cash-movements", house.movement(note="tab\there"), "note"),
    ("cash-movements", house.movement(effective_at="2150-01-01T00:00:00Z"), "effective_at"),
    ("positions", house.position(account="A-9999"), "account"),
    ("positions", house.position(instrument="NONE"), "instrument"),
    ("positions", house.position(cost="0.000000001"), "cost"),
    ("positions", house.position(record="client"), "'record'"),
    ("documents", house.document(sha256="B" * 64), "sha256"),
    ("documents", house.document(kind="poem"), "kind"),
    ("document-receipts", house.receipt(version="1999-01"), "version"),
    ("document-receipts", house.receipt(client="C-9999"), "client"),
    ("document-receipts", house.receipt(channel="pigeon"), "channel"),
]


def counts():
    return [model.objects.count() for model in (QuoteFact, HeldQuote, Fill, CashMovement, BookLoad, IdempotentReply)]


@pytest.mark.parametrize("asked", house.GOOD)
def test_a_wrong_row_refuses_the_batch_and_is_named(asked, writer, furnished):
    other = {"quotes": {}, "positions": {"instrument": "USD"}, "documents": {"version": "8"}}.get(
        asked, {"external_reference": "OK-1"}
    )
    before = counts()
    for name, row, field in WRONG_ROWS:
        if name != asked:
            continue
        response = house.post(writer, name, {"rows": [house.GOOD[name](**other), row]})
        assert response.status_code == 422, (row, response.content)
        errors = response.json()["errors"]
        assert (2, field) in [(error["row"], error["field"]) for error in errors], (row, errors)
        assert all(error["reason"] for error in errors), row
    assert counts() == before


def test_the_corpus_is_not_small():
    assert len(NOT_STRICT_JSON) + 3 * len(WRONG_WHOLE) + len(WRONG_ROWS) >= 200


def test_every_wrong_row_is_named_at_once(writer, furnished):
    wrong = [house.movement(amount="1,00"), house.movement(account="?"), house.movement(), house.movement(kind="")]
    response = house.post(writer, "cash-movements", {"rows": wrong})
    found = [(error["row"], error["field"]) for error in response.json()["errors"]]
    assert found == [(1, "amount"), (2, "account"), (4, "kind")]


def test_no_more_than_a_hundred_problems_are_listed(writer, furnished):
    response = house.post(writer, "quotes", {"rows": [house.quote(mark="x", source="")] * 200})
    assert 100 <= len(response.json()["errors"]) <= 102
    old = house.quote(as_of="2001-01-01T00:00:00Z")
    response = house.post(writer, "quotes", {"rows": [old] * 200})
    assert 100 <= len(response.json()["errors"]) <= 102


def test_a_body_beyond_the_limit_is_413(writer):
    response = house.post(writer, "quotes", b'{"rows": "' + b" " * BIG + b'"}')
    assert (response.status_code, response.json()["type"]) == (413, "urn:margin-desk:problem:too-large")


@pytest.mark.parametrize("filling", [b'"', b'\\"', b"[", b'"a":', b"\\", b"{}", b"1,", b'[["'])
def test_no_body_within_the_limit_takes_long(filling, writer):
    body = (filling * (BIG // len(filling)))[: BIG - 10]
    started = time.monotonic()
    assert 400 <= house.post(writer, "quotes", b'{"rows": ' + body).status_code < 500
    assert time.monotonic() - started < 5


def test_another_charset_is_415(writer, furnished):
    for charset in ("utf-16", "latin-1"):
        response = house.post(writer, "quotes", "{}", content_type=f"application/json; charset={charset}")
        assert response.status_code == 415
    response = house.post(writer, "quotes", {"rows": [house.quote()]}, content_type='application/json; charset="UTF-8"')
    assert response.status_code == 201


@pytest.mark.parametrize("once", [None, "", " ", "k" * 256, "k\tk", "ключ", " k"])
def test_a_post_needs_a_decent_idempotency_key(once, writer):
    response = house.post(writer, "quotes", {"rows": [house.quote()]}, once=once)
    assert response.status_code == 400, response.content
    assert "Idempotency-Key" in response.json()["detail"]
