"""Policies of futures, coins and uncleared contracts, right and wrong: what the schema and the code must both say."""

from typing import Any

Example = tuple[dict[str, Any], str, Any]  # a policy, the place in it that is changed, and the value it gets

GONE = object()  # as a value: the place is taken away


def part(methodology: str, measure: str, kinds: list[str], **terms: Any) -> dict[str, Any]:
    return {"methodology": methodology, "measure": measure, "kinds": kinds, "terms": terms}


SPAN = part("span", "requirement", ["future", "future_option"], parameters="exchange.futures")
TIERED = part("tiered", "requirement", ["perpetual"], parameters="venue.brackets")
COLLATERAL = part("collateral", "haircut", ["crypto"], parameters="venue.collateral", loan_rate="0.10")
CRYPTO = part("crypto_portfolio", "requirement", ["option", "future", "perpetual", "crypto"], coins=["BTC", "ETH"])
MODEL = {"kind": "fhs"}
VOLATILITY = part("volatility", "requirement", ["equity", "etf"], parameters="adaptive.equities", model=MODEL)
SIMM = part("simm", "requirement", ["otc"], parameters="model", sensitivities="sensitivities")
CONCENTRATION = part("concentration", "addition", ["future", "perpetual"])


def cross(*parts: dict[str, Any], kinds: tuple[str, ...] = ("cash",)) -> dict[str, Any]:
    """A policy of one regime under cross margin."""
    return {
        "sweep": "crypto",
        "regimes": [
            {
                "regime": "futures",
                "methodology": "cross",
                "measure": "requirement",
                "kinds": list(kinds),
                "terms": {},
                "clock": {"unit": "hours", "count": 4},
                "restores_initial": True,
                "parts": list(parts),
            }
        ],
    }


FUTURES = cross(SPAN, kinds=("future_option",))
COINS = cross(TIERED, COLLATERAL, kinds=("crypto",))
OPTIONS_ON_COINS = cross(CRYPTO, kinds=("option", "crypto"))
STOCKS = cross(VOLATILITY, kinds=("equity", "etf"))
CONTRACTS = cross(SIMM, kinds=("otc",))
ANNEX: dict[str, Any] = {
    "sweep": "securities",
    "regimes": [
        {
            "regime": "csa",
            "methodology": "csa",
            "measure": "variation",
            "kinds": ["cash", "bond", "otc"],
            "terms": {"currency": "USD", "threshold": "1000000", "minimum_transfer": "250000", "rounding": "10000"},
            "clock": {"unit": "hours", "count": 24},
        }
    ],
}
HEALTH: dict[str, Any] = {
    "sweep": "crypto",
    "regimes": [
        {
            "regime": "loan",
            "methodology": "loan",
            "measure": "health",
            "kinds": ["crypto"],
            "terms": {"warn": "0.80", "call": "0.90", "liquidate": "1", "restore": "0.75"},
            "clock": {"unit": "hours", "count": 24},
        }
    ],
}

TERMS = "regimes.0.terms"
PART = "regimes.0.parts.0"
RIGHT: dict[str, Example] = {
    "futures under the exchange's file": (FUTURES, f"{PART}.terms.max_age_days", 3),
    "a house that asks more than the exchange": (FUTURES, f"{PART}.terms.house", {"ES": "1.25"}),
    "a call that restores maintenance": (FUTURES, "regimes.0.restores_initial", False),
    "perpetuals with coins as collateral": (COINS, "fee_rate", "0.001"),
    "a leverage below the venue's": (COINS, f"{PART}.terms.leverage", "10"),
    "a rate by the coin that is owed": (COINS, "regimes.0.parts.1.terms.loan_rates", {"BTC": "0.20"}),
    "options on coins by scenarios": (OPTIONS_ON_COINS, f"{PART}.terms.stablecoin", "USDC"),
    "options on coins by standard margin": (OPTIONS_ON_COINS, f"{PART}.measure", "standard"),
    "one scenario of our own": (OPTIONS_ON_COINS, f"{PART}.terms.grid", {"scenarios": [{"price_factor": "0.5"}]}),
    "a token that moves with a coin": (OPTIONS_ON_COINS, f"{PART}.terms.collateral", {"STETH": {"coin": "ETH"}}),
    "a rate that follows volatility": (STOCKS, f"{PART}.terms.least_rate", "0.05"),
    "a fitted model with a floor of ten years": (STOCKS, f"{PART}.terms.model", {"kind": "garch", "option": "floor"}),
    "a buffer drawn less": (STOCKS, f"{PART}.terms.model.share", "0.30"),
    "no option, so that no share counts": (STOCKS, f"{PART}.terms.model", {**MODEL, "option": "none", "share": "0"}),
    "uncleared contracts by sensitivities": (CONTRACTS, f"{PART}.terms.multipliers", {"RatesFX": "1.5"}),
    "a surcharge on futures": (FUTURES, "regimes.0.parts", [SPAN, CONCENTRATION]),
    "a credit support annex": (ANNEX, f"{TERMS}.approach", "allocated"),
    "its initial margin by the schedule": (ANNEX, "regimes.0.measure", "initial"),
    "a schedule of our own": (ANNEX, f"{TERMS}.grid", {"fx": "0.08"}),
    "a loan by its health": (HEALTH, f"{TERMS}.borrow_factors", {"ETH": "0.95"}),
}
WRONG: dict[str, Example] = {
    "terms of cross margin itself": (FUTURES, TERMS, {"currency": "USD"}),
    "futures as a kind of cross margin": (FUTURES, "regimes.0.kinds", ["future"]),
    "another measure of cross margin": (FUTURES, "regimes.0.measure", "exchange"),
    "parts where none are taken": (ANNEX, "regimes.0.parts", [SIMM]),
    "no name of the exchange's file": (FUTURES, f"{PART}.terms.parameters", ""),
    "less than the exchange asks": (FUTURES, f"{PART}.terms.house_multiplier", "0.9"),
    "less than the exchange asks of one commodity": (FUTURES, f"{PART}.terms.house", {"ES": "0.9"}),
    "a file from tomorrow": (FUTURES, f"{PART}.terms.max_age_days", -1),
    "shares under the exchange's file": (FUTURES, f"{PART}.kinds", ["equity"]),
    "no name of the venue's tables": (COINS, f"{PART}.terms.parameters", GONE),
    "a leverage below one": (COINS, f"{PART}.terms.leverage", "0.5"),
    "options under brackets": (COINS, f"{PART}.kinds", ["option"]),
    "no rate for what is owed": (COINS, "regimes.0.parts.1.terms.loan_rate", GONE),
    "a negative rate for what is owed": (COINS, "regimes.0.parts.1.terms.loan_rates", {"BTC": "-0.1"}),
    "no coins": (OPTIONS_ON_COINS, f"{PART}.terms.coins", []),
    "a coin twice": (OPTIONS_ON_COINS, f"{PART}.terms.coins", ["BTC", "BTC"]),
    "no scenarios": (OPTIONS_ON_COINS, f"{PART}.terms.grid", {"scenarios": []}),
    "a profit that counts as a loss": (
        OPTIONS_ON_COINS,
        f"{PART}.terms.grid",
        {"scenarios": [{"price_factor": 1, "weight": "-1"}]},
    ),
    "a negative rate of standard margin": (OPTIONS_ON_COINS, f"{PART}.terms.standard", {"call_rate": "-0.1"}),
    "no model": (STOCKS, f"{PART}.terms.model", GONE),
    "no name of the rates": (STOCKS, f"{PART}.terms.parameters", ""),
    "an unknown model": (STOCKS, f"{PART}.terms.model", {"kind": "crystal_ball"}),
    "a certainty": (STOCKS, f"{PART}.terms.model.confidence", "1"),
    "a history of days": (STOCKS, f"{PART}.terms.model.least", 99),
    "a buffer below the law's": (STOCKS, f"{PART}.terms.model.share", "0.24"),
    "more stress than all": (STOCKS, f"{PART}.terms.model", {**MODEL, "option": "stress", "share": "1.01"}),
    "a floor above the whole value": (STOCKS, f"{PART}.terms.least_rate", "1.5"),
    "maintenance of nothing": (STOCKS, f"{PART}.terms.maintenance_rate", "0"),
    "an option at the rate of a stock": (STOCKS, f"{PART}.kinds", ["option"]),
    "no name of the sensitivities": (CONTRACTS, f"{PART}.terms.sensitivities", GONE),
    "an empty name of the sensitivities": (CONTRACTS, f"{PART}.terms.sensitivities", ""),
    "a multiplier that lowers": (CONTRACTS, f"{PART}.terms.multipliers", {"RatesFX": "0.5"}),
    "a negative add-on": (CONTRACTS, f"{PART}.terms.fixed", "-1"),
    "a surcharge as a requirement": (CONTRACTS, "regimes.0.parts", [{**CONCENTRATION, "measure": "requirement"}]),
    "an annex without a currency": (ANNEX, f"{TERMS}.currency", GONE),
    "an annex in no currency": (ANNEX, f"{TERMS}.currency", ""),
    "a negative threshold": (ANNEX, f"{TERMS}.threshold", "-1"),
    "an unknown approach": (ANNEX, f"{TERMS}.approach", "generous"),
    "two haircuts of three": (ANNEX, f"{TERMS}.debt_haircuts", {"us_government": ["0.01", "0.02"]}),
    "a haircut of more than all collateral": (ANNEX, f"{TERMS}.kind_haircuts", {"bond": "1.1"}),
    "two rates of the schedule": (ANNEX, f"{TERMS}.grid", {"rates": ["0.01", "0.02"]}),
    "a call of what the minimum leaves": (
        ANNEX,
        "regimes.0",
        {**ANNEX["regimes"][0], "at_or_beyond": True, "restore_rate": "1.1"},
    ),
    "a debt divided by nothing": (HEALTH, f"{TERMS}.borrow_factors", {"ETH": "0"}),
}
ONLY_READING_SEES: dict[str, Example] = {
    "two parts that charge the same": (
        FUTURES,
        "regimes.0.parts",
        [SPAN, part("tiered", "requirement", ["future"], parameters="venue.brackets")],
    ),
    "a pool that does not count what is charged": (COINS, "regimes.0.kinds", ["cash"]),
    "a history longer than its window": (STOCKS, f"{PART}.terms.model", {**MODEL, "window": 200}),
    "a token that moves with a coin of no interest": (
        OPTIONS_ON_COINS,
        f"{PART}.terms.collateral",
        {"STETH": {"coin": "SOL"}},
    ),
}
