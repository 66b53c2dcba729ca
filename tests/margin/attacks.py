"""Attacks on plans, approvals, releases, orders and fills in plain SQL, each with what it threatens and what is said.

Written for the rows of `house` in test_approval_bolts: {name} is the number of a plan or of a person.
"""

from typing import NamedTuple

from tests.margin.liquidating import LATER

WHEN = f"'{LATER.isoformat()}'"


class Attack(NamedTuple):
    """`threat`: of the catalogue of faults; `said`: what the database says, as a pattern with {names} of the house."""

    threat: str
    sql: str
    said: str


APPROVE = (
    "INSERT INTO margin_approval (plan_id, content_hash, creator, approver_id, approved_at)"
    " SELECT p.id, p.content_hash, {creator}, {by}, " + WHEN + " FROM margin_plan p WHERE p.id = {plan}"
)
LET_OUT = (
    "INSERT INTO margin_release (plan_id, content_hash, creator, first_id, second_id, standing_id, venue, currency,"
    " notional, largest, released_at) SELECT p.id, {hash}, {creator}, {first}, {second}, {standing}, 'desk', 'USD', 0,"
    " 0, " + WHEN + " FROM margin_plan p WHERE p.id = {plan}"
)  # fmt: skip


def approve(plan: str, by: str, creator: str = "p.creator") -> str:
    return APPROVE.format(plan=f"{{{plan}}}", by=f"{{{by}}}", creator=creator)


def let_out(plan: str, first: str = "NULL", second: str = "NULL", **changed: str) -> str:
    told = {"creator": "p.creator", "hash": "p.content_hash", "standing": "NULL", **changed}
    return LET_OUT.format(plan=f"{{{plan}}}", first=first, second=second, **told)


OF = "(SELECT min(id) FROM margin_approval WHERE plan_id = {%s})"
SECOND_OF = "(SELECT max(id) FROM margin_approval WHERE plan_id = {%s})"
MAKE_APPROVED = "UPDATE margin_plan SET state = 'approved' WHERE id = {%s}"
ORDER = (
    "INSERT INTO margin_order (line_id, release_id, client_order_id, venue, quantity, currency, state, attempts, asks,"
    " cancel_reason, last_error, created_at, moved_at) SELECT l.id, p.id, 'MD' || l.id || '-' || left(p.content_hash,"
    " 12), coalesce((SELECT r.venue FROM margin_release r WHERE r.plan_id = p.id), 'desk'), l.quantity, 'USD', 'new',"
    " 0, 0, '', '', now(), now() FROM margin_planline l JOIN margin_plan p ON p.id = l.plan_id WHERE p.id = {%s}"
)
SOLD = (
    "INSERT INTO accounts_fill (account_id, instrument_id, source, external_reference, quantity, price, fee, traded_at)"
    " SELECT c.account_id, l.instrument_id, 'forged', '1', {quantity}, 50, 0, now() FROM margin_planline l"
    " JOIN margin_plan p ON p.id = l.plan_id JOIN margin_margincall c ON c.id = p.call_id WHERE p.id = {{{plan}}}; "
)
FILL = SOLD + (
    "INSERT INTO margin_planfill (line_id, fill_id, report_id) SELECT l.id, f.id, {report}"
    " FROM margin_planline l, accounts_fill f WHERE l.plan_id = {{{plan}}} AND f.source = 'forged'"
)
REPORT = (
    "INSERT INTO margin_orderreport (venue, report_id, client_order_id, order_id, told, at, quantity, price, fee,"
    " refers_to, venue_order_id, text) SELECT o.venue, 'forged', o.client_order_id, o.line_id, 'filled', now(), 9, 50,"
    " 0, '', '', '' FROM margin_order o WHERE o.release_id = {out}; "
)
FORGED = "(SELECT id FROM margin_orderreport WHERE report_id = 'forged')"
GOOD_FILL = REPORT + FILL.format(plan="out", quantity=-1, report=FORGED)
TAKEN_BACK = (
    "; INSERT INTO accounts_fill (account_id, instrument_id, source, external_reference, quantity, price, fee,"
    " traded_at, reverses_id) SELECT account_id, instrument_id, 'forged', '2', -quantity, price, fee, traded_at, id"
    " FROM accounts_fill WHERE source = 'forged'"
)
LIQUIDATED = (
    "UPDATE margin_margincall SET state = 'liquidated', closed_at = now(), resolution = 'liquidation', seq = seq + 1"
    " WHERE id = (SELECT call_id FROM margin_plan WHERE id = {out})"
)
PULL = (
    "INSERT INTO margin_killswitch (is_pulled, reason, pulled_by_id, pulled_at, cancels_working, release_reason)"
    " VALUES (true, 'stop', {ops}, now(), false, ''); "
)
LEAVE = (
    "UPDATE margin_order SET state = 'sending', token = gen_random_uuid(), lease_until = now() WHERE release_id = {out}"
)
CAP = (
    "INSERT INTO margin_liquidationcap (currency, per_order, per_account, per_day, reason, proposed_by_id, proposed_at)"
    " VALUES ('USD', %s, 'x', {sue}, now()); UPDATE margin_liquidationcap SET approved_by_id = {%s}, approved_at = "
    + WHEN + " WHERE currency = 'USD'"
)  # fmt: skip
STANDING = (
    "INSERT INTO margin_standingapproval (policy_version_id, regime, currency, per_order, per_account, per_day, reason,"
    " proposed_by_id, proposed_at, expires_at) SELECT c.policy_version_id, c.regime, c.currency, 900, 900, 900, 'x',"
    " {sue}, now(), now() FROM margin_margincall c JOIN margin_plan p ON p.call_id = c.id WHERE p.id = {system}; "
)
AGREED = "UPDATE margin_standingapproval SET approved_by_id = {%s}, approved_at = " + WHEN + "; "
ON_STANDING = let_out("system", standing="(SELECT max(id) FROM margin_standingapproval)")
NO_ROLE = "user {%s} may not approve plan {%s}: it takes an active Supervisor or Risk"
LOST = "plan {approved} was approved by user {sue}, who may no longer approve"
ZEROS = "repeat('0', 64)"


def denied(table: str) -> str:
    return f"permission denied for table {table}"


ATTACKS = {
    # approvals
    "approve one's own plan": Attack("L1", approve("own", "sue"), "plan {own} needs two people: its proposer cannot"),
    "approve one's own plan in another's name as creator": Attack(
        "L1", approve("own", "sue", creator="{rita}"), "plan {own} needs two people: its proposer cannot"
    ),
    "approve while lying that the system proposed": Attack(
        "L1", approve("own", "rita", creator="0"), r"approval_is_of_this_content.*\({own}, \w+, 0\) is not present"
    ),
    "approve the same plan twice": Attack(
        "L1", approve("system", "sue") + "; " + approve("system", "sue"),
        r"approver_approves_a_plan_once.*\({system}, {sue}\) already exists",
    ),
    "approve another content": Attack(
        "L2", approve("own", "rita").replace("p.content_hash", ZEROS),
        r"approval_is_of_this_content.*\({own}, 0+, {sue}\)",
    ),
    "approve without the role": Attack("L1", approve("own", "ops"), NO_ROLE % ("ops", "own")),
    "approve as who manages users": Attack("L10", approve("own", "adam"), NO_ROLE % ("adam", "own")),
    "approve as a checker with a right to manage users": Attack(
        "L10", approve("own", "keys"), NO_ROLE % ("keys", "own")
    ),
    "approve as a superuser": Attack("L10", approve("own", "boss"), NO_ROLE % ("boss", "own")),
    "approve after one left": Attack("L3", approve("own", "fired"), NO_ROLE % ("fired", "own")),
    "approve too late": Attack(
        "L8", approve("own", "rita").replace(WHEN, WHEN + "::timestamptz + interval '1 hour'"),
        "plan {own} is proposed and expires at",
    ),
    "take an approval back": Attack("L1", "DELETE FROM margin_approval", denied("margin_approval")),
    "hand an approval to another": Attack(
        "L1", "UPDATE margin_approval SET approver_id = {rita}", denied("margin_approval")
    ),
    # plans
    "edit an approved plan": Attack(
        "L2", "UPDATE margin_plan SET content = replace(content, '-1', '-100') WHERE id = {approved}",
        "plan {approved} is never edited",
    ),
    "edit a plan that nobody approved": Attack(
        "L2", "UPDATE margin_plan SET content = content || ' ' WHERE id = {own}", "plan {own} is never edited"
    ),
    "put an expiry off": Attack(
        "L8", "UPDATE margin_plan SET expires_at = now() WHERE id = {approved}", "plan {approved} is never edited"
    ),
    "edit a hash": Attack(
        "L2", "UPDATE margin_plan SET content_hash = " + ZEROS + " WHERE id = {approved}",
        "content_hash.*generated column",
    ),
    "change who proposed": Attack(
        "L1", "UPDATE margin_plan SET proposed_by_id = {rita} WHERE id = {own}", "plan {own} is never edited"
    ),
    "propose a plan that waits for days": Attack(
        "L8",
        "INSERT INTO margin_plan (call_id, state, content, proposed_by_id, proposed_at, expires_at, reason)"
        " SELECT call_id, 'proposed', content, {sue}, now(), now() + interval '25 hours', '' FROM margin_plan"
        " WHERE id = {own}",
        "plan_lives_a_day_at_most",
    ),
    "let an order have left earlier than it left": Attack(
        "L9",
        LEAVE + "; UPDATE margin_order SET lease_until = now() - interval '1 hour' WHERE release_id = {out}",
        "order {order} has its lease since it left",
    ),
    "take the wall clock away": Attack("L8", "DELETE FROM margin_wallclock", denied("margin_wallclock")),
    "forget a plan": Attack("L2", "DELETE FROM margin_plan WHERE id = {own}", denied("margin_plan")),
    "add a line to an approved plan": Attack(
        "L2", "INSERT INTO margin_planline (plan_id, instrument_id, quantity, price, fee)"
        " SELECT {approved}, min(id), -5, 50, 0 FROM market_instrument WHERE kind = 'cash'",
        "plan {approved} is no longer open to new lines",
    ),
    "say a line of a plan twice": Attack(
        "L2", "INSERT INTO margin_planline (plan_id, instrument_id, quantity, price, fee)"
        " SELECT plan_id, instrument_id, quantity, price, fee FROM margin_planline WHERE plan_id = {own}",
        r"plan_line_is_one_per_instrument.*\({own}, ",
    ),
    "call a plan approved": Attack(
        "L1", MAKE_APPROVED % "own", r"plan {own} needs 1 approval\(s\) by people who did not propose it and has 0"
    ),
    "call a plan of the system approved by one": Attack(
        "L1", approve("system", "sue") + "; " + MAKE_APPROVED % "system",
        r"plan {system} needs 2 approval\(s\) by people who did not propose it and has 1",
    ),
    # releases
    "release without approval": Attack("L1", let_out("own"), "plan {own} is proposed .* cannot be released now"),
    "release an approved plan on nobody's yes": Attack(
        "L1", let_out("approved"), r"release_needs_two_people.*row contains \({approved}, "
    ),
    "release a plan of the system on one approval": Attack(
        "L1", let_out("agreed", OF % "agreed"), r"release_needs_two_people.*row contains \({agreed}, "
    ),
    "release one person's yes as two": Attack(
        "L1", let_out("agreed", OF % "agreed", OF % "agreed"), r"release_needs_two_people.*row contains \({agreed}, "
    ),
    "release on another plan's approval": Attack(
        "L1", let_out("approved", OF % "out"), r"release_rests_on_its_first_approval.*, {approved}\) is not present"
    ),
    "release on a second approval of another plan": Attack(
        "L1", let_out("agreed", OF % "agreed", OF % "out"),
        r"release_rests_on_its_second_approval.*, {agreed}\) is not present",
    ),
    "release another content": Attack(
        "L2", let_out("approved", OF % "approved", hash=ZEROS), r"release_is_of_this_content.*\({approved}, 0+, "
    ),
    "release while lying about the creator": Attack(
        "L1", let_out("approved", OF % "approved", creator="{rita}"),
        r"release_is_of_this_content.*\({approved}, \w+, {rita}\)",
    ),
    "release twice": Attack("L4", let_out("out", OF % "out"), r"margin_release_pkey.*\({out}\) already exists"),
    "release on approval by a right since lost": Attack(
        "L3", "DELETE FROM auth_user_groups WHERE user_id = {sue}; " + let_out("approved", OF % "approved"), LOST
    ),
    "release on approval by who left": Attack(
        "L3", "UPDATE auth_user SET is_active = false WHERE id = {sue}; " + let_out("approved", OF % "approved"), LOST
    ),
    "release on approval by who now manages users": Attack(
        "L10", "INSERT INTO auth_user_user_permissions (user_id, permission_id) SELECT {sue}, id FROM auth_permission"
        " WHERE codename = 'add_user'; " + let_out("approved", OF % "approved"), LOST,
    ),
    "release on approval by who is now a superuser": Attack(
        "L10", "UPDATE auth_user SET is_superuser = true WHERE id = {sue}; " + let_out("approved", OF % "approved"),
        LOST,
    ),
    "release too late": Attack(
        "L8", let_out("approved", OF % "approved").replace(WHEN, WHEN + "::timestamptz + interval '1 hour'"),
        "plan {approved} is approved and expires at",
    ),
    "release while the switch is pulled": Attack(
        "L9", PULL + let_out("approved", OF % "approved"), "the kill switch is pulled: plan {approved} is not released"
    ),
    "release beyond the cap of an order": Attack(
        "L9", CAP % ("1, 900, 900", "rita") + "; " + let_out("approved", OF % "approved"),
        "plan {approved} has an order of 50.00 USD: the cap allows 1.0* an order",
    ),
    "release beyond the cap of an account": Attack(
        "L9", CAP % ("900, 1, 900", "rita") + "; " + let_out("approved", OF % "approved"),
        "plan {approved} would bring its account to 50.00 USD today: the cap allows 1",
    ),
    "release beyond the cap of a day": Attack(
        "L9", CAP % ("900, 900, 249", "rita") + "; " + let_out("approved", OF % "approved"),
        "plan {approved} would bring the day to 250.00 USD: the cap allows 249",
    ),
    "release beside another plan of the account": Attack(
        "L9", let_out("beside", OF % "beside"), "plan {beside} waits: plan {other} of the same account is approved"
    ),
    "release on a standing approval that nobody agreed to": Attack(
        "L1", STANDING + ON_STANDING, r"standing approval \d+ is not in force for plan {system}"
    ),
    "agree to one's own standing approval": Attack(
        "L1", STANDING + AGREED % "sue", "standing_approval_needs_two_people.*Failing row contains"
    ),
    "agree to a standing approval without the role": Attack(
        "L1", STANDING + AGREED % "ops", r"margin_standingapproval \d+: it takes two"
    ),
    "release on a standing approval that expired": Attack(
        "L8", STANDING + "UPDATE margin_standingapproval SET approved_by_id = {rita}, approved_at = " + WHEN
        + "::timestamptz + interval '1 minute'; " + ON_STANDING,
        r"standing approval \d+ is not in force for plan {system}",
    ),
    "release a plan of a person on a standing approval": Attack(
        "L1", STANDING + AGREED % "rita" + ON_STANDING.replace("{system}", "{own}"),
        r"release_needs_two_people.*row contains \({own}, ",
    ),
    "change a release": Attack("L4", "UPDATE margin_release SET venue = 'elsewhere'", denied("margin_release")),
    "undo a release": Attack("L4", "DELETE FROM margin_release", denied("margin_release")),
    # orders
    "order without a release": Attack(
        "L4", ORDER % "approved", r"margin_order_release.*\({approved}\) is not present in table \"margin_release\""
    ),
    "order a line twice": Attack("L4", ORDER % "out", r"margin_order_pkey.*\({line}\) already exists"),
    "order a line again in another's name": Attack(
        "L4", (ORDER % "out").replace("12), coalesce", "12) || 'b', coalesce"),
        "order {order}b is not what plan {out} was approved and released for",
    ),
    "order more": Attack(
        "L4", "UPDATE margin_order SET quantity = quantity * 2 WHERE release_id = {out}",
        "what order {order} asks for never changes",
    ),
    "lift an order's limit": Attack(
        "L9", "UPDATE margin_order SET limit_price = 1 WHERE release_id = {out}", "what order {order} asks for never"
    ),
    "send an order again": Attack(
        "L4", LEAVE + "; UPDATE margin_order SET state = 'sent' WHERE release_id = {out};"
        " UPDATE margin_order SET state = 'new' WHERE release_id = {out}",
        "order {order} cannot go from sent to new",
    ),
    "send an unknown order again unasked": Attack(
        "L5", LEAVE + "; UPDATE margin_order SET state = 'unknown' WHERE release_id = {out};"
        " UPDATE margin_order SET state = 'new' WHERE release_id = {out}",
        "order {order} cannot go from unknown to new",
    ),
    "send an unknown order again on an old answer": Attack(
        "L5", REPORT.replace("'filled'", "'never_heard'")
        + LEAVE + "; UPDATE margin_order SET state = 'unknown', asks = 1, asked_at = now() - interval '1 minute',"
        " moved_at = now() WHERE release_id = {out}; UPDATE margin_order SET state = 'new' WHERE release_id = {out}",
        "order {order} cannot go from unknown to new",
    ),
    "send a later slice first": Attack(
        "L9", LEAVE.replace("release_id = {out}", "line_id = {later}"),
        r"order MD{later}-\w+ waits: order MD{earlier}-\w+ of an earlier slice is new",
    ),
    "call an order filled": Attack(
        "L6", "UPDATE margin_order SET state = 'filled' WHERE release_id = {out}",
        "order {order} cannot go from new to filled",
    ),
    "send while the switch is pulled": Attack("L9", PULL + LEAVE, "order {order} must not leave: .* the kill switch"),
    "forget an order": Attack("L4", "DELETE FROM margin_order", denied("margin_order")),
    "forget a report": Attack("L6", REPORT + "DELETE FROM margin_orderreport", denied("margin_orderreport")),
    "change a report": Attack(
        "L6", REPORT + "UPDATE margin_orderreport SET quantity = 1", denied("margin_orderreport")
    ),
    # fills and the end
    "fill without a release": Attack(
        "L6", FILL.format(plan="approved", quantity=-1, report="NULL"), "plan {approved} is not released; nothing of it"
    ),
    "fill without a report": Attack(
        "L6", FILL.format(plan="out", quantity=-1, report="NULL"), r"fill \d+ has no report of the order of line {line}"
    ),
    "fill by another order's report": Attack(
        "L6", REPORT + FILL.format(plan="other", quantity=-1, report=FORGED),
        r"fill \d+ has no report of the order of line {other_line}",
    ),
    "fill more than the order": Attack(
        "L6", REPORT + FILL.format(plan="out", quantity=-2, report=FORGED),
        r"fill \d+ does not fit line {line} of plan {out}",
    ),
    "fill the other way": Attack(
        "L6", REPORT + FILL.format(plan="out", quantity=1, report=FORGED),
        r"fill \d+ does not fit line {line} of plan {out}",
    ),
    "call a call liquidated without fills": Attack(
        "L11", LIQUIDATED, "call {out_call} cannot be liquidated: no fill of a released plan stands"
    ),
    "call a call liquidated by a fill that was taken back": Attack(
        "L11", GOOD_FILL + TAKEN_BACK + "; " + LIQUIDATED, "call {out_call} cannot be liquidated: no fill of a released"
    ),
    "call a call liquidated by a sale that no order asked for": Attack(
        "L11", SOLD.format(plan="out", quantity=-1) + LIQUIDATED, "call {out_call} cannot be liquidated: no fill"
    ),
    "call a call liquidated that still misses something": Attack(
        "L11", GOOD_FILL + "; " + LIQUIDATED,
        r"call {out_call} cannot be liquidated: 200.0* is missing and no receivable says so",
    ),
    # what people decide
    "let the switch go alone": Attack(
        "L9", PULL + "UPDATE margin_killswitch SET is_pulled = false, release_asked_by_id = {sue},"
        " released_by_id = {sue}, released_at = now() WHERE is_pulled",
        "kill_switch_needs_two_people.*Failing row contains",
    ),
    "let the switch go without the role": Attack(
        "L9", PULL + "UPDATE margin_killswitch SET is_pulled = false, release_asked_by_id = {sue},"
        " released_by_id = {ops}, released_at = now() WHERE is_pulled",
        r"margin_killswitch \d+: it takes two who are active Supervisor or Risk",
    ),
    "forget that the switch was pulled": Attack("L9", "DELETE FROM margin_killswitch", denied("margin_killswitch")),
    "set a cap alone": Attack("L9", CAP % ("1, 1, 1", "sue"), "cap_needs_two_people.*Failing row contains"),
    "set a cap at one stroke": Attack(
        "L9", "INSERT INTO margin_liquidationcap (currency, per_order, per_account, per_day, reason, proposed_by_id,"
        " proposed_at, approved_by_id, approved_at) VALUES ('USD', 1, 1, 1, 'x', {sue}, now(), {rita}, now())",
        r"margin_liquidationcap \d+: one person says it first and another decides afterwards",
    ),
    "raise a cap that was agreed": Attack(
        "L9", CAP % ("1, 1, 1", "rita") + "; UPDATE margin_liquidationcap SET per_order = 900",
        r"margin_liquidationcap \d+: per_order was said already",
    ),
    "manage users and approve": Attack(
        "L10", "INSERT INTO auth_user_groups (user_id, group_id) SELECT {adam}, id FROM auth_group WHERE name = 'Risk'",
        "user {adam} cannot be Administrator and decide about clients as well",
    ),
    "make another role one that approves": Attack(
        "L10", "UPDATE auth_group SET name = 'Risk' WHERE name = 'Auditor'", denied("auth_group")
    ),
    "take the right to manage users from a role": Attack(
        "L10", "DELETE FROM auth_group_permissions", denied("auth_group_permissions")
    ),
    "call the right to manage users another": Attack(
        "L10", "UPDATE auth_permission SET codename = 'x' WHERE codename = 'add_user'", denied("auth_permission")
    ),
    "forget a change of rights": Attack("L10", "DELETE FROM margin_rightschange", denied("margin_rightschange")),
    "say of a change of rights that it was another": Attack(
        "L10", "UPDATE auth_user SET is_active = false WHERE id = {rita};"
        " UPDATE margin_rightschange SET subject = 'eve'",
        "margin_rightschange|a change of rights is kept as it was",
    ),
    # the bolts themselves
    "switch the bolts off for a session": Attack(
        "E21", "SET session_replication_role = replica", "permission denied to set parameter"
    ),
    "switch a bolt off": Attack(
        "E21", "ALTER TABLE margin_release DISABLE TRIGGER margin_release_is_due",
        "must be owner of table margin_release",
    ),
    "let everybody approve": Attack(
        "E21", "CREATE OR REPLACE FUNCTION margin_may_approve(person bigint) RETURNS boolean LANGUAGE sql"
        " AS 'SELECT true'",
        "permission denied for schema public|must be owner of function margin_may_approve",
    ),
    "empty the approvals": Attack("E21", "TRUNCATE margin_approval CASCADE", "permission denied for table"),
    "drop what binds an approval": Attack(
        "E21", "ALTER TABLE margin_approval DROP CONSTRAINT approval_is_of_this_content", "must be owner of table"
    ),
}  # fmt: skip
