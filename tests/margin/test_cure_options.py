"""What meets a stored call: by the policy in force, at the prices of now, by API and by command."""

import json
from dataclasses import replace
from decimal import Decimal
from io import StringIO

import jsonschema
import pytest
import yaml
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from margin import calls, cure_options, policies, whatif
from margin.hypothetical.answers import text
from margin.models import MarginCall
from margin.workflow import Resolution, Verb
from tests.api import house
from tests.margin import rows, world

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def aig():
    """AIG at 50.00, quoted now."""
    made = rows.equity("AIG", max_age_seconds=10**6)
    world.quote(made, "50", timezone.now())
    return made


def called(aig, *regimes, borrowed="3600", amounts=None):
    """The calls of an account with 100 AIG and so much borrowed: short by 100 of 30 %."""
    version = rows.policy("us_margin", world.securities(*regimes))
    account = world.long_account("100", borrowed, aig, code="A-1001")
    moves = [rows.issue(account, version, amount=amount, regime=name, at=timezone.now())
             for name, amount in (amounts or {"house": "100.00"}).items()]  # fmt: skip
    outcomes = calls.carry_out(moves, at=timezone.now(), actor=rows.SWEEPER)
    return [MarginCall.objects.get(pk=outcome.call_id) for outcome in outcomes]


def of(call, **more):
    return cure_options.of_call(call, at=timezone.now(), **more)


def test_a_call_of_100_takes_100_in_cash_or_seven_shares_sold(aig):
    # 5,000 − 3,600 = 1,400 of 1,500; a share sold releases 15.00 less 0.05: 100 ÷ 14.95 = 6.7
    (call,) = called(aig)
    found = of(call)
    assert found.all_calls is None
    told = cure_options.tree(found)["this_call"]
    assert [option["value"] for option in told["cash"]] == ["100"]
    (sale,) = told["trades"]
    assert sale["steps"] == [{"kind": "sale", "instrument": "AIG", "quantity": "-7", "amount": "350", "fee": "0.35"}]
    assert (sale["excess"], sale["left"]) == ({"house": "4.65"}, {call.number: "4.65"})
    (deposit,) = told["deposits"]
    assert deposit["steps"][0]["quantity"] == "3"  # each counts 35.00
    assert told["values"] == [{"value": "142.86", "rates": {call.number: "0.3"}}]


def test_what_is_told_is_enough_where_it_is_supposed_and_one_less_is_not(aig):
    (call,) = called(aig)
    (sale,) = of(call).this_call.trades
    for quantity, excess in ((sale.steps[0].quantity, "4.65"), (sale.steps[0].quantity + 1, "-10.3")):
        trades = [{"instrument": "AIG", "quantity": text(quantity)}]
        answer = whatif.of_account(call.account, {"trades": trades, "fees": True}, at=timezone.now())
        assert answer["regimes"][0]["after"]["excess"] == excess


def test_all_calls_of_an_account_take_the_greatest_amount(aig):
    # the exchange asks 25 %: 1,250 against 1,000 with 4,000 borrowed; the house 1,500
    first, second = called(
        aig, world.HOUSE, world.EXCHANGE, borrowed="4000", amounts={"house": "500.00", "exchange": "250.00"}
    )
    found = of(second)
    assert [option.value for option in found.this_call.cash] == [250]
    assert [option.value for option in found.all_calls.cash] == [500]
    assert found.this_call.cash[0].clears == (second.number,)
    assert found.all_calls.cash[0].clears == (first.number, second.number)


def test_what_the_client_has_is_completed(aig):
    (call,) = called(aig)
    (sale,) = of(call, have=D(60)).this_call.trades  # 40 ÷ 14.95 = 2.7
    assert [(step.kind, step.quantity) for step in sale.steps] == [("cash", 60), ("sale", -3)]


def test_the_policy_says_which_ways_meet_a_call(aig):
    (call,) = called(aig, {**world.HOUSE, "cures": ["cash"]})
    told = of(call).this_call
    assert (told.trades, told.deposits, told.mixes) == ((), (), ())
    with pytest.raises(policies.BadTerms, match="cures: 'prayer' is not one of cash, securities, sale"):
        policies.parse(world.securities({**world.HOUSE, "cures": ["prayer"]}))


def test_the_policy_in_force_judges(aig):
    (call,) = called(aig)
    rows.policy("us_margin", world.securities({**world.HOUSE, "terms": world.EXCHANGE["terms"]}))
    assert of(call).this_call.is_clear  # 1,400 of 1,250
    with pytest.raises(cure_options.NotSizable, match="no approved policy"):
        cure_options.of_call(call, at=world.MONDAY.replace(year=1999))


def test_nothing_is_told_without_a_price_or_about_a_closed_call(aig):
    (call,) = called(aig)
    rows.hold(call.account, rows.equity("DARK"), "1")
    with pytest.raises(cure_options.NotSizable, match=rf"{call.number}: .* is unpriced \(DARK: no price"):
        of(call)
    changes = {"amount_outstanding": D(0), "resolution": Resolution.MARKET}
    meet = calls.Move(verb=Verb.MEET, account_id=call.account_id, call_id=call.pk, changes=changes)
    calls.carry_out([meet], at=timezone.now(), actor=rows.SWEEPER)
    call.refresh_from_db()
    with pytest.raises(cure_options.NotSizable, match="is met: only an open call has options"):
        of(call)


def test_a_cushion_is_the_cash_for_most_of_the_worlds_to_come(aig):
    # in two worlds of ten AIG falls by 10 % to 45.00, in one by 20 % to 40.00: 1,400 less 500 of 1,350, less 1,000 of
    # 1,200; in the others 1,400 of 1,500
    (call,) = called(aig)

    def worlds(snap):
        row = snap.instruments.codes.tolist().index("AIG")
        made = []
        for price in [D(50)] * 7 + [D(45)] * 2 + [D(40)]:
            prices = snap.instruments.price.copy()
            prices[row] = price
            made.append((replace(snap.instruments, price=prices), snap.market))
        return made

    told = cure_options.tree(of(call, worlds=worlds))["this_call"]["cushions"]
    assert told == [
        {"regime": "house", "probability": "0.8", "cash": "450"},
        {"regime": "house", "probability": "0.95", "cash": "800"},
    ]


def test_until_the_deadline_the_chances_of_the_policy_say_the_worlds(aig):
    (call,) = called(aig)
    at = timezone.now()
    assert of(call, worlds=cure_options.until_due(call, at=at)).this_call.cushions == ()
    rows.policy("us_margin", {**world.securities(), "chances": {"worlds": 50, "volatilities": {"equity": "0.30"}}})
    likely, sure = of(call, worlds=cure_options.until_due(call, at=at)).this_call.cushions
    assert 100 < likely.cash < sure.cash < 1000  # two days of 30 % a year move 5,000 by some 130
    told = json.loads(printed(call.number, "--cushion", "--json"))["this_call"]["cushions"]
    assert [one["probability"] for one in told] == ["0.8", "0.95"]


# --- on the wire ------------------------------------------------------------------------------------------


def address(call, query=""):
    return f"/api/v1/calls/{call.pk}/cure-options/{query}"


def test_the_answer_is_as_described(aig):
    reader = house.bearer(house.key("read")[1])
    out = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)
    operation = yaml.safe_load(out.getvalue())["paths"]["/api/v1/calls/{id}/cure-options/"]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert {"have", "currency", "cushion"} <= {parameter["name"] for parameter in operation["parameters"]}
    first, _ = called(aig, world.HOUSE, world.EXCHANGE, borrowed="4000", amounts={"house": "500", "exchange": "250"})
    for query in ("", "?have=100", "?have=5000", "?currency=USD", "?cushion=true"):
        answer = reader.get(address(first, query))
        assert answer.status_code == 200, answer.content
        jsonschema.Draft202012Validator(schema).validate(answer.json())
    assert reader.get(address(first)).json()["all_calls"]["cash"][0]["value"] == "500"


def test_what_cannot_be_told_is_400_with_its_reason_and_who_is_not_there_404(aig):
    reader = house.bearer(house.key("read")[1])
    (call,) = called(aig)
    for query, field in (("?have=-1", "have"), ("?have=x", "have"), ("?currency=CHF", None)):
        refused = reader.get(address(call, query))
        assert refused.status_code == 400, refused.content
        assert refused.json()["errors"][0]["field"] == field
    rows.hold(call.account, rows.equity("DARK"), "1")
    assert "DARK: no price" in reader.get(address(call)).json()["errors"][0]["reason"]
    assert reader.get("/api/v1/calls/999999/cure-options/").status_code == 404
    assert Client().get(address(call)).status_code == 401
    assert reader.post(address(call)).status_code == 405


# --- the command ------------------------------------------------------------------------------------------


def printed(*arguments):
    out = StringIO()
    call_command("cure_options", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_prints_a_table_and_the_api_s_answer(aig):
    (call,) = called(aig)
    shown = printed(call.number, "--have", "60")
    assert "cash 60 USD and sale -3 AIG" in shown
    assert "142.86" not in shown  # 40 are left: 57.15 at 30 %
    assert "57.15" in shown
    told = json.loads(printed(str(call.pk), "--json"))
    assert told["this_call"]["trades"][0]["value"] == "350"
    assert "nothing more is needed" in printed(call.number, "--have", "100")


def test_the_command_refuses_what_it_does_not_know(aig):
    (call,) = called(aig)
    for said in ("MC-1", "MC-x", "0", "²"):
        with pytest.raises(CommandError, match="there is no call"):
            printed(said)
    with pytest.raises(CommandError, match="not an amount"):
        printed(call.number, "--have", "NaN")
    rows.hold(call.account, rows.equity("DARK"), "1")
    with pytest.raises(CommandError, match="DARK: no price"):
        printed(call.number)


def test_a_demand_is_what_the_call_says(aig):
    (call,) = called(aig)
    stated = replace(of(call).this_call.asked[0], excess=None)
    assert (stated.key, stated.regime, stated.cash, stated.market_cures) == (call.number, "house", 100, True)
