"""What must hold of the rows at any time: each invariant is a query that returns the rows which break it.

The names follow the catalogue in docs/operations.md. `check` runs them all; nothing found is what is wanted.
"""

from collections.abc import Mapping
from typing import Any

from django.db import connection

# Every query selects one text column that names an offending row.
QUERIES: Mapping[str, str] = {
    "one open call per account, regime and key": """
        SELECT account_id || ' ' || regime || ' ' || deficiency_key FROM margin_margincall
        WHERE state IN ('issued', 'escalated') GROUP BY account_id, regime, deficiency_key HAVING count(*) > 1
    """,
    "a call's state is what its last event says": """
        SELECT 'call ' || c.id FROM margin_margincall c
        LEFT JOIN margin_event e ON e.account_id = c.account_id AND e.seq = c.seq AND e.call_id = c.id
        WHERE e.id IS NULL OR e.body::jsonb -> 'row' ->> 'state' <> c.state
           OR (e.body::jsonb -> 'row' ->> 'amount_outstanding')::numeric <> c.amount_outstanding
    """,
    "a call's states follow one another legally": """
        SELECT 'event ' || e.id FROM (
            SELECT id, body::jsonb ->> 'from' AS before, body::jsonb -> 'row' ->> 'state' AS after,
                   lag(body::jsonb -> 'row' ->> 'state') OVER (PARTITION BY call_id ORDER BY seq) AS last
            FROM margin_event WHERE call_id IS NOT NULL AND body::jsonb ? 'row'
        ) e
        WHERE e.before IS DISTINCT FROM e.last OR (e.last IS NULL AND e.after <> 'issued')
    """,
    "a liquidated call was escalated before and has a fill": """
        SELECT 'call ' || c.id FROM margin_margincall c WHERE c.state = 'liquidated' AND (
            NOT EXISTS (SELECT FROM margin_event e WHERE e.call_id = c.id AND e.kind = 'call.escalated')
            OR NOT EXISTS (SELECT FROM margin_planfill f JOIN margin_planline l ON l.id = f.line_id
                           JOIN margin_plan p ON p.id = l.plan_id WHERE p.call_id = c.id))
    """,
    "a met call has nothing outstanding": """
        SELECT 'call ' || id FROM margin_margincall WHERE state = 'met' AND amount_outstanding > tolerance
    """,
    "a cancelled call has two people": """
        SELECT 'call ' || c.id FROM margin_margincall c WHERE c.state = 'cancelled' AND NOT EXISTS (
            SELECT FROM margin_event e WHERE e.call_id = c.id AND e.kind = 'call.cancelled'
              AND e.body::jsonb -> 'details' ->> 'proposed_by' <> e.body::jsonb ->> 'actor')
    """,
    "a call escalated by deadline was due and its client was told": """
        SELECT 'call ' || id FROM margin_margincall
        WHERE escalation_cause = 'deadline' AND (notified_at IS NULL OR escalated_at < due_at)
    """,
    "a call comes from a priced assessment in deficit": """
        SELECT 'call ' || c.id FROM margin_margincall c JOIN margin_assessment a ON a.id = c.assessment_id
        LEFT JOIN margin_measure m ON m.assessment_id = a.id AND m.regime = c.regime
        WHERE a.status <> 'priced' OR m.id IS NULL OR m.deficit <= 0
    """,
    "the charges of a measure add up to its requirement": """
        SELECT 'measure ' || m.id FROM margin_measure m JOIN margin_charge g ON g.measure_id = m.id
        GROUP BY m.id, m.requirement HAVING m.requirement - sum(g.amount) NOT BETWEEN 0 AND 0.01
    """,
    "a sweep accounts for every eligible account": """
        SELECT 'sweep ' || id FROM margin_sweep WHERE state = 'complete' AND eligible <> evaluated + unpriced
    """,
    "no sweep stays at work for an hour": """
        SELECT 'sweep ' || id FROM margin_sweep s WHERE state = 'running'
          AND EXISTS (SELECT FROM margin_sweep later WHERE later.kind = s.kind AND later.state = 'complete'
                      AND later.slot_at > s.slot_at + interval '1 hour')
    """,
    "every event that needs a notice has one for each recipient": """
        SELECT 'event ' || e.id FROM margin_event e
        WHERE e.kind IN ('call.issued', 'call.escalated', 'call.met', 'call.cancelled', 'call.liquidated')
          AND e.recorded_at < clock_timestamp() - interval '10 minutes'
          AND EXISTS (SELECT FROM notifications_horizon)
          AND NOT EXISTS (SELECT FROM notifications_notice n WHERE n.event_id = e.id)
    """,
    "a notice goes to a contact of the account's own client": """
        SELECT 'notice ' || n.id FROM notifications_notice n JOIN margin_event e ON e.id = n.event_id
        JOIN accounts_account a ON a.id = e.account_id JOIN accounts_contact c ON c.id = n.contact_id
        WHERE c.client_id <> a.client_id
    """,
    "a position is the sum of its changes": """
        SELECT 'account ' || coalesce(p.account_id, f.account_id) || ' instrument '
            || coalesce(p.instrument_id, f.instrument_id)
        FROM accounts_position p FULL JOIN (
            SELECT account_id, instrument_id, sum(change) AS total FROM accounts_positionfact GROUP BY 1, 2
        ) f ON f.account_id = p.account_id AND f.instrument_id = p.instrument_id
        WHERE coalesce(p.quantity, 0) <> coalesce(f.total, 0)
    """,
    "a current quote is its instrument's newest fact": """
        SELECT 'instrument ' || q.instrument_id FROM market_quote q JOIN market_quotefact f ON f.id = q.fact_id
        WHERE (f.instrument_id, f.as_of, f.mark) IS DISTINCT FROM (q.instrument_id, q.as_of, q.mark)
    """,
    "a restriction says what its events say": """
        SELECT 'restriction ' || r.id FROM margin_restriction r
        LEFT JOIN margin_event p
            ON p.account_id = r.account_id AND p.seq = r.placed_seq AND p.kind = 'restriction.placed'
        LEFT JOIN margin_event l ON l.account_id = r.account_id AND l.seq = r.seq AND l.kind = 'restriction.lifted'
        WHERE p.id IS NULL OR p.at <> r.starts_at OR p.body::jsonb -> 'details' ->> 'effect' <> r.effect
           OR (r.lifted_at IS NULL) <> (l.id IS NULL) OR l.at <> r.lifted_at
    """,
    "every restriction and strike of the history is on its register": """
        SELECT 'event ' || e.id FROM margin_event e WHERE e.kind IN ('restriction.placed', 'strike.recorded')
          AND NOT EXISTS (SELECT FROM margin_restriction r WHERE r.account_id = e.account_id AND r.placed_seq = e.seq)
          AND NOT EXISTS (SELECT FROM margin_strike s WHERE s.account_id = e.account_id AND s.seq = e.seq)
    """,
    "a restriction of a call that is over is lifted within the hour": """
        SELECT 'restriction ' || r.id FROM margin_restriction r JOIN margin_margincall c ON c.id = r.call_id
        WHERE r.lifted_at IS NULL AND r.ends_at IS NULL AND c.closed_at < clock_timestamp() - interval '1 hour'
    """,
    "a waiver has two people": """
        SELECT 'waiver ' || id FROM margin_waiver WHERE state <> 'open' AND decided_by_id = proposed_by_id
    """,
    "an approved plan has enough approvals by others": """
        SELECT 'plan ' || p.id FROM margin_plan p WHERE p.state IN ('approved', 'done') AND (
            SELECT count(DISTINCT a.approver_id) FROM margin_approval a
            WHERE a.plan_id = p.id AND a.approver_id IS DISTINCT FROM p.proposed_by_id
        ) < CASE WHEN p.proposed_by_id IS NULL THEN 2 ELSE 1 END
    """,
}
NUMERIC_COLUMNS = """
    SELECT c.table_name, c.column_name FROM information_schema.columns c
    JOIN information_schema.tables t USING (table_schema, table_name)
    WHERE c.table_schema = current_schema() AND c.data_type = 'numeric' AND t.table_type = 'BASE TABLE'
      AND c.table_name ~ '^(market|accounts|margin|notifications)_'
"""
MOST_ROWS = 20


def check() -> dict[str, list[str]]:
    """Invariant → the first rows that break it; every invariant is listed, an empty list is good."""
    with connection.cursor() as cursor:
        broken = {}
        for name, query in QUERIES.items():
            cursor.execute(f"SELECT * FROM ({query}) broken LIMIT {MOST_ROWS}")  # noqa: S608 - text of ours
            broken[name] = [row[0] for row in cursor.fetchall()]
        broken["no numeric column holds NaN"] = _not_numbers(cursor)
    return broken


def _not_numbers(cursor: Any) -> list[str]:
    """New columns join by themselves: the catalogue is asked."""
    cursor.execute(NUMERIC_COLUMNS)
    found = []
    for table, column in cursor.fetchall():
        cursor.execute(f"SELECT count(*) FROM {table} WHERE {column} = 'NaN'")  # noqa: S608
        count = cursor.fetchone()[0]
        if count:
            found.append(f"{table}.{column}: {count} rows")
    return found
