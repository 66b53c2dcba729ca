"""What the application role may do with the append-only tables of migration `0002_bolts`."""

APPEND_ONLY = dict.fromkeys(("market_quotefact", "market_close", "market_fxrate", "market_rate"), "SELECT, INSERT")
