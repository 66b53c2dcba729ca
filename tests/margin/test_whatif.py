"""What-ifs: a self-contained book needs nothing but itself, and its figures are the sweep's."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from margin import whatif
from margin.engine.methodologies.reg_t import RULE_BOOK
from margin.hypothetical import forms
from margin.hypothetical.document import BookDocument, Hypotheses, StressGrid

ROOT = Path(__file__).parents[2]
HOUSE_30 = {**RULE_BOOK, "house": {"basic": {"long": "0.30", "short": "0.35"}}}
HOUSE = {"regime": "house", "methodology": "reg_t", "measure": "house", "kinds": ["equity", "etf"], "terms": HOUSE_30}


def xyz(**fields):
    return {"code": "XYZ", "kind": "equity", "currency": "USD", "price": "50", **fields}


def account(code="A", **fields):
    holding = {"positions": [{"instrument": "XYZ", "quantity": "100"}], "cash": {"USD": "-3600"}}
    return {"code": code, "currency": "USD", "policy": "us", **holding, **fields}


def book(*accounts, **fields):
    policies = {"us": {"regimes": [HOUSE]}}
    given = {"on": "2026-06-03", "instruments": [xyz()], "policies": policies}
    return {**given, "accounts": list(accounts or (account(),)), **fields}


def only(answer):
    (found,) = answer["accounts"]
    (regime,) = found["regimes"]
    return regime


def test_a_book_is_answered_with_the_figures_of_every_account():
    # 100 × 50 − 3,600 = 1,400 against 30 % of 5,000 = 1,500; the second owes 1,000 less
    answer = whatif.of_book(book(account(), account("B", cash={"USD": "-2600"})))
    found = {each["code"]: each["regimes"][0] for each in answer["accounts"]}
    assert [found["A"][name] for name in ("equity", "requirement", "deficit", "amount_called")] == [
        *("1400", "1500", "100", "100")
    ]
    assert (found["A"]["status"], found["A"]["excess"]) == ("deficit", "-100")
    assert [found["B"][name] for name in ("equity", "requirement", "excess", "amount_called")] == [
        *("2400", "1500", "900", "0")
    ]


def test_both_sides_of_a_security_are_asked_five_per_cent():
    # 100 long and 60 short at 50.00, 1,000 in cash: equity 3,000; 5 % of 3,000 and the house's 30 % of 40 × 50.00
    sides = [{"instrument": "XYZ", "quantity": quantity} for quantity in ("-60", "100")]
    found = only(whatif.of_book(book(account(positions=sides, cash={"USD": "1000"}))))
    assert [found[name] for name in ("equity", "requirement", "initial")] == ["3000", "750", "1150"]


def test_a_process_without_a_database_answers_the_same(tmp_path):
    file = tmp_path / "book.json"
    file.write_text(json.dumps(book()))
    nowhere = {**os.environ, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    command = [sys.executable, "manage.py", "whatif", str(file), "--json"]
    done = subprocess.run(command, cwd=ROOT, env=nowhere, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == whatif.of_book(book())


WRONG = {
    "surprise": (book(surprise=1), "surprise", "unknown key"),
    "a number": (book(instruments=[xyz(price=50)]) | {"fx": [["EUR", "USD", 1]]}, "fx[0][2]", "a string is expected"),
    "a strike": (book(instruments=[xyz(), xyz(code="O", kind="option", strike="abc")]), "instruments[1].strike", "num"),
    "no strike": (
        book(instruments=[xyz(), xyz(code="O", kind="option", underlying="XYZ", right="call")]),
        *("instruments[1].strike", "missing"),
    ),
    "an unknown kind": (book(instruments=[xyz(kind="house")]), "instruments[0].kind", "not one of"),
    "twice": (book(instruments=[xyz(), xyz()]), "instruments[1].code", "twice"),
    "two longs": (
        book(account(positions=[{"instrument": "XYZ", "quantity": "1"}] * 2)),
        *("accounts[0].positions[1].instrument", "one long and one short"),
    ),
    "two sides of a coin": (
        book(
            account(positions=[{"instrument": "XYZ", "quantity": "1"}, {"instrument": "XYZ", "quantity": "-1"}]),
            instruments=[xyz(kind="crypto")],
        ),
        *("accounts[0].positions[1].instrument", "held twice"),
    ),
    "no such holding": (
        book(account(positions=[{"instrument": "ABC", "quantity": "1"}])),
        *("accounts[0].positions[0].instrument", "not among"),
    ),
    "no such policy": (book(account(policy="none")), "accounts[0].policy", "not among"),
    "no such currency": (book(account(cash={"XBT": "1"})), "accounts[0].cash.XBT", "minor_exponent"),
    "a policy's term": (book(policies={"us": {"regimes": [{**HOUSE, "terms": {}}]}}), "policies.us", "house.terms"),
    "no day": (book(on="3 June"), "on", "not a day"),
    "a fraction": (book(instruments=[xyz(price=0.5)]), "instruments[0].price", "in quotes"),
    "digits": (book(instruments=[xyz(price="1" + "0" * 30)]), "instruments[0].price", "20 digits"),
    "many digits": (book(account(cash={"USD": "9" * 50})), "accounts[0].cash.USD", "40 characters"),
    "no multiplier": (book(instruments=[xyz(multiplier="0")]), "instruments[0].multiplier", "more than 0"),
    "terms": (book(instruments=[xyz(terms={"vanue": "otc"})]), "instruments[0].terms.vanue", "unknown key"),
    "a venue": (book(instruments=[xyz(terms={"venue": "moon"})]), "instruments[0].terms.venue", "not one of"),
    "many accounts": (book(*[account(str(k)) for k in range(10_001)]), "accounts", "10001 items"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named_with_its_path(what):
    document, path, reason = WRONG[what]
    with pytest.raises(whatif.Wrong) as refusal:
        whatif.of_book(document)
    assert refusal.value.path == path
    assert reason in refusal.value.reason


def test_a_missing_price_leaves_its_holder_without_figures_and_says_why():
    (found,) = whatif.of_book(book(instruments=[xyz(price=None)]))["accounts"]
    assert found["unpriced"] == ["XYZ: no price"]
    assert (found["regimes"][0]["status"], found["regimes"][0]["equity"]) == ("unpriced", None)


def test_the_explanation_adds_up_to_the_requirement():
    (found,) = whatif.of_book(book(explain=True))["accounts"]
    (regime,) = found["explanation"]["regimes"]
    assert regime["requirement"]["amount"] == "1500"
    # 25 % by the exchange, and 5 % more that the house asks
    assert [charge["amount"] for charge in regime["requirement"]["charges"]] == ["1250", "250"]


# --- the page and the schema --------------------------------------------------------------------------

PAGE = (ROOT / "docs" / "whatif.md").read_text(encoding="utf-8")
SCHEMA = json.loads((ROOT / "docs" / "whatif.schema.json").read_text(encoding="utf-8"))
KINDS = {"book": BookDocument, "hypotheses": Hypotheses, "stress": StressGrid}
EXAMPLES = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", PAGE, re.M | re.S)]


def is_by_the_schema(name, document):
    validator = jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]})
    return validator.is_valid(document)


def test_the_schema_is_made_from_what_reads_the_documents():
    assert SCHEMA["$defs"] == {name: forms.schema(kind) for name, kind in KINDS.items()}
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_pages_examples_are_what_they_claim():
    assert len(EXAMPLES) == len(KINDS)
    for (name, kind), example in zip(KINDS.items(), EXAMPLES, strict=True):
        assert is_by_the_schema(name, example)
        forms.read(kind, example)


def test_the_pages_book_has_the_figures_that_the_page_tells():
    first, second = (account["regimes"][0] for account in whatif.of_book(EXAMPLES[0])["accounts"])
    assert (first["equity"], first["requirement"], first["deficit"]) == ("1000", "1250", "250")
    assert (second["equity"], second["requirement"]) == ("786.72", "363.99")


@pytest.mark.parametrize("what", ["surprise", "a number", "an unknown kind", "a fraction", "many accounts"])
def test_the_schema_refuses_what_reading_refuses(what):
    assert is_by_the_schema("book", book())
    assert not is_by_the_schema("book", WRONG[what][0])


def test_ten_thousand_accounts_are_one_question():
    accounts = [account(str(k), cash={"USD": f"-{k}"}) for k in range(10_000)]
    found = whatif.of_book(book(*accounts))["accounts"]
    assert [each["regimes"][0]["equity"] for each in found[:2]] == ["5000", "4999"]
    assert found[-1]["regimes"][0]["status"] == "deficit"
