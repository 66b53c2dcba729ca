"""What is sent and what is answered, for the OpenAPI document."""

from typing import Any

from margin.hypothetical.examples import AMOUNT, COUNT, TEXT, TEXTS, many, record

CALL: dict[str, Any] = {
    **{"account": TEXT, "client": TEXT, "on_us": {"type": "boolean"}, "regime": TEXT, "currency": TEXT},
    "amount_called": AMOUNT,
}
SALE = record(instrument=TEXT, sold=AMOUNT, value=AMOUNT, price_before=AMOUNT, price_after=AMOUNT)
ROUND = record(
    **dict.fromkeys(("round", "calls", "new_calls", "calls_on_us"), COUNT),
    called=AMOUNT,
    paid_by_us=AMOUNT,
    listed=many(record(**CALL, is_new={"type": "boolean"})),
    sales=many(SALE),
    largest_move=AMOUNT,
)
LOSSES = many(record(code=TEXT, by_the_shock=AMOUNT, by_the_cascade=AMOUNT))
LOSERS = record(by_the_shock=AMOUNT, by_the_cascade=AMOUNT, accounts=LOSSES, clients=LOSSES, without_figures=COUNT)
CASCADE: dict[str, Any] = {
    "rounds": many(ROUND),
    "ended": TEXT,
    "total_traded": AMOUNT,
    "still_called": many(record(**CALL, reason=TEXT)),
    "calls": record(**dict.fromkeys(("accounts", "liquidated", "met", "escalated", "issued"), COUNT)),
    "price_path": {"type": "object", "additionalProperties": TEXTS},
}
DEBTOR = record(client=TEXT, owes=AMOUNT, pays=AMOUNT, defaults={"type": "boolean"})
CLEARING = record(
    debtors=many(DEBTOR),
    our_losses=AMOUNT,
    we_owe=AMOUNT,
    we_default={"type": "boolean"},
    left=AMOUNT,
    lost_by_counterparties=AMOUNT,
)
HELD = record(
    instrument=TEXT,
    accounts=COUNT,
    held=AMOUNT,
    depth=AMOUNT,
    held_by_depth=AMOUNT,
    impact_of_all=AMOUNT,
    shares=many(record(account=TEXT, share=AMOUNT)),
)
_WHEN = {"on": {"type": "string", "format": "date"}, "at": {"type": "string", "format": "date-time"}}
_BODY = record(
    accounts=COUNT,
    currency=TEXT,
    at_once=record(**CASCADE),
    losers=LOSERS,
    overlap=many(HELD),
    without_depth=many(record(instrument=TEXT, reason=TEXT)),
    clearing=CLEARING,
    staged=record(order=TEXT, stages=COUNT, **CASCADE, losers=LOSERS, clearing=CLEARING),
)
ANSWER = {**_BODY, "properties": {**_BODY["properties"], **_WHEN}}  # `on` of a book, `at` of stored accounts
QUESTION: dict[str, Any] = {
    "kind": "securities",
    "shock": "-0.10",
    "price_shocks": {"AIG": "-0.30"},
    "volatilities": {"AIG": "0.05"},
    "liquidity": {"USD": "250000"},
}
