"""docs/policy.schema.json and `margin.policies.parse` say the same about a policy's terms."""

import copy
import dataclasses
import json
import re
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from backoffice.demo.policies import CRYPTO_LOAN, POLICIES, US_MARGIN
from margin import due, liquidation_terms, policies, policy_terms, restriction_terms, workflow
from margin.engine import adaptive, trade_calls
from margin.engine.columns import KINDS, MARGIN_CLASSES
from margin.engine.methodologies import (
    METHODOLOGIES,
    PARTS,
    collateral,
    concentration,
    cross,
    crypto_portfolio,
    csa,
    loan,
    option_strategies,
    portfolio,
    reg_t,
    simm,
    span,
    tiered,
    volatility,
)
from tests.architecture import contract_policies
from tests.architecture.contract_policies import GONE, Example

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "policy.schema.json").read_text(encoding="utf-8"))
DEFINED = SCHEMA["$defs"]


def is_by_the_schema(document: Any) -> bool:
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(document)


def is_read(document: Any) -> bool:
    try:
        policies.parse(document)
    except policies.BadTerms:
        return False
    return True


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one place changed, such as `regimes.0.clock.count`; GONE takes it away."""
    whole = copy.deepcopy(document)
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = whole
    for step in way:
        place = place[step]
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return whole


HOURS = {"unit": "hours", "count": 4}
LADDER = {
    "watch_rate": "2",
    "restrictions": {
        "cover": [{"below": "2", "effects": ["no_withdrawal"]}, {"below": "1.5", "effects": ["no_new_borrow"]}]
    },
}
RIGHTS = {
    "on_issue": ["no_withdrawal"],
    "on_escalate": ["closing_only"],
    "on_expiry": {"effect": "closing_only", "days": 90},
    "overdue": {"clock": {"unit": "hours", "count": 120}, "effects": ["closing_only"]},
    "stays": {"any": 2, "ach": 6},
}
STRIKES = {"name": "house", "steps": [{"at": 3, "effects": ["funds_on_hand"], "days": 90}]}
REG_T_DAYS = {
    "unit": "business_days",
    "count": 2,
    "zone": "America/New_York",
    "calendar": "US-REGT",
    "cut_off": "15:00",
    "base": "trade_date",
    "settlement": "US",
}
OF_TRADES = {
    **US_MARGIN,
    "regimes": [
        *US_MARGIN["regimes"],
        {
            "regime": "reg_t",
            "methodology": "trades",
            "measure": "reg_t",
            "kinds": ["equity", "etf"],
            "terms": {},
            "clock": REG_T_DAYS,
            "market_cures": False,
            "de_minimis": "1000",
        },
        {
            "regime": "day_trade",
            "methodology": "trades",
            "measure": "day_trade",
            "kinds": ["equity", "etf"],
            "terms": {"of": "exchange", "past_due_clock": {**REG_T_DAYS, "count": 0}},
            "clock": {**REG_T_DAYS, "count": 4},
            "market_cures": False,
        },
        {
            "regime": "intraday",
            "methodology": "trades",
            "measure": "intraday",
            "kinds": ["equity", "etf"],
            "terms": {"of": "exchange"},
            "clock": {**REG_T_DAYS, "count": 4},
        },
    ],
}
RIGHT: dict[str, Example] = {
    **contract_policies.RIGHT,
    "calls that come from trades": (OF_TRADES, "sweep", "securities"),
    "a stricter pattern": (OF_TRADES, "regimes.4.terms.pattern", 3),
    "the US margin policy as it is": (US_MARGIN, "sweep", "securities"),
    "the loan policy as it is": (CRYPTO_LOAN, "sweep", "crypto"),
    "no calendar": (US_MARGIN, "calendar", GONE),
    "a fee in quotes": (US_MARGIN, "fee_rate", "0.0125"),
    "a whole number without quotes": (US_MARGIN, "regimes.0.de_minimis", 100),
    "no warning level": (US_MARGIN, "regimes.0.warning_rate", None),
    "severe when equity is gone": (US_MARGIN, "regimes.0.severe_rate", 0),
    "a watch level far out": (US_MARGIN, "regimes.0.watch_rate", "12.50"),
    "a due date in hours": (US_MARGIN, "regimes.0.clock", HOURS),
    "due the same business day": (US_MARGIN, "regimes.0.clock.count", 0),
    "the settlement cycle and two days": (US_MARGIN, "regimes.0.clock", REG_T_DAYS),
    "a shorter clock where it is severe": (
        US_MARGIN,
        "regimes.0.clock.bands",
        [{"below": "0.5", "term": HOURS}, {"below": "0.75", "term": REG_T_DAYS}],
    ),
    "the regulation beside the broker's rule": (US_MARGIN, "regimes.0.clock.also", [REG_T_DAYS]),
    "a late event counts from the next day": (US_MARGIN, "regimes.0.clock.base_cut_off", "16:00"),
    "a house rate for one instrument": (US_MARGIN, "regimes.0.terms.house.instruments", {"ALFA": {"long": "0.5"}}),
    "house rates for kinds": (US_MARGIN, "regimes.0.terms.house.kinds", {"etf": {"short": "0.4"}}),
    "a haircut by code": (CRYPTO_LOAN, "regimes.0.terms.haircuts", {"ETH": "0.10"}),
    "rights by cover": (CRYPTO_LOAN, "regimes.0", {**CRYPTO_LOAN["regimes"][0], **LADDER}),
    "rights by calls": (US_MARGIN, "regimes.0.restrictions", RIGHTS),
    "a schedule of strikes": (US_MARGIN, "strikes", [STRIKES]),
    "liquidation only at the whole value": (CRYPTO_LOAN, "regimes.0.terms.liquidate", "1.00"),
    "equality calls, and asks for more": (
        US_MARGIN,
        "regimes.0",
        {**US_MARGIN["regimes"][0], "at_or_beyond": True, "restore_rate": "1.1"},
    ),
}
WRONG: dict[str, Example] = {
    **contract_policies.WRONG,
    "a rule of trades nobody knows": (OF_TRADES, "regimes.3.measure", "weekly"),
    "a rule of trades under another name": (OF_TRADES, "regimes.3.regime", "futures"),
    "a rate for Regulation T of trades": (OF_TRADES, "regimes.3.terms", {"rate": "0.5"}),
    "trades measured by parts": (OF_TRADES, "regimes.3.parts", US_MARGIN["regimes"][0]["parts"]),
    "day trades against nothing": (OF_TRADES, "regimes.4.terms.of", GONE),
    "buying power below the excess": (OF_TRADES, "regimes.4.terms.reduced_multiple", "0.5"),
    "a past due clock that is none": (OF_TRADES, "regimes.4.terms.past_due_clock", {"unit": "weeks", "count": 1}),
    "all of the equity disregarded": (OF_TRADES, "regimes.5.terms.least_equity_rate", "1"),
    "an effect nobody knows": (US_MARGIN, "regimes.0.restrictions", {"on_issue": ["frozen"]}),
    "an effect twice": (US_MARGIN, "regimes.0.restrictions", {"on_issue": ["cash_only", "cash_only"]}),
    "an expiry without an end": (US_MARGIN, "regimes.0.restrictions", {"on_expiry": {"effect": "closing_only"}}),
    "money that stays half a day": (US_MARGIN, "regimes.0.restrictions", {"stays": {"any": "0.5"}}),
    "a rung at nothing": (US_MARGIN, "regimes.0.restrictions", {"cover": [{"below": "0", "effects": ["cash_only"]}]}),
    "a schedule without a step": (US_MARGIN, "strikes", [{**STRIKES, "steps": []}]),
    "a strike of no kind": (US_MARGIN, "strikes", [{**STRIKES, "kinds": ["early"]}]),
    "a step without an effect": (US_MARGIN, "strikes", [{**STRIKES, "steps": [{"at": 2, "effects": [], "days": 9}]}]),
    "no sweep": (US_MARGIN, "sweep", GONE),
    "an unknown sweep": (US_MARGIN, "sweep", "bonds"),
    "no regimes": (US_MARGIN, "regimes", []),
    "regimes as an object": (US_MARGIN, "regimes", {}),
    "an unknown key": (US_MARGIN, "colour", "red"),
    "a fraction as a JSON number": (US_MARGIN, "fee_rate", 0.0005),
    "a fee that takes everything": (US_MARGIN, "fee_rate", "1"),
    "a negative fee": (US_MARGIN, "fee_rate", "-0.01"),
    "a plan that expires at once": (US_MARGIN, "plan_minutes", 0),
    "a plan that waits for days": (US_MARGIN, "plan_minutes", 1441),
    "minutes in quotes": (US_MARGIN, "plan_minutes", "15"),
    "an unknown regime": (US_MARGIN, "regimes.0.regime", "gut_feeling"),
    "an unknown methodology": (US_MARGIN, "regimes.0.methodology", "span"),
    "a measure of another methodology": (US_MARGIN, "regimes.0.measure", "ltv"),
    "an unknown kind": (US_MARGIN, "regimes.0.kinds", ["tulip"]),
    "a kind the methodology has no rule for": (US_MARGIN, "regimes.0.kinds", ["equity", "option"]),
    "coins under reg_t": (US_MARGIN, "regimes.0.kinds", ["crypto"]),
    "a truth in quotes": (US_MARGIN, "regimes.0.warns", "true"),
    "a truth as a number": (US_MARGIN, "regimes.0.de_minimis", True),
    "a thousands separator": (US_MARGIN, "regimes.0.de_minimis", "1,000"),
    "an underscore": (US_MARGIN, "regimes.0.de_minimis", "1_000"),
    "an exponent": (US_MARGIN, "regimes.0.de_minimis", "1e3"),
    "a blank": (US_MARGIN, "regimes.0.de_minimis", " 1"),
    "digits of another script": (US_MARGIN, "regimes.0.de_minimis", "١٠"),
    "not a number": (US_MARGIN, "regimes.0.warning_rate", "NaN"),
    "infinity": (US_MARGIN, "regimes.0.watch_rate", "Infinity"),
    "a negative tolerance": (US_MARGIN, "regimes.0.tolerance", "-1"),
    "a warning below the call": (US_MARGIN, "regimes.0.warning_rate", "0.99"),
    "a warning that clears below itself": (US_MARGIN, "regimes.0.clear_rate", "0.98"),
    "no clear rate": (US_MARGIN, "regimes.0.clear_rate", None),
    "a cure that leaves a deficit": (US_MARGIN, "regimes.0.restore_rate", "0.9"),
    "severe before the call": (US_MARGIN, "regimes.0.severe_rate", "1.2"),
    "equality calls and asks for nothing": (US_MARGIN, "regimes.0.at_or_beyond", True),
    "a negative dwell": (CRYPTO_LOAN, "regimes.0.dwell_seconds", -1),
    "no clock": (US_MARGIN, "regimes.0.clock", GONE),
    "an unknown unit": (US_MARGIN, "regimes.0.clock.unit", "weeks"),
    "business days of no calendar": (US_MARGIN, "regimes.0.clock.calendar", ""),
    "business days without a cut-off": (US_MARGIN, "regimes.0.clock.cut_off", GONE),
    "an hour that no day has": (US_MARGIN, "regimes.0.clock.cut_off", "25:00"),
    "hours by a calendar": (US_MARGIN, "regimes.0.clock", {**HOURS, "calendar": "XNYS"}),
    "no hours": (US_MARGIN, "regimes.0.clock", {**HOURS, "count": 0}),
    "hours from a day": (US_MARGIN, "regimes.0.clock", {**HOURS, "base": "trade_date"}),
    "hours and a settlement cycle": (US_MARGIN, "regimes.0.clock", {**HOURS, "settlement": "US"}),
    "an event nobody knows": (US_MARGIN, "regimes.0.clock.base", "full_moon"),
    "a severity without a clock": (US_MARGIN, "regimes.0.clock.bands", [{"below": "0.5"}]),
    "a clock within a clock within a clock": (US_MARGIN, "regimes.0.clock.also", [{**HOURS, "also": [HOURS]}]),
    "a negative count": (US_MARGIN, "regimes.0.clock.count", -1),
    "half a day": (US_MARGIN, "regimes.0.clock.count", 0.5),
    "a rate of the rule book left out": (US_MARGIN, "regimes.0.terms.long_rate", GONE),
    "a negative rate": (US_MARGIN, "regimes.0.terms.short_rate", "-0.30"),
    "no brackets": (US_MARGIN, "regimes.0.terms.government", []),
    "a bracket without a rate": (US_MARGIN, "regimes.0.terms.government.0.rate", GONE),
    "a house rate of no kind": (US_MARGIN, "regimes.0.terms.house.kinds", {"shares": {"long": "0.5"}}),
    "a house rate below nothing": (US_MARGIN, "regimes.0.terms.house.basic.long", "-0.1"),
    "terms of the other methodology": (US_MARGIN, "regimes.0.terms", CRYPTO_LOAN["regimes"][0]["terms"]),
    "a ladder without a rung": (CRYPTO_LOAN, "regimes.0.terms.warn", GONE),
    "a rung above the whole value": (CRYPTO_LOAN, "regimes.0.terms.liquidate", "1.01"),
    "a call at the whole value": (CRYPTO_LOAN, "regimes.0.terms.call", "1"),
    "a loan restored to nothing": (CRYPTO_LOAN, "regimes.0.terms.restore", "0"),
    "a haircut of more than all": (CRYPTO_LOAN, "regimes.0.terms.haircuts", {"BTC": "1.5"}),
}
# What compares one place of the document with another, or with the world: the schema's description names each.
ONLY_READING_SEES: dict[str, Example] = {
    **contract_policies.ONLY_READING_SEES,
    "trades alone": (OF_TRADES, "regimes", OF_TRADES["regimes"][3:4]),
    "day trades against a regime of trades": (OF_TRADES, "regimes.4.terms.of", "reg_t"),
    "less buying power with a pattern": (OF_TRADES, "regimes.4.terms.multiple", "1.5"),
    "rungs that rise": (CRYPTO_LOAN, "regimes.0.restrictions", {"cover": LADDER["restrictions"]["cover"][::-1]}),
    "a rung that no sweep would see": (CRYPTO_LOAN, "regimes.0.restrictions", LADDER["restrictions"]),
    "a regime twice": (US_MARGIN, "regimes.1.regime", "house"),
    "a restore level beyond the call": (CRYPTO_LOAN, "regimes.0.terms.restore", "0.75"),
    "a warning beyond the call": (CRYPTO_LOAN, "regimes.0.terms.warn", "0.75"),
    "a watch level inside the warning level": (US_MARGIN, "regimes.0.watch_rate", "1.05"),
    "brackets that fall": (US_MARGIN, "regimes.0.terms.government.0.years", 4),
    "severities that fall": (
        US_MARGIN,
        "regimes.0.clock.bands",
        [{"below": "0.75", "term": HOURS}, {"below": "0.5", "term": HOURS}],
    ),
    "a zone on another planet": (US_MARGIN, "regimes.0.clock.zone", "Mars/Olympus"),
}


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(("document", "path", "value"), RIGHT.values(), ids=RIGHT.keys())
def test_what_is_right_passes_both(document, path, value):
    policies.parse(changed(document, path, value))
    jsonschema.Draft202012Validator(SCHEMA).validate(changed(document, path, value))


@pytest.mark.parametrize(("document", "path", "value"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_refused_by_both(document, path, value):
    wrong = changed(document, path, value)
    assert (is_read(wrong), is_by_the_schema(wrong)) == (False, False)


@pytest.mark.parametrize("document", [None, [], "policy", 5, {}])
def test_what_is_no_policy_at_all_is_refused_by_both(document):
    assert (is_read(document), is_by_the_schema(document)) == (False, False)


@pytest.mark.parametrize(("document", "path", "value"), ONLY_READING_SEES.values(), ids=ONLY_READING_SEES.keys())
def test_what_a_schema_cannot_compare_is_refused_when_the_terms_are_read(document, path, value):
    assert not is_read(changed(document, path, value))


@pytest.mark.parametrize("document", POLICIES.values(), ids=POLICIES.keys())
def test_the_policies_of_the_demonstration_pass_both(document):
    policies.parse(document)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)


def printed_regimes() -> Iterable[tuple[str, dict[str, Any]]]:
    """(page, regime) of every page on a methodology that prints one as a whole."""
    for page in sorted((DOCS / "methodologies").glob("*.md")):
        for block in re.findall(r"```json\n({\"regime\".*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            if "\n{" not in block:  # two regimes side by side, with their terms left out
                yield page.name, json.loads(block)


@pytest.mark.parametrize(
    ("page", "regime"), list(printed_regimes()), ids=lambda each: each if isinstance(each, str) else ""
)
def test_a_regime_that_a_page_prints_is_one(page, regime):
    document = {"sweep": "crypto", "regimes": [{"clock": HOURS, **regime}]}
    policies.parse(document)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)


# --- the schema follows the code ------------------------------------------------------------------------------

READ_BY = {
    policy_terms.PolicyTerms: SCHEMA,
    policy_terms.RegimeTerms: DEFINED["regime"],
    policy_terms.StormTerms: DEFINED["storm"],
    liquidation_terms.LiquidationTerms: DEFINED["liquidation"],
    policy_terms.ReleaseTerms: DEFINED["release"],
    due.Rule: DEFINED["clock"],
    due.Term: DEFINED["clock_term"],
    due.Band: DEFINED["clock"]["properties"]["bands"]["items"],
    restriction_terms.RestrictionTerms: DEFINED["restrictions"],
    restriction_terms.Expiry: DEFINED["expiry"],
    restriction_terms.Overdue: DEFINED["overdue"],
    restriction_terms.Rung: DEFINED["rung"],
    restriction_terms.StrikeSchedule: DEFINED["strike_schedule"],
    restriction_terms.Step: DEFINED["strike_step"],
    reg_t.Terms: DEFINED["reg_t_terms"],
    reg_t.House: DEFINED["reg_t_terms"]["properties"]["house"],
    reg_t.Rates: DEFINED["house_rates"],
    reg_t.Bracket: DEFINED["reg_t_terms"]["properties"]["government"]["items"],
    cross.Terms: DEFINED["cross_terms"],
    loan.Terms: DEFINED["loan_terms"],
    csa.Terms: DEFINED["csa_terms"],
    csa.Grid: DEFINED["csa_grid"],
    volatility.Terms: DEFINED["volatility_terms"],
    adaptive.Model: DEFINED["volatility_model"],
    simm.Terms: DEFINED["simm_terms"],
    trade_calls.RegTTerms: DEFINED["reg_t_calls_terms"],
    trade_calls.DayTradeTerms: DEFINED["day_trade_terms"],
    trade_calls.IntradayTerms: DEFINED["intraday_terms"],
    policy_terms.PartTerms: DEFINED["part"],
    option_strategies.Terms: DEFINED["option_strategies_terms"],
    option_strategies.Rates: DEFINED["option_rates"],
    portfolio.Terms: DEFINED["portfolio_terms"],
    portfolio.Range: DEFINED["range"],
    portfolio.House: DEFINED["portfolio_terms"]["properties"]["house"],
    portfolio.Stress: DEFINED["portfolio_terms"]["properties"]["stress"]["items"],
    portfolio.PortfolioGroup: DEFINED["portfolio_terms"]["properties"]["portfolio_groups"]["items"],
    concentration.Terms: DEFINED["concentration_terms"],
    concentration.Step: DEFINED["steps"]["items"],
    tiered.Terms: DEFINED["tiered_terms"],
    collateral.Terms: DEFINED["collateral_terms"],
    span.Terms: DEFINED["span_terms"],
    crypto_portfolio.Terms: DEFINED["crypto_portfolio_terms"],
    crypto_portfolio.Collateral: DEFINED["crypto_collateral"],
    crypto_portfolio.Grid: DEFINED["crypto_grid"],
    crypto_portfolio.Scenario: DEFINED["crypto_scenario"],
    crypto_portfolio.Volatility: DEFINED["crypto_volatility"],
    crypto_portfolio.Skew: DEFINED["crypto_skew"],
    crypto_portfolio.Discount: DEFINED["crypto_discount"],
    crypto_portfolio.Basis: DEFINED["crypto_basis"],
    crypto_portfolio.Doubt: DEFINED["crypto_doubt"],
    crypto_portfolio.Standard: DEFINED["crypto_standard"],
}


def needed(kind: Any) -> set[str]:
    return {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }


def plain_defaults(kind: Any) -> Iterable[tuple[str, Any]]:
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING:
            default = list(field.default) if isinstance(field.default, tuple) else field.default
            yield field.name, str(default) if isinstance(default, Decimal) else default


@pytest.mark.parametrize(("kind", "schema"), READ_BY.items(), ids=lambda each: getattr(each, "__qualname__", ""))
def test_every_key_and_default_of_the_code_is_in_the_schema(kind, schema):
    assert set(schema["properties"]) == {field.name for field in dataclasses.fields(kind)}
    assert set(schema.get("required", ())) == needed(kind)
    assert schema["additionalProperties"] is False
    assert {name: schema["properties"][name]["default"] for name, _ in plain_defaults(kind)} == dict(
        plain_defaults(kind)
    )


def test_every_word_of_the_code_is_in_the_schema():
    assert DEFINED["effect"]["enum"] == [effect.value for effect in restriction_terms.Effect]
    assert DEFINED["regime"]["properties"]["regime"]["enum"] == [regime.value for regime in workflow.Regime]
    assert DEFINED["kind"]["enum"] == list(KINDS)
    assert SCHEMA["properties"]["sweep"]["enum"] == list(policy_terms.SWEEPS)
    assert DEFINED["regime"]["properties"]["methodology"]["enum"] == [
        *(each.CODE for each in METHODOLOGIES),
        trade_calls.METHODOLOGY,
    ]
    assert DEFINED["part"]["properties"]["methodology"]["enum"] == [each.CODE for each in PARTS]
    assert DEFINED["margin_class"]["enum"] == list(MARGIN_CLASSES)
    for methodology in METHODOLOGIES:
        stated = stated_of(DEFINED["regime"])[methodology.CODE]
        assert stated["measure"]["enum"] == list(methodology.MEASURES)
        assert set(stated["kinds"]["items"]["enum"]) == methodology.KINDS
    for part in PARTS:
        stated = stated_of(DEFINED["part"])[part.CODE]
        assert stated["measure"]["enum"] == list(part.GROUP_MEASURES)
        assert set(stated["kinds"]["items"]["enum"]) == part.KINDS


def stated_of(schema: dict[str, Any]) -> dict[str, Any]:
    """What the schema says of each methodology, by its code."""
    return {
        rule["if"]["properties"]["methodology"]["const"]: rule["then"]["properties"]
        for rule in schema["allOf"]
        if "const" in rule["if"]["properties"].get("methodology", {})
    }
