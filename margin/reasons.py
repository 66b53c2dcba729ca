"""Coded reasons: what staff and clients choose from, so that registers can be counted. Code → what it says."""

EXTENSION = {
    "late_settlement": "Funds or securities are late through no fault of the client",
    "bank_transfer": "A bank transfer is under way and proven",
    "mail_delay": "Cheque or documents are in the mail",
    "securities_transfer": "A transfer of securities from another firm is under way",
    "foreign_holiday": "The client's bank or depository was closed",
    "death_or_illness": "Death or serious illness of the client",
    "broker_error": "An error of the firm",
    "dispute": "The clock stood while a dispute was decided",
    "other": "Another reason, stated in words",
}
HOLD = {
    "payment_check": "A payment is being traced",
    "price_check": "A price is being checked",
    "position_check": "Positions are being reconciled",
    "client_contact": "The client is being spoken to",
    "legal": "Legal or compliance question",
    "other": "Another reason, stated in words",
}
ACCELERATION = {
    "volatility": "The market moves too fast to wait",
    "credit": "Doubts about the client's credit",
    "concentration": "The position is concentrated or illiquid",
    "other": "Another reason, stated in words",
}
# The four retraction reasons of FpML's code list, and the price batch of a wrong feed.
RETRACTION = {
    "newer_calculation": "A newer calculation replaces it",
    "wrong_party": "It was made to the wrong party",
    "pending_collateral": "Collateral under way covers it",
    "revised_terms": "The terms were revised",
    "bad_price": "It rests on a wrong price",
    "bad_position": "It rests on a wrong position",
    "other": "Another reason, stated in words",
}
# Dispute reasons after FpML's code list for margin call responses.
DISPUTE = {
    "mark_to_market": "The valuation is disputed",
    "valuation_date": "The valuation date is disputed",
    "position": "A position is wrong or missing",
    "requirement": "The requirement is disputed",
    "threshold": "Threshold or exemption",
    "minimum_transfer": "Minimum transfer amount",
    "rounding": "Rounding",
    "held_collateral": "Collateral held is not counted",
    "pending_collateral": "Collateral under way is not counted",
    "party_reference": "Not the party or account concerned",
    "not_agreed": "The agreement does not provide for it",
    "other": "Another reason, stated in words",
}
CHANNELS = {
    "phone": "Telephone",
    "email": "E-mail written by hand",
    "meeting": "In person",
    "letter": "Letter",
    "chat": "Message",
}
OUTCOMES = {
    "reached": "Spoke with the client",
    "message": "Left a message",
    "no_answer": "No answer",
    "wrong_number": "The number is wrong",
    "refused": "The client declines",
}
METHODS = {
    "wire": "Wire transfer",
    "instant": "Instant payment",
    "ach": "ACH or direct debit",
    "cheque": "Cheque",
    "sweep": "Cash swept from the client's core account",
    "transfer": "Transfer of securities",
    "on_chain": "Transfer on chain",
    "internal": "From another account here",
}
