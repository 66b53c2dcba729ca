"""Who may do what to a call in which state: written from the specification (workflow.md 3.3, 3.5), not from the code.

The table tests hold the door against it, and the state machine asks it what must be refused.
"""

from margin.workflow import Verb

ISSUED, ESCALATED = frozenset({"issued"}), frozenset({"escalated"})
OPEN = ISSUED | ESCALATED
CLOSED = frozenset({"met", "liquidated", "cancelled"})
ALWAYS = OPEN | CLOSED
ROLES = ("Operations", "Supervisor", "Risk", "Compliance", "Auditor", "Administrator", "")
STAFF = ("Operations", "Supervisor", "Risk", "Compliance")
ANALYST = ("Operations", "Supervisor")
CHECKER = ("Supervisor", "Risk")
CLIENT = "Client"

# verb → (roles of people who may, states in which it may happen)
TABLE: dict[Verb, tuple[tuple[str, ...], frozenset[str]]] = {
    Verb.NOTE: (STAFF, ALWAYS),
    Verb.CONTACT: (STAFF, ALWAYS),
    Verb.OPEN_TASK: (STAFF, ALWAYS),
    Verb.CLOSE_TASK: (STAFF, ALWAYS),
    Verb.MEET: (ANALYST, OPEN),
    Verb.ESCALATE: (CHECKER, ISSUED),
    Verb.CLAIM: ((*ANALYST, CLIENT), OPEN),
    Verb.PLEDGE: (ANALYST, OPEN),
    Verb.CHECK: (ANALYST, OPEN),
    Verb.DISPUTE: ((*ANALYST, "Compliance", CLIENT), OPEN),
    Verb.DECIDE: (("Supervisor", "Compliance"), OPEN),
    Verb.REQUEST_EXTENSION: (ANALYST, ISSUED),
    Verb.WITHDRAW_EXTENSION: (ANALYST, OPEN),
    Verb.EXTEND: (("Supervisor",), ISSUED),
    Verb.DENY_EXTENSION: (("Supervisor",), OPEN),
    Verb.REQUEST_HOLD: (ANALYST, OPEN),
    Verb.HOLD: (CHECKER, OPEN),
    Verb.DENY_HOLD: (CHECKER, OPEN),
    Verb.RELEASE: (CHECKER, OPEN),
    Verb.PROPOSE_ACCELERATION: (CHECKER, OPEN),
    Verb.ACCELERATE: (CHECKER, OPEN),
    Verb.DENY_ACCELERATION: (CHECKER, OPEN),
    Verb.PROPOSE_CANCEL: (ANALYST, OPEN),
    Verb.CANCEL: (("Supervisor", "Compliance"), OPEN),
    Verb.DROP_CANCEL: (("Supervisor", "Compliance"), OPEN),
    Verb.PROPOSE: (ANALYST, ESCALATED),
    Verb.APPROVE: (CHECKER, ESCALATED),
    Verb.REJECT: (CHECKER, OPEN),
    Verb.RELEASE_PLAN: (CHECKER, ESCALATED),
    Verb.CALL_OFF: (STAFF, ESCALATED),  # stopping takes one, whoever may pull the kill switch
    Verb.FILL: (ANALYST, ALWAYS),  # what happened at a venue is booked, however late
}

OFFICERS = ("Supervisor", "Compliance")
# What is done about an account without a call of it → the roles of people who may
RIGHTS: dict[str, tuple[str, ...]] = {
    "restrict": ("Supervisor", "Risk", "Compliance"),
    "waive": OFFICERS,
    "ask for a call": ANALYST,
    "issue a call": CHECKER,
    "release a storm": CHECKER,
    "confirm a book": ANALYST,
}


def may(verb: Verb, role: str) -> bool:
    return role in TABLE[verb][0]


def fits(verb: Verb, state: str) -> bool:
    return state in TABLE[verb][1]
