"""What the application role may do with the append-only tables of migrations `0003_bolts` and `0012_documents`."""

DOCUMENTS = ("accounts_document", "accounts_documentreceipt")
APPEND_ONLY = dict.fromkeys(
    ("accounts_positionfact", "accounts_fill", "accounts_cashmovement", "accounts_adjustment", *DOCUMENTS),
    "SELECT, INSERT",
)
