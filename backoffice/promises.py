"""What the rows of calls, cures, people and rights keep, one query each: part of `backoffice.invariants`.

The ids are those of docs/operations.md. Every query selects one text column that names an offending row; `{at}` is the
instant at which one asks.
"""

from collections.abc import Mapping

CALLS: Mapping[str, str] = {
    "I1 one open call per account, regime and key": """
        SELECT 'account ' || account_id || ' ' || regime || ' ' || deficiency_key FROM margin_margincall
        WHERE state IN ('issued', 'escalated') GROUP BY account_id, regime, deficiency_key HAVING count(*) > 1
    """,
    "I2 an account found in deficit is called": """
        SELECT 'account ' || a.account_id || ' ' || m.regime FROM (
            SELECT DISTINCT ON (a.account_id) a.id, a.account_id, a.at, a.status, a.revision, a.policy_version_id
            FROM margin_assessment a JOIN margin_sweep s ON s.id = a.sweep_id
            WHERE s.state = 'complete' ORDER BY a.account_id, a.at DESC, a.id DESC
        ) a
        JOIN accounts_revision r ON r.account_id = a.account_id AND r.number = a.revision
        JOIN margin_measure m ON m.assessment_id = a.id AND m.equity < m.requirement
        JOIN margin_policyversion v ON v.id = a.policy_version_id
        CROSS JOIN LATERAL jsonb_array_elements(v.terms -> 'regimes') t
        WHERE a.status = 'priced' AND t ->> 'regime' = m.regime
          AND m.deficit > coalesce((t ->> 'de_minimis')::numeric, 0)
          AND NOT EXISTS (SELECT FROM margin_margincall c WHERE c.account_id = a.account_id AND c.regime = m.regime
                          AND (c.issued_at <= a.at OR c.assessment_id = a.id)
                          AND (c.closed_at IS NULL OR c.closed_at >= a.at))
          AND NOT EXISTS (SELECT FROM margin_alarm l WHERE l.cleared_at IS NULL AND l.kind = 'calendar')
          AND NOT EXISTS (SELECT FROM margin_stormgate g WHERE g.policy_id = v.policy_id AND g.opened_at <= a.at
                          AND (g.closed_at IS NULL OR g.closed_at >= a.at))
    """,
    "I3 a call comes from a priced assessment that was as much in deficit": """
        SELECT 'call ' || c.id FROM margin_margincall c JOIN margin_assessment a ON a.id = c.assessment_id
        JOIN margin_event e ON e.call_id = c.id AND e.kind = 'call.issued'
        LEFT JOIN margin_measure m ON m.assessment_id = a.id AND m.regime = c.regime
        WHERE a.account_id <> c.account_id OR a.status <> 'priced'
           OR NOT c.is_provisional AND c.regime NOT IN ('reg_t', 'day_trade', 'intraday')
              AND (m.id IS NULL OR m.deficit <= 0 OR (e.body::jsonb #>> '{row,amount_called}')::numeric > m.deficit)
    """,
    "I4 a call's row is what its last event says": """
        SELECT 'call ' || c.id FROM margin_margincall c
        LEFT JOIN margin_event e ON e.account_id = c.account_id AND e.seq = c.seq AND e.call_id = c.id
        WHERE e.id IS NULL OR c IS DISTINCT FROM jsonb_populate_record(c,
            '{"held_until": null, "paused_until": null, "disputed": 0, "clock_stopped_at": null,
              "is_provisional": false, "reminded_at": null}' || (e.body::jsonb -> 'row'))
    """,
    "I4 a call's states follow one another legally": """
        SELECT 'event ' || e.id FROM (
            SELECT id, body::jsonb ->> 'from' AS before, body::jsonb #>> '{row,state}' AS after,
                   lag(body::jsonb #>> '{row,state}') OVER (PARTITION BY call_id ORDER BY seq) AS last
            FROM margin_event WHERE call_id IS NOT NULL AND body::jsonb ? 'row'
        ) e
        WHERE e.before IS DISTINCT FROM e.last OR (e.last IS NULL) <> (e.before IS NULL)
           OR (coalesce(e.last, ''), e.after) NOT IN (
               ('', 'issued'), ('issued', 'issued'), ('issued', 'met'), ('issued', 'escalated'),
               ('issued', 'cancelled'),
               ('escalated', 'escalated'), ('escalated', 'met'), ('escalated', 'liquidated'),
               ('escalated', 'cancelled'), ('met', 'met'), ('liquidated', 'liquidated'), ('cancelled', 'cancelled'))
    """,
    "I5 a met call has nothing outstanding": """
        SELECT 'call ' || id FROM margin_margincall WHERE state = 'met' AND amount_outstanding > tolerance
    """,
    "I5 a met call was found restored, or was paid": """
        SELECT 'call ' || c.id FROM margin_margincall c
        WHERE c.state = 'met' AND c.regime NOT IN ('reg_t', 'day_trade', 'intraday') AND c.deficiency_key = ''
          AND NOT EXISTS (
            SELECT FROM margin_assessment a JOIN margin_measure m ON m.assessment_id = a.id AND m.regime = c.regime
            WHERE a.account_id = c.account_id AND a.status = 'priced' AND a.at BETWEEN c.issued_at AND c.closed_at
              AND m.deficit <= c.tolerance)
          AND c.amount_called - c.tolerance > coalesce((
            SELECT sum(k.release) FROM margin_cure k WHERE k.call_id = c.id AND k.release > 0), 0)
    """,
    "I5 a call that the market does not cure was paid": """
        SELECT 'call ' || c.id FROM margin_margincall c
        WHERE c.state = 'met' AND NOT c.market_cures AND c.resolution IN ('cash', 'securities', 'market')
          AND c.amount_called - c.tolerance > coalesce((
            SELECT sum(k.release) FROM margin_cure k WHERE k.call_id = c.id AND k.release > 0), 0)
    """,
    "I5 a market cure has held as long as the policy asks": """
        SELECT 'call ' || c.id FROM margin_margincall c JOIN margin_policyversion v ON v.id = c.policy_version_id
        CROSS JOIN LATERAL jsonb_array_elements(v.terms -> 'regimes') t
        WHERE c.state = 'met' AND c.resolution = 'market' AND t ->> 'regime' = c.regime
          AND (t ->> 'dwell_seconds')::integer > 0 AND NOT EXISTS (
            SELECT FROM margin_event e WHERE e.call_id = c.id AND e.kind = 'call.provisionally_met'
              AND e.at <= c.closed_at - make_interval(secs => (t ->> 'dwell_seconds')::integer))
    """,
    "I6 a call escalated by deadline was due and its client was told": """
        SELECT 'event ' || id FROM margin_event
        WHERE kind = 'call.escalated' AND body::jsonb #>> '{row,escalation_cause}' = 'deadline'
          AND (body::jsonb #>> '{row,notified_at}' IS NULL OR at < (body::jsonb #>> '{row,due_at}')::timestamptz)
    """,
    "I6 nothing is escalated by deadline while it is held or a payment is checked": """
        SELECT 'event ' || id FROM margin_event
        WHERE kind = 'call.escalated' AND body::jsonb #>> '{row,escalation_cause}' = 'deadline'
          AND (at < (body::jsonb #>> '{row,held_until}')::timestamptz
               OR at < (body::jsonb #>> '{row,paused_until}')::timestamptz)
    """,
    "I6 a person who escalates gives a reason": """
        SELECT 'event ' || id FROM margin_event
        WHERE kind = 'call.escalated' AND body::jsonb #>> '{row,escalation_cause}' = 'person'
          AND coalesce(body::jsonb ->> 'reason', '') = ''
    """,
    "I7 a liquidated call was escalated before and has a fill": """
        SELECT 'call ' || c.id FROM margin_margincall c WHERE c.state = 'liquidated' AND (
            NOT EXISTS (SELECT FROM margin_event e WHERE e.call_id = c.id AND e.kind = 'call.escalated')
            OR NOT EXISTS (SELECT FROM margin_planfill f JOIN margin_planline l ON l.id = f.line_id
                           JOIN margin_plan p ON p.id = l.plan_id WHERE p.call_id = c.id))
    """,
    "I7 what a liquidated call still misses is a receivable": """
        SELECT 'call ' || c.id FROM margin_margincall c LEFT JOIN margin_receivable r ON r.call_id = c.id
        WHERE c.state = 'liquidated' AND c.amount_outstanding > c.tolerance
              AND r.amount IS DISTINCT FROM c.amount_outstanding
           OR c.state <> 'liquidated' AND r.id IS NOT NULL
    """,
    "I8 a cancelled call has a reason and two people": """
        SELECT 'call ' || c.id FROM margin_margincall c WHERE c.state = 'cancelled' AND NOT EXISTS (
            SELECT FROM margin_event e WHERE e.call_id = c.id AND e.kind = 'call.cancelled'
              AND e.body::jsonb #>> '{details,proposed_by}' <> e.body::jsonb ->> 'actor'
              AND coalesce(e.body::jsonb ->> 'reason', '') <> '')
    """,
    "I9 an amount is not negative and has whole minor units": """
        SELECT 'call ' || c.id FROM margin_margincall c
        JOIN market_instrument i ON i.kind = 'cash' AND i.currency = c.currency
        WHERE c.amount_called <= 0 OR c.amount_outstanding < 0
           OR c.amount_called <> round(c.amount_called, i.minor_exponent)
           OR c.amount_outstanding <> round(c.amount_outstanding, i.minor_exponent)
    """,
    "I10 what is closed stays closed": """
        SELECT 'event ' || e.id FROM margin_margincall c
        JOIN margin_event e ON e.call_id = c.id AND e.seq > c.seq
        WHERE c.state IN ('met', 'liquidated', 'cancelled') AND e.kind NOT IN
            ('call.note', 'contact.logged', 'task.opened', 'task.closed', 'cure.reversed', 'plan.filled',
             'plan.expired', 'order.moved')
    """,
}
CURES: Mapping[str, str] = {
    "W1 what one source gives is used once in a regime": """
        SELECT 'movement ' || m.id || ' ' || c.regime FROM margin_cure k
        JOIN margin_margincall c ON c.id = k.call_id JOIN accounts_cashmovement m ON m.id = k.movement_id
        WHERE k.state = 'settled' GROUP BY m.id, m.amount, c.regime HAVING sum(k.used) > m.amount
    """,
    "W1 a payment releases no more than it is": """
        SELECT 'cure ' || k.id FROM margin_cure k JOIN margin_margincall c ON c.id = k.call_id
        JOIN accounts_cashmovement m ON m.id = k.movement_id JOIN market_instrument i ON i.id = m.currency_id
        WHERE i.currency = c.currency AND (k.release > k.used OR k.used > m.amount)
    """,
    "W1 a cure is what its last event says": """
        SELECT 'cure ' || k.id FROM margin_cure k JOIN margin_margincall c ON c.id = k.call_id
        LEFT JOIN margin_event e ON e.account_id = c.account_id AND e.seq = k.seq AND e.call_id = c.id
        WHERE e.id IS NULL OR (e.body::jsonb #>> '{cure,id}')::bigint <> k.id
           OR e.body::jsonb #>> '{cure,state}' <> k.state
           OR coalesce((e.body::jsonb #>> '{cure,release}')::numeric, 0) <> k.release
    """,
    "W1 money cures only a call of its own account, issued before it came": """
        SELECT 'cure ' || k.id FROM margin_cure k JOIN margin_margincall c ON c.id = k.call_id
        JOIN accounts_cashmovement m ON m.id = k.movement_id JOIN accounts_account a ON a.id = m.account_id
        WHERE c.account_id NOT IN (a.id, coalesce(a.margined_with_id, a.id)) OR m.effective_at < c.issued_at
           OR m.amount <= 0 OR m.kind <> 'deposit'
    """,
    "W2 no more is outstanding than settled cures have left": """
        SELECT 'call ' || c.id FROM margin_margincall c WHERE c.state IN ('issued', 'escalated')
          AND c.amount_outstanding > greatest(0, c.amount_called - coalesce((
            SELECT sum(k.release) FROM margin_cure k WHERE k.call_id = c.id AND k.state = 'settled'), 0))
    """,
}
PEOPLE: Mapping[str, str] = {
    "I21 every event says who, as what and when": """
        SELECT 'event ' || id FROM margin_event
        WHERE coalesce(body::jsonb ->> 'actor', '') = '' OR coalesce(body::jsonb ->> 'role', '') = '' OR at IS NULL
    """,
    "I20 an event is under a seal within five minutes, once seals are made": """
        SELECT 'event ' || e.id FROM margin_event e
        WHERE e.recorded_at < (SELECT max(sealed_at) FROM margin_seal) - interval '5 minutes'
          AND NOT EXISTS (SELECT FROM margin_seal s WHERE margin_ids(s.events) @> e.id)
    """,
    "I19 a chain has no gap and time never runs back in it": """
        SELECT 'event ' || e.id FROM (
            SELECT id, seq, at, previous_hash, lag(seq, 1, 0) OVER chain AS last_seq, lag(at) OVER chain AS last_at,
                   lag(hash, 1, '') OVER chain AS last_hash
            FROM margin_event WINDOW chain AS (PARTITION BY account_id ORDER BY seq)
        ) e WHERE e.seq <> e.last_seq + 1 OR e.at < e.last_at OR e.previous_hash <> e.last_hash
    """,
    "I29 an approved plan has enough approvals by others": """
        SELECT 'plan ' || p.id FROM margin_plan p WHERE p.state IN ('approved', 'done') AND (
            SELECT count(DISTINCT a.approver_id) FROM margin_approval a
            WHERE a.plan_id = p.id AND a.approver_id IS DISTINCT FROM p.proposed_by_id
        ) < CASE WHEN p.proposed_by_id IS NULL THEN 2 ELSE 1 END
    """,
    "I31 no more is filled than a line asked for": """
        SELECT 'line ' || l.id FROM margin_planline l JOIN margin_planfill p ON p.line_id = l.id
        JOIN accounts_fill f ON f.id = p.fill_id
        WHERE NOT EXISTS (SELECT FROM accounts_fill taken WHERE taken.reverses_id = f.id)
        GROUP BY l.id, l.quantity
        HAVING abs(sum(f.quantity)) > abs(l.quantity) OR sign(sum(f.quantity)) <> sign(l.quantity)
    """,
    "W7 a call's deadline moves only with its own event": """
        SELECT 'event ' || e.id FROM (
            SELECT id, kind, body::jsonb #>> '{row,due_at}' AS due_at,
                   lag(body::jsonb #>> '{row,due_at}') OVER (PARTITION BY call_id ORDER BY seq) AS last
            FROM margin_event WHERE call_id IS NOT NULL AND body::jsonb ? 'row'
        ) e WHERE e.due_at <> e.last
          AND e.kind NOT IN ('call.extended', 'call.accelerated', 'call.rescheduled', 'dispute.decided')
    """,
    "W3 whoever asked does not decide": """
        SELECT 'request ' || id FROM margin_request
        WHERE state IN ('granted', 'denied') AND asked_by_id IS NOT NULL AND asked_by_id = decided_by_id
    """,
    "W3 a request, dispute or task stands in the history of its account": """
        SELECT 'request ' || r.id FROM margin_request r
        LEFT JOIN margin_event e ON e.account_id = r.account_id AND e.seq = r.seq WHERE e.id IS NULL
        UNION ALL
        SELECT 'dispute ' || d.id FROM margin_dispute d
        LEFT JOIN margin_event e ON e.account_id = d.account_id AND e.seq = d.seq WHERE e.id IS NULL
        UNION ALL
        SELECT 'task ' || t.id FROM margin_task t
        LEFT JOIN margin_event e ON e.account_id = t.account_id AND e.seq = t.seq WHERE e.id IS NULL
    """,
    "W6 an open call is disputed as long as its dispute is open": """
        SELECT 'call ' || c.id FROM margin_margincall c
        LEFT JOIN margin_dispute d ON d.call_id = c.id AND d.state = 'open'
        WHERE c.state IN ('issued', 'escalated') AND (
            c.disputed <> coalesce(d.amount, 0) OR c.clock_stopped_at IS NOT NULL AND d.stops_clock IS NOT TRUE)
    """,
    "W7 an extension was asked before the deadline it moves": """
        SELECT 'request ' || id FROM margin_request
        WHERE kind = 'extension' AND (asked_at >= before OR until <= before)
    """,
    "W10 a hold has an end, and a client's word puts off no more than the policy says": """
        SELECT 'event ' || e.id FROM margin_event e WHERE e.kind = 'call.held'
          AND coalesce((e.body::jsonb #>> '{row,held_until}')::timestamptz, 'infinity') > e.at + interval '31 days'
        UNION ALL
        SELECT 'event ' || e.id FROM margin_event e
        JOIN margin_margincall c ON c.id = e.call_id JOIN margin_policyversion v ON v.id = c.policy_version_id
        CROSS JOIN LATERAL jsonb_array_elements(v.terms -> 'regimes') t
        WHERE e.kind = 'claim.made' AND t ->> 'regime' = c.regime
          AND (e.body::jsonb #>> '{row,paused_until}')::timestamptz
            > e.at + make_interval(mins => coalesce((t ->> 'claim_minutes')::integer, 120))
    """,
    "W7 a call is due after it is issued": """
        SELECT 'call ' || id FROM margin_margincall WHERE due_at < issued_at
    """,
}
RIGHTS: Mapping[str, str] = {
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
        WHERE r.lifted_at IS NULL AND r.ends_at IS NULL AND c.closed_at < {at} - interval '1 hour'
    """,
    "a waiver has two people": """
        SELECT 'waiver ' || id FROM margin_waiver WHERE state <> 'open' AND decided_by_id = proposed_by_id
    """,
}
