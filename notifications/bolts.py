"""What the application role may do with the tables that the migration `0002_bolts` guards."""

APPEND_ONLY = {
    "notifications_notice": "SELECT, INSERT, UPDATE",
    "notifications_attempt": "SELECT, INSERT",
    "notifications_delivery": "SELECT, INSERT, UPDATE",
}
