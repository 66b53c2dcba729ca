"""A house in which every methodology and every part of a regime has a stored account, and one account has them all."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from accounts import positions
from accounts.models import Account
from margin.engine import adaptive
from margin.engine.methodologies import portfolio
from market import parameters
from market.models import FxRate, Instrument, ParameterSet, Rate
from tests.margin import options, rows, world
from tests.margin.world import CLOCK, MONDAY, quote

D = Decimal
Kind = ParameterSet.Kind
SEEN = "100000"  # every account is nearer to a call than that, so that the sweep keeps its figures
JULY, AUGUST = (datetime(2026, month, 20, 18, 30, tzinfo=UTC) for month in (7, 8))
MODEL = {"kind": "fhs", "option": "buffer"}
EVERY_KIND = ["equity", "etf", "crypto", "option", "future_option"]

CRUDE = {
    "currency": "USD",
    "range": {"amount": "5"},
    "tiers": [
        {"name": "near", "first": "2026-07", "last": "2026-07"},
        {"name": "far", "first": "2026-08", "last": "2026-12"},
    ],
    "spreads": [
        {
            "rate": "200",
            "legs": [{"of": "near", "ratio": "1", "side": "A"}, {"of": "far", "ratio": "1", "side": "B"}],
        }
    ],
}
STOXX = {"currency": "EUR", "range": {"amount": "400"}}
GOLD = {"currency": "USD", "outright": [{"on": "2026-01-02", "initial": "11000", "maintenance": "10000"}]}
DOCUMENTS = {
    "cme": (
        Kind.SPAN,
        {"on": "2026-03-02", "source": "Exchange", "commodities": {"CL": CRUDE, "GC": GOLD, "SX": STOXX}},
    ),
    "venue": (
        Kind.BRACKETS,
        {
            "source": "Venue, 2026-03-02",
            "tables": {"one": {"brackets": [{"floor": "0", "rate": "0.01", "leverage": "20"}]}},
            "kinds": {"perpetual": "one"},
        },
    ),
    "ratios": (
        Kind.COLLATERAL,
        {
            "source": "Ratios, 2026-03-02",
            "currency": "USD",
            "assets": {
                "USD": [{"ratio": "1"}],
                "EUR": [{"ratio": "1"}],
                "BTC": [{"upto": "1000000", "ratio": "0.95"}, {"ratio": "0.90"}],
            },
            "kinds": {"equity": [{"ratio": "0.90"}]},
        },
    ),
    "feeds": (Kind.CONFIDENCE, {"coins": {"ETH": {"spot_confidence": "1"}}}),
    "model": (
        Kind.SIMM,
        {
            "version": "test",
            "currency": "USD",
            "risk_classes": {
                name: {"buckets": "bucket", "delta": {"weights": {"*": {"*": "1"}}}} for name in ("rates", "fx")
            },
            "psi": {"rates": {"fx": "0"}},
        },
    ),
    "greeks": (
        Kind.SIMM,
        {
            "SWAP": [
                {"product_class": "RatesFX", "risk_class": risk, "kind": "delta", "qualifier": name, "amount": amount,
                 "bucket": "1"}
                for risk, name, amount in (("rates", "USD", "3000"), ("fx", "EUR", "-4000"))
            ]
        },
    ),
    "rates": (
        Kind.VOLATILITY,
        {"model": adaptive.Model(**MODEL).name, "on": "2026-03-01", "rates": {"BTC": "0.24"}},
    ),
}  # fmt: skip


def part(methodology: str, kinds: list[str], measure: str = "requirement", **terms: Any) -> dict[str, Any]:
    return {"methodology": methodology, "measure": measure, "kinds": kinds, "terms": terms}


def regime(name: str, methodology: str, measure: str, kinds: list[str], **more: Any) -> dict[str, Any]:
    stated = {"regime": name, "methodology": methodology, "measure": measure, "kinds": kinds, "clock": CLOCK}
    return {**stated, "terms": {}, "watch_rate": SEEN, **more}


def cross(kinds: list[str], *parts: dict[str, Any], name: str = "house", **more: Any) -> dict[str, Any]:
    return regime(name, "cross", "requirement", kinds, parts=list(parts), **more)


HOUSE = {**world.HOUSE, "watch_rate": SEEN}
NET_LIQUIDATING = {**options.NET_LIQUIDATING, "watch_rate": SEEN}
SPAN = part("span", ["future", "future_option"], parameters="cme")
TIERED = part("tiered", ["perpetual"], parameters="venue")
COLLATERAL = part("collateral", ["crypto"], "haircut", parameters="ratios", loan_rate="0.10", loan_rates={"USD": "0"})
VOLATILITY = part("volatility", ["crypto"], parameters="rates", model=MODEL, maintenance_rate="0.75")
SHARES = part("concentration", ["equity", "crypto", "option", "future", "perpetual"], "addition", share=[
    {"above": "0.10", "rate": "0.05"}
])  # fmt: skip
PORTFOLIO = part("portfolio", ["option", "equity", "etf"], **portfolio.RULE_BOOK)
BORROWING = {**COLLATERAL, "kinds": ["equity", "crypto"], "terms": {**COLLATERAL["terms"], "loan_rates": {}}}
COIN_PARTS = ["crypto", "option", "future", "perpetual"]
LADDER = {"warn": "0.60", "call": "0.70", "liquidate": "0.80", "restore": "0.65"}
ANNEX = {"currency": "USD", "threshold": "30000", "minimum_transfer": "100000", "rounding": "50000"}


def crypto_portfolio(measure: str) -> dict[str, Any]:
    coins = part("crypto_portfolio", COIN_PARTS, measure, coins=["BTC", "ETH"], feeds="feeds")
    return cross(["crypto", "option"], coins)


SECURITIES = {
    "reg_t": [HOUSE],
    "options": [{**HOUSE, "parts": [options.STRATEGIES]}],
    "concentrated": [{**HOUSE, "parts": [options.CONCENTRATION]}],
    "portfolio": [
        NET_LIQUIDATING,
        regime("minimum_equity", "portfolio", "minimum_equity", ["equity", "option"], terms=portfolio.RULE_BOOK),
    ],
    "span": [cross(["future_option"], SPAN, name="futures", restores_initial=True)],
    "cross": [cross(EVERY_KIND)],
    "variation": [regime("csa", "csa", "variation", ["otc"], terms=ANNEX)],
    "initial": [regime("csa", "csa", "initial", ["otc"], terms={"currency": "USD"})],
    "simm": [cross(["otc"], part("simm", ["otc"], parameters="model", sensitivities="greeks"))],
    "mixed": [cross(EVERY_KIND, PORTFOLIO, SPAN, TIERED, VOLATILITY, BORROWING, SHARES)],
}
CRYPTO = {
    "ltv": [regime("loan", "loan", "ltv", ["crypto"], terms=LADDER, at_or_beyond=True)],
    "health": [
        regime(
            "loan", "loan", "health", ["crypto"], at_or_beyond=True,
            terms={**LADDER, "haircuts": {"BTC": "0.20"}, "borrow_factors": {"USD": "0.80"}},
        )
    ],
    "tiered": [cross(["crypto"], TIERED)],
    "collateral": [cross(["crypto"], COLLATERAL | {"terms": {**COLLATERAL["terms"], "loan_rates": {}}})],
    "coins": [crypto_portfolio("requirement")],
    "standard": [crypto_portfolio("standard")],
    "volatility": [cross(["crypto"], VOLATILITY)],
}  # fmt: skip


def build() -> dict[str, Account]:
    """Instruments, prices, documents, policies and accounts; the accounts by the code of their policy, or their own."""
    _market()
    for name, (kind, document) in DOCUMENTS.items():
        parameters.record(name, document, kind=kind, effective_on=date(2026, 3, 1), source="test")
    for code, regimes in SECURITIES.items():
        rows.policy(code, world.securities(*regimes))
    for code, regimes in CRYPTO.items():
        rows.policy(code, world.crypto(*regimes))
    return _accounts()


def _market() -> None:
    options.quoted_xyz()
    rows.cash("USD")
    rows.cash("EUR")
    rows.equity("BTC-CASH", kind="cash", currency="BTC", minor_exponent=8)
    bitcoin, ether = listed("BTC", "crypto", "50000"), listed("ETH", "crypto", "3000")
    crude = {"multiplier": 1000, "terms": {"commodity": "CL"}, "may_be_negative": True}
    listed("CLN6", "future", "70", expires_at=JULY, **crude)
    listed("CLQ6", "future", "69", expires_at=AUGUST, **crude)
    written = {"underlying": Instrument.objects.get(code="CLN6"), "right": "call", "style": "european"}
    listed("CLN6-C75", "future_option", "2.5", multiplier=1000, strike=75, expires_at=JULY, **written)
    listed("GCQ6", "future", "2000", expires_at=AUGUST, multiplier=100, terms={"commodity": "GC"})
    listed("SXU6", "future", "5000", expires_at=AUGUST, multiplier=10, currency="EUR", terms={"commodity": "SX"})
    listed("BTCUSDT", "perpetual", "50000", underlying=bitcoin)
    listed("BTCUSD", "perpetual", "50000", underlying=bitcoin, currency="BTC", multiplier=100, inverse=True)
    listed("ETHUSD", "perpetual", "3100", underlying=ether)
    call = {"underlying": ether, "right": "call", "strike": 3200, "style": "european", "expires_at": JULY}
    listed("ETH-C3200", "option", "100", **call)
    paid_in_coins = {"currency": "BTC", "inverse": True, "underlying": bitcoin, "strike": 50000}
    listed("BTC-C50000", "option", "0.09", **{**call, **paid_in_coins})
    swap = {"asset_class": "rates", "notional": "1000000"}
    listed("SWAP", "otc", "1000", expires_at=datetime(2029, 6, 1, tzinfo=UTC), terms=swap)
    listed("LOSS", "otc", "-150000", expires_at=datetime(2029, 6, 1, tzinfo=UTC), terms=swap)
    FxRate.objects.create(base="EUR", quoted="USD", value=D("1.25"), source="test", as_of=MONDAY)
    for currency, rate in (("USD", "0.04"), ("EUR", "0.02")):
        Rate.objects.create(kind="risk_free", currency=currency, value=D(rate), source="test", effective_at=MONDAY)


def listed(code: str, kind: str, mark: str, **columns: Any) -> Instrument:
    made = rows.equity(code, kind=kind, **columns)
    quote(made, mark, MONDAY)
    return made


def _accounts() -> dict[str, Account]:
    return {
        "reg_t": account("reg_t", USD="-2600", XYZ="100"),
        "options": account("options", USD="-33000", XYZ="1000", XYZ_C55="-10", XYZ_P45="-5"),
        "concentrated": account("concentrated", USD="-65000", XYZ="2000"),
        "portfolio": account("portfolio", USD="-85100", XYZ="2000"),
        "span": account("span", USD="100000", CLN6=("10", "690000"), CLQ6=("-6", "-414000")),
        "outright": account("span", USD="15000", GCQ6=("2", "400000")),
        "cross": account("cross", USD="-800", EUR="200", XYZ="10"),
        "variation": account("variation", USD="1000", LOSS="1"),
        "initial": account("initial", USD="5000", SWAP="-1"),
        "simm": account("simm", USD="4000", SWAP="1"),
        "ltv": account("ltv", USD="-38000", BTC="1"),
        "health": account("health", USD="-30000", BTC="1"),
        "linear": account("tiered", USD="1000", BTCUSDT=("1", "48000")),
        "inverse": account("tiered", "BTC", BTC_CASH="0.1", BTCUSD=("1000", "-2.5")),
        "collateral": account("collateral", USD="-100000", BTC="30"),
        "coins": account("coins", USD="1000", ETHUSD=("1", "3090")),
        "standard": account("standard", USD="1000", ETH_C3200="-1"),
        "volatility": account("volatility", USD="-30000", BTC="1"),
        "black": account("span", USD="20000", CLN6_C75="-2", CLN6=("1", "70000")),
        "in coins": account("coins", USD="20000", BTC_C50000="-1"),
        "mixed": account(
            "mixed",
            USD="-20000",
            EUR="10000",
            BTC_CASH="0.2",
            XYZ="1000",
            XYZ_C55="-10",
            BTC="1",
            CLN6=("3", "207000"),
            SXU6=("1", "50000"),
            BTCUSD=("100", "-0.25"),
        ),
    }


def account(agreement: str, currency: str = "USD", **held: str | tuple[str, str]) -> Account:
    """An account with so many of each instrument, or (so many, their cost); XYZ_C55 stands for the code XYZ-C55."""
    made = rows.account(agreement=agreement, currency=currency)
    found = []
    for code, stated in held.items():
        instrument = Instrument.objects.get(code=code.replace("_", "-"))
        quantity, cost = (stated, None) if isinstance(stated, str) else stated
        found.append((made.pk, instrument.pk, D(quantity), None if cost is None else D(cost)))
    positions.write(found, cause="book", reference="test", effective_at=MONDAY)
    return made
