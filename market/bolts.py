"""What the application role may do with the append-only tables of the migrations that bolt them."""

APPEND_ONLY = dict.fromkeys(
    (
        *("market_quotefact", "market_close", "market_fxrate", "market_rate", "market_parameterset"),
        *("market_daychange", "market_settlementcycle"),
    ),
    "SELECT, INSERT",
)
