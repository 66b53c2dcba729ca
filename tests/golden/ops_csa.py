"""Operations of `derivatives_cases.csv`: credit support and the schedule of initial margin."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from margin.engine.methodologies.csa import schedule, support

Inputs = Mapping[str, Any]
_CLASSES = {
    "IR": "rates",
    "CR": "credit",
    "FX": "fx",
    "EQ": "equity",
    "CM": "commodity",
    "CO": "commodity",
    "OT": "other",
}
_ZERO = Decimal(0)


def _decimal(number: Fraction) -> Decimal:
    return Decimal(number.numerator) / Decimal(number.denominator)


def _posted(inputs: Inputs) -> list[support.Posted]:
    names = ("haircut", "fx_haircut", "disputed")
    return [support.Posted(item["value"], *(item.get(name) or _ZERO for name in names)) for item in inputs["posted"]]


def csa_im_amount(inputs: Inputs) -> Inputs:
    held = support.held(
        _posted(inputs),
        prior_delivery=inputs.get("prior_delivery") or _ZERO,
        prior_return=inputs.get("prior_return") or _ZERO,
        disputed_transfer=inputs.get("disputed_transfer") or _ZERO,
        fx_haircut_twice=inputs.get("cdm_additional_alias", True),
    )
    required = support.initial_support_amount(
        margin=inputs["margin_amount"],
        threshold=inputs.get("threshold") or _ZERO,
        approach=inputs.get("approach") or "distinct",
        independent_amount=inputs.get("margin_ia") or _ZERO,
    )
    terms = support.Transfer(inputs.get("mta") or _ZERO, inputs.get("rounding") or _ZERO)
    if inputs.get("direction", "delivery") == "delivery":
        amount = support.delivery(required, held, terms, disputed=inputs.get("disputed_delivery") or _ZERO)
    else:
        amount = support.returned(required, held, terms, disputed=inputs.get("disputed_return") or _ZERO)
    return {"amount": amount}


def haircut_value(inputs: Inputs) -> Inputs:
    return {"adjusted_value": support.held(_posted(inputs))}


def vm_call(inputs: Inputs) -> Inputs:
    required = support.bilateral_support(
        value=inputs["value"],
        independent_amount=inputs.get("independent_amount") or _ZERO,
        threshold_receive=inputs.get("threshold_rcv") or _ZERO,
        threshold_pay=inputs.get("threshold_pay") or _ZERO,
    )
    call = support.bilateral_call(
        required,
        balance=inputs.get("balance") or _ZERO,
        under_way=inputs.get("open_margin") or _ZERO,
        minimum=inputs.get("mta") or _ZERO,
    )
    return {"credit_support": required, "call": call}


def grid(inputs: Inputs) -> Inputs:
    trades = [
        schedule.Trade(
            str(trade["id"]), _CLASSES[trade["class"]], trade["notional"], trade.get("pv") or _ZERO, trade["maturity"]
        )
        for trade in inputs["trades"]
    ]
    found = schedule.measure(trades, ratio=inputs.get("ngr"))
    return {
        "gross_im": found.gross,
        "gross_rc": found.gross_replacement,
        "net_rc": found.net_replacement,
        "ngr": _decimal(found.ratio),
        "schedule_im": _decimal(found.margin),
    }


OPERATIONS: dict[str, Callable[[Inputs], Inputs]] = {
    "csa_im_amount": csa_im_amount,
    "haircut_value": haircut_value,
    "vm_call": vm_call,
    "grid": grid,
}
