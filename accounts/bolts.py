"""What the application role may do with the append-only tables of migration `0003_bolts`."""

APPEND_ONLY = dict.fromkeys(
    ("accounts_positionfact", "accounts_fill", "accounts_cashmovement", "accounts_adjustment"), "SELECT, INSERT"
)
