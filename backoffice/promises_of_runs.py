"""What the rows of sweeps, notices and books keep, one query each: part of `backoffice.invariants`.

The ids are those of docs/operations.md. Every query selects one text column that names an offending row; `{at}` is the
instant at which one asks.
"""

from collections.abc import Mapping

SWEEPS: Mapping[str, str] = {
    "I11 a sweep saw every account that it was asked for": """
        SELECT 'sweep ' || s.sweep_id || ' account ' || asked.id FROM margin_shard s
        CROSS JOIN LATERAL jsonb_array_elements_text(
            CASE jsonb_typeof(s.account_ids) WHEN 'array' THEN s.account_ids ELSE '[]' END) asked(id)
        WHERE s.done_at IS NOT NULL AND NOT EXISTS (
            SELECT FROM margin_assessment a WHERE a.sweep_id = s.sweep_id AND a.account_id = asked.id::bigint)
    """,
    "I11 a slot has one sweep, and an account one assessment in it": """
        SELECT 'sweep ' || min(id) FROM margin_sweep GROUP BY kind, slot_at HAVING count(*) > 1
        UNION ALL
        SELECT 'assessment ' || min(id) FROM margin_assessment GROUP BY sweep_id, account_id HAVING count(*) > 1
    """,
    "I12 a complete sweep accounts for every eligible account": """
        SELECT 'sweep ' || s.id FROM margin_sweep s WHERE s.state = 'complete' AND (
            s.eligible <> s.evaluated + s.unpriced
            OR EXISTS (SELECT FROM margin_shard p WHERE p.sweep_id = s.id AND p.done_at IS NULL))
    """,
    "I12 no sweep stays at work for an hour": """
        SELECT 'sweep ' || id FROM margin_sweep s WHERE state = 'running' AND at < {at} - interval '1 hour'
          AND EXISTS (SELECT FROM margin_sweep later WHERE later.kind = s.kind AND later.state = 'complete'
                      AND later.slot_at > s.slot_at + interval '1 hour')
    """,
    "I13 a kind without a complete sweep for an hour of session has its alarm": """
        SELECT DISTINCT 'kind ' || (v.terms ->> 'sweep') FROM (
            SELECT DISTINCT ON (policy_id) policy_id, terms FROM margin_policyversion
            WHERE approved_at <= {at} - interval '1 hour' AND effective_at <= {at} - interval '1 hour'
            ORDER BY policy_id, effective_at DESC, number DESC
        ) v
        WHERE (coalesce(v.terms ->> 'calendar', '') = '' OR EXISTS (
                SELECT FROM market_session o JOIN market_calendar k ON k.id = o.calendar_id
                WHERE k.code = v.terms ->> 'calendar' AND o.closes_at > {at}
                  AND o.opens_at <= {at} - interval '1 hour'))
          AND NOT EXISTS (SELECT FROM margin_sweep s WHERE s.kind = v.terms ->> 'sweep' AND s.state = 'complete'
                          AND s.slot_at > {at} - interval '1 hour')
          AND NOT EXISTS (SELECT FROM margin_alarm l WHERE l.kind = 'sweep_late' AND l.subject = v.terms ->> 'sweep'
                          AND l.cleared_at IS NULL)
    """,
    "the charges of a measure add up to its requirement": """
        SELECT 'measure ' || m.id FROM margin_measure m JOIN margin_charge g ON g.measure_id = m.id
        GROUP BY m.id, m.requirement HAVING m.requirement - sum(g.amount) NOT BETWEEN 0 AND 0.01
    """,
}
RANKS = "ARRAY['queued', 'sent', 'deferred', 'delivered', 'opened', 'complained', 'failed', 'rejected', 'bounced']"
NOTICES: Mapping[str, str] = {
    "I14 every event that needs a notice has one": """
        SELECT 'event ' || e.id FROM margin_event e
        WHERE e.kind IN ('call.issued', 'call.escalated', 'call.met', 'call.cancelled', 'call.liquidated')
          AND e.recorded_at < clock_timestamp() - interval '10 minutes'
          AND EXISTS (SELECT FROM notifications_horizon)
          AND NOT EXISTS (SELECT FROM notifications_notice n WHERE n.event_id = e.id)
    """,
    "I14 an event has one notice for each recipient": """
        SELECT 'event ' || event_id FROM notifications_notice GROUP BY event_id, contact_id HAVING count(*) > 1
    """,
    "I15 a notice's state is the highest that was reported": f"""
        SELECT 'notice ' || n.id FROM notifications_notice n
        JOIN notifications_delivery d ON d.notice_id = n.id AND d.recorded_at >= n.send_after
        WHERE array_position({RANKS}, n.state::text)
            < array_position({RANKS}, CASE d.state WHEN 'clicked' THEN 'opened' ELSE d.state::text END)
    """,  # noqa: S608 - text of ours
    "I15 a notice that went out says so": """
        SELECT 'notice ' || n.id FROM notifications_notice n
        WHERE n.sent_at IS NULL AND EXISTS (
            SELECT FROM notifications_attempt t WHERE t.notice_id = n.id AND t.outcome = 'sent')
           OR n.state IN ('sent', 'delivered', 'opened') AND n.sent_at IS NULL
    """,
    "I16 a notice is sent once, unless a try ended in silence": """
        SELECT 'notice ' || n.id FROM notifications_notice n JOIN notifications_attempt t ON t.notice_id = n.id
        GROUP BY n.id, n.attempts
        HAVING count(*) FILTER (WHERE t.outcome = 'sent')
             > 1 + count(*) FILTER (WHERE t.outcome = 'unknown') + greatest(0, n.attempts - count(*))
    """,
    "I17 a notice goes to a contact of the account's own client": """
        SELECT 'notice ' || n.id FROM notifications_notice n JOIN margin_event e ON e.id = n.event_id
        JOIN accounts_account a ON a.id = e.account_id JOIN accounts_contact c ON c.id = n.contact_id
        WHERE c.client_id <> a.client_id
    """,
    "I17 a notice names its own account": """
        SELECT 'notice ' || n.id FROM notifications_notice n JOIN margin_event e ON e.id = n.event_id
        JOIN accounts_account a ON a.id = e.account_id
        CROSS JOIN LATERAL (
            SELECT '•••' || right(a.code, CASE WHEN length(a.code) > 4 THEN 4 ELSE 2 END) AS own
        ) masked
        WHERE n.text <> '' AND position(masked.own IN n.text) = 0
    """,
    "I18 no notice overtakes a more urgent one that was due": """
        SELECT 'notice ' || n.id FROM notifications_notice n
        WHERE n.state = 'queued' AND n.urgent_by IS NOT NULL AND EXISTS (
            SELECT FROM notifications_attempt t JOIN notifications_notice x ON x.id = t.notice_id
            WHERE t.at > n.send_after + interval '1 minute' AND t.at > n.prepared_at + interval '1 minute'
              AND (n.lease_until IS NULL OR n.lease_until < t.at - interval '1 minute')
              AND (x.urgent_by > n.urgent_by OR x.urgent_by IS NULL))
    """,
}
BOOKS: Mapping[str, str] = {
    "I23 a position is the sum of its changes": """
        SELECT 'account ' || coalesce(p.account_id, f.account_id) || ' instrument '
            || coalesce(p.instrument_id, f.instrument_id)
        FROM accounts_position p FULL JOIN (
            SELECT account_id, instrument_id, sum(change) AS total FROM accounts_positionfact GROUP BY 1, 2
        ) f ON f.account_id = p.account_id AND f.instrument_id = p.instrument_id
        WHERE coalesce(p.quantity, 0) <> coalesce(f.total, 0)
    """,
    "I23 a movement of cash is booked once": """
        SELECT 'movement ' || m.id FROM accounts_cashmovement m
        LEFT JOIN accounts_positionfact f ON f.account_id = m.account_id AND f.instrument_id = m.currency_id
            AND f.cause = 'cash' AND f.reference = 'cash:' || m.source || ':' || m.external_reference
        GROUP BY m.id, m.amount HAVING count(f.id) <> 1 OR sum(f.change) IS DISTINCT FROM m.amount
        UNION ALL
        SELECT 'reference ' || min(external_reference) FROM accounts_cashmovement
        GROUP BY source, external_reference HAVING count(*) > 1
    """,
    "I23 a fill is booked once": """
        SELECT 'fill ' || t.id FROM accounts_fill t WHERE (
            SELECT count(*) FROM accounts_positionfact f
            WHERE f.account_id = t.account_id AND f.instrument_id = t.instrument_id AND f.cause = 'fill'
              AND f.reference = 'fill:' || t.source || ':' || t.external_reference) > 1
        UNION ALL
        SELECT 'reference ' || min(external_reference) FROM accounts_fill
        GROUP BY source, external_reference HAVING count(*) > 1
    """,
    "I25 no sweep went by a price that was too old": """
        SELECT 'sweep ' || s.id || ' instrument ' || i.id FROM (
            SELECT DISTINCT ON (kind) id, kind, at FROM margin_sweep ORDER BY kind, id DESC
        ) s CROSS JOIN market_instrument i CROSS JOIN LATERAL (
            SELECT p.mark, p.as_of, p.refused FROM margin_sweepprice p JOIN margin_sweep o ON o.id = p.sweep_id
            WHERE p.instrument_id = i.id AND o.kind = s.kind AND p.sweep_id <= s.id ORDER BY p.sweep_id DESC LIMIT 1
        ) p
        WHERE p.refused = '' AND p.mark IS NOT NULL AND i.calendar_id IS NULL
          AND p.as_of < s.at - make_interval(secs => i.max_age_seconds)
    """,
    "I25 no sweep went by a price in quarantine": """
        SELECT 'sweep ' || s.id || ' instrument ' || h.instrument_id FROM (
            SELECT DISTINCT ON (kind) id, kind, at, started_at FROM margin_sweep ORDER BY kind, id DESC
        ) s JOIN market_heldquote h ON h.state = 'held' AND h.as_of <= s.at AND h.recorded_at < s.started_at
        CROSS JOIN LATERAL (
            SELECT p.mark, p.refused FROM margin_sweepprice p JOIN margin_sweep o ON o.id = p.sweep_id
            WHERE p.instrument_id = h.instrument_id AND o.kind = s.kind AND p.sweep_id <= s.id
            ORDER BY p.sweep_id DESC LIMIT 1
        ) p
        WHERE p.refused = '' AND p.mark IS NOT NULL
    """,
    "I25 a current quote is its instrument's newest fact": """
        SELECT 'instrument ' || q.instrument_id FROM market_quote q JOIN market_quotefact f ON f.id = q.fact_id
        WHERE (f.instrument_id, f.as_of, f.mark) IS DISTINCT FROM (q.instrument_id, q.as_of, q.mark)
    """,
    "I26 the prices that sweeps go by never go back in time": """
        SELECT 'sweep ' || p.sweep_id || ' instrument ' || p.instrument_id FROM (
            SELECT p.sweep_id, p.instrument_id, p.as_of,
                   max(p.as_of) OVER (PARTITION BY s.kind, p.instrument_id ORDER BY p.sweep_id) AS newest
            FROM margin_sweepprice p JOIN margin_sweep s ON s.id = p.sweep_id
        ) p WHERE p.as_of < p.newest
    """,
    "I27 what a book brought has its accepted file": """
        SELECT 'fact ' || f.id FROM accounts_positionfact f
        WHERE f.cause = 'book' AND f.reference ~ '^book:[0-9]+$'
          AND NOT EXISTS (SELECT FROM accounts_bookload b WHERE 'book:' || b.id = f.reference)
    """,
    "I28 one reply is kept for an idempotency key": """
        SELECT 'key ' || min(key) FROM backoffice_idempotentreply GROUP BY owner, key HAVING count(*) > 1
    """,
}
