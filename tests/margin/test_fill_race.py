"""Fills that many report at once: the database counts them, whoever is first (the design's experiment E21)."""

import threading

import psycopg2

from margin import approvals
from margin.models import PlanFill
from tests.margin import rows
from tests.margin.liquidating import LATER, VENUE, escalated, plan_of

APPLY = (
    "WITH report AS (INSERT INTO margin_orderreport (venue, report_id, client_order_id, order_id, told, at, quantity,"
    " price, fee, refers_to, venue_order_id, text) SELECT o.venue, %(name)s, o.client_order_id, o.line_id, 'filled',"
    " now(), 1, 50, 0, '', '', '' FROM margin_order o WHERE o.line_id = %(line)s RETURNING id)"
    " SELECT id FROM report"
)
BOOK = (
    "WITH sold AS (INSERT INTO accounts_fill (account_id, instrument_id, source, external_reference, quantity, price,"
    " fee, traded_at) SELECT c.account_id, l.instrument_id, 'race', %(name)s, -1, 50, 0, now() FROM margin_planline l"
    " JOIN margin_plan p ON p.id = l.plan_id JOIN margin_margincall c ON c.id = p.call_id WHERE l.id = %(line)s"
    " RETURNING id) SELECT id FROM sold"
)
COUNT = "INSERT INTO margin_planfill (line_id, fill_id, report_id) VALUES (%s, %s, %s)"


def race(connected, line, names, outcomes):
    """Store each report, then book it, each in a transaction of its own."""
    for name in names:
        told = {"name": name, "line": line}
        try:
            with connected, connected.cursor() as cursor:
                cursor.execute(APPLY, told)
                (report,) = cursor.fetchone()
        except psycopg2.errors.UniqueViolation:
            outcomes.append("told twice")
            continue
        try:
            with connected, connected.cursor() as cursor:
                cursor.execute(BOOK, told)
                cursor.execute(COUNT, (line, cursor.fetchone()[0], report))
            outcomes.append("booked")
        except psycopg2.errors.RestrictViolation:
            outcomes.append("too much")


def test_of_seventy_fills_at_once_as_many_are_booked_as_were_ordered(committed_db, as_application):
    """E21: 50 executions of one each, 20 of them told twice, of an order of eleven: 11 booked, 20 and 39 refused."""
    ops, sue = rows.staff("ops", "Operations"), rows.staff("sue", "Supervisor")
    plan = plan_of(escalated(venue=VENUE), [rows.equity("XYZ")], by=ops.user_id, quantity=-11)
    approvals.approve(plan, at=LATER, actor=sue)
    line, outcomes = plan.lines.get().pk, []
    names = [f"f{number}" for number in range(50)]
    told = names + names[:20]
    threads = [threading.Thread(target=race, args=(as_application(), line, told[k::7], outcomes)) for k in range(7)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(outcomes) == ["booked"] * 11 + ["told twice"] * 20 + ["too much"] * 39
    assert sum(PlanFill.objects.filter(line=line).values_list("fill__quantity", flat=True)) == -11
