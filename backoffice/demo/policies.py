"""The demonstration house's policies: US margin accounts, portfolio margin, and loans against coins."""

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

US_MARGIN: dict[str, Any] = {
    "sweep": "securities",
    "calendar": "24/7",
    "fee_rate": "0.0005",
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
        }
    ],
}
