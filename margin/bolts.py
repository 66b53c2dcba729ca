"""What the application role may do with the tables that the bolting migrations guard."""

APPEND_ONLY = {
    "margin_chain": "SELECT",
    "margin_event": "SELECT",
    "margin_margincall": "SELECT, INSERT, UPDATE",
    "margin_policyversion": "SELECT, INSERT, UPDATE",
    "margin_plan": "SELECT, INSERT, UPDATE",
    "margin_planline": "SELECT, INSERT",
    "margin_planfill": "SELECT, INSERT",
    "margin_approval": "SELECT, INSERT",
    "margin_cure": "SELECT, INSERT, UPDATE",
    "margin_receivable": "SELECT, INSERT",
    "margin_assessment": "SELECT, INSERT",
    "margin_measure": "SELECT, INSERT",
    "margin_charge": "SELECT",
    "margin_chargelist": "SELECT, INSERT",
    "margin_wording": "SELECT, INSERT",
    "margin_smaentry": "SELECT, INSERT",
    "margin_restriction": "SELECT, INSERT, UPDATE",
    "margin_strike": "SELECT, INSERT",
    "margin_waiver": "SELECT, INSERT, UPDATE",
}
