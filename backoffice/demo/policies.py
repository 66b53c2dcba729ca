"""The demonstration's policies: margin accounts, portfolio margin, loans, futures, coins, uncleared contracts."""

from typing import Any

from margin.engine.methodologies import option_strategies, portfolio
from margin.engine.methodologies.reg_t import RULE_BOOK

NEW_YORK = {"zone": "America/New_York", "calendar": "XNYS", "cut_off": "15:00", "unit": "business_days"}
STOCK = {"methodology": "reg_t", "kinds": ["equity", "etf", "bond"]}
OPTIONS = {
    "methodology": "option_strategies",
    "measure": "maintenance",
    "kinds": ["option", "equity", "etf"],
    "terms": option_strategies.RULE_BOOK,
}

LIFE = {"reminder_minutes": [1440, 120], "ladder_minutes": [60, 240], "hold_minutes": 1440, "claim_minutes": 120}
STORM = {"least_calls": 20, "accounts_rate": "0.10", "instrument_rate": "0.80", "minutes": 15}
# The chance of a call follows from closes; what has none moves by a stated volatility. Stated where no option is held:
# every world of a book with options prices them again, in every sweep.
CHANCES = {"worlds": 100, "volatilities": {"equity": "0.40", "etf": "0.20"}}
# What FINRA expects after the third liquidation within twelve months, and what a broker may do about late payers.
STRIKES = [
    {
        "name": "late payments",
        "kinds": ["late", "liquidated"],
        "steps": [{"at": 2, "effects": ["higher_requirements"], "days": 30}],
    },
    {
        "name": "liquidations",
        "kinds": ["liquidated"],
        "steps": [{"at": 3, "effects": ["funds_on_hand"], "days": 90}],
    },
]
US_MARGIN: dict[str, Any] = {
    "sweep": "securities",
    "calendar": "24/7",
    "fee_rate": "0.0005",
    "storm": STORM,
    "strikes": STRIKES,
    "regimes": [
        {
            **STOCK,
            "regime": "house",
            "measure": "house",
            "terms": {
                **RULE_BOOK,
                "house": {
                    "basic": {"long": "0.30", "short": "0.35"},
                    "sectors": {"technology": {"long": "0.35", "short": "0.40"}},
                },
            },
            "parts": [OPTIONS],
            "clock": {**NEW_YORK, "count": 2},
            "watch_rate": "1.25",
            "warning_rate": "1.10",
            "severe_rate": "0.20",
            **LIFE,
            "restrictions": {"on_issue": ["no_withdrawal"], "on_escalate": ["closing_only"]},
        },
        {
            **STOCK,
            "regime": "exchange",
            "measure": "exchange",
            "terms": RULE_BOOK,
            "parts": [OPTIONS],
            "clock": {"unit": "hours", "count": 48, "zone": "America/New_York"},
        },
        {
            **STOCK,
            "regime": "minimum_equity",
            "measure": "minimum_equity",
            "terms": RULE_BOOK,
            "clock": {**NEW_YORK, "count": 3},
        },
    ],
}
US_PORTFOLIO: dict[str, Any] = {
    "sweep": "securities",
    "calendar": "24/7",
    "fee_rate": "0.0005",
    "regimes": [
        {
            **STOCK,
            "regime": "portfolio",
            "measure": "exchange",
            "terms": RULE_BOOK,
            "parts": [
                {
                    "methodology": "portfolio",
                    "measure": "requirement",
                    "kinds": ["option", "equity", "etf"],
                    "terms": portfolio.RULE_BOOK,
                }
            ],
            "clock": {**NEW_YORK, "count": 3},
            "watch_rate": "1.50",
            "warning_rate": "1.10",
        },
        {
            "regime": "minimum_equity",
            "methodology": "portfolio",
            "measure": "minimum_equity",
            "kinds": ["option", "equity", "etf", "bond"],
            "terms": {**portfolio.RULE_BOOK, "tier": "monitored"},
            "clock": {**NEW_YORK, "count": 3},
        },
    ],
}
CRYPTO_LOAN: dict[str, Any] = {
    "sweep": "crypto",
    "fee_rate": "0.002",
    "plan_minutes": 15,
    "regimes": [
        {
            "regime": "loan",
            "methodology": "loan",
            "measure": "ltv",
            "kinds": ["crypto"],
            "terms": {"warn": "0.65", "call": "0.70", "liquidate": "0.80", "restore": "0.60"},
            "clock": {"unit": "hours", "count": 24},
            "at_or_beyond": True,
            "dwell_seconds": 300,
            "proposes": True,
            "ladder_minutes": [30],
            "restrictions": {"on_issue": ["no_withdrawal", "no_new_borrow"]},
        }
    ],
}


def _part(methodology: str, measure: str, kinds: list[str], **terms: Any) -> dict[str, Any]:
    return {"methodology": methodology, "measure": measure, "kinds": kinds, "terms": terms}


POOL = {"methodology": "cross", "measure": "requirement", "terms": {}}
SPAN = _part("span", "requirement", ["future", "future_option"], parameters="demo_exchange", initial_multiplier="1.10")
ADAPTIVE = _part(
    "volatility",
    "requirement",
    ["equity", "etf"],
    parameters="demo_rates",
    model={"kind": "fhs", "days": 10, "window": 500, "least": 250},
    least_rate="0.10",
)
US_FUTURES: dict[str, Any] = {
    "sweep": "securities",
    "calendar": "24/7",
    "regimes": [
        {
            **POOL,
            "regime": "futures",
            "kinds": ["future_option"],
            "parts": [SPAN],
            "clock": {**NEW_YORK, "zone": "America/Chicago", "count": 1, "cut_off": "12:00"},
            "restores_initial": True,
            "market_cures": False,
            "warning_rate": "1.05",
        }
    ],
}
CRYPTO_PERPETUALS: dict[str, Any] = {
    "sweep": "crypto",
    "fee_rate": "0.0006",
    "plan_minutes": 5,
    "regimes": [
        {
            **POOL,
            "regime": "exchange",
            "kinds": ["crypto"],
            "parts": [
                _part("tiered", "requirement", ["perpetual"], parameters="demo_brackets"),
                _part("collateral", "haircut", ["crypto"], parameters="demo_ratios", loan_rate="0.10"),
            ],
            "clock": {"unit": "minutes", "count": 30},
            "watch_rate": "1.50",
            "warning_rate": "1.20",
            "severe_rate": "0.50",
            "proposes": True,
        }
    ],
}
CRYPTO_OPTIONS: dict[str, Any] = {
    "sweep": "crypto",
    "fee_rate": "0.0006",
    "regimes": [
        {
            **POOL,
            "regime": "portfolio",
            "kinds": ["crypto", "option"],
            "parts": [
                _part(
                    "crypto_portfolio", "requirement", ["crypto", "option", "future", "perpetual"], coins=["BTC", "ETH"]
                )
            ],
            "clock": {"unit": "hours", "count": 4},
            "warning_rate": "1.20",
        }
    ],
}
ANNEX = {
    "currency": "USD",
    "threshold": "250000",
    "minimum_transfer": "100000",
    "rounding": "50000",
}
# By the notification time: the next business day; later: the one after.
NOTIFIED = {**NEW_YORK, "count": 1, "cut_off": "17:00", "base_cut_off": "13:00"}
CSA_VARIATION: dict[str, Any] = {
    "sweep": "securities",
    "calendar": "24/7",
    "regimes": [
        {
            "regime": "csa",
            "methodology": "csa",
            "measure": "variation",
            "kinds": ["cash", "bond", "otc"],
            "terms": ANNEX,
            "clock": NOTIFIED,
            "market_cures": False,
            "warns": False,
        }
    ],
}
CSA_INITIAL: dict[str, Any] = {
    "sweep": "securities",
    "calendar": "24/7",
    "regimes": [
        {
            **CSA_VARIATION["regimes"][0],
            "measure": "initial",
            "terms": {**ANNEX, "threshold": "0"},
        }
    ],
}
MIXED: dict[str, Any] = {
    "sweep": "securities",
    "calendar": "24/7",
    "fee_rate": "0.0005",
    "regimes": [
        {
            **POOL,
            "regime": "house",
            "kinds": ["equity", "etf", "crypto"],
            "parts": [
                ADAPTIVE,
                _part("span", "requirement", ["future"], parameters="demo_exchange", initial_multiplier="1.10"),
                _part("collateral", "haircut", ["crypto"], parameters="demo_ratios", loan_rate="0.05"),
            ],
            "clock": {**NEW_YORK, "count": 2},
            "watch_rate": "1.25",
            "reversal_minutes": 1440,
            "warning_rate": "1.10",
        }
    ],
}
ADAPTIVE_FUND: dict[str, Any] = {
    "sweep": "securities",
    "calendar": "24/7",
    "fee_rate": "0.0005",
    "chances": CHANCES,
    "regimes": [
        {
            **POOL,
            "regime": "house",
            "kinds": ["equity", "etf"],
            "parts": [ADAPTIVE],
            "clock": {**NEW_YORK, "count": 2},
            "watch_rate": "1.50",
            "warning_rate": "1.20",
        }
    ],
}
POLICIES = {
    "us_margin": US_MARGIN,
    "us_portfolio": US_PORTFOLIO,
    "crypto_loan": CRYPTO_LOAN,
    "us_futures": US_FUTURES,
    "crypto_perpetuals": CRYPTO_PERPETUALS,
    "crypto_options": CRYPTO_OPTIONS,
    "csa_variation": CSA_VARIATION,
    "csa_initial": CSA_INITIAL,
    "mixed": MIXED,
    "adaptive_fund": ADAPTIVE_FUND,
}
