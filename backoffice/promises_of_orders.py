"""What releases, orders and fills keep, one query each: part of `backoffice.invariants` (I22, I29 to I33, I35)."""

from collections.abc import Mapping

ORDERS: Mapping[str, str] = {
    "I29 a release rests on two people besides the proposer, of exactly its content": """
        SELECT 'plan ' || r.plan_id FROM margin_release r JOIN margin_plan p ON p.id = r.plan_id
        LEFT JOIN margin_approval a ON a.id = r.first_id LEFT JOIN margin_approval b ON b.id = r.second_id
        LEFT JOIN margin_standingapproval s ON s.id = r.standing_id
        WHERE r.content_hash <> p.content_hash
           OR r.standing_id IS NULL AND (a.id IS NULL OR a.plan_id <> p.id OR a.content_hash <> p.content_hash
              OR a.approver_id = p.proposed_by_id OR (p.proposed_by_id IS NULL) <> (b.id IS NOT NULL)
              OR b.plan_id <> p.id OR b.content_hash <> p.content_hash OR b.approver_id = a.approver_id)
           OR r.standing_id IS NOT NULL AND (p.proposed_by_id IS NOT NULL OR s.approved_by_id IS NULL
              OR s.approved_by_id = s.proposed_by_id OR r.released_at NOT BETWEEN s.approved_at AND s.expires_at)
    """,
    "I30 an order is a line of its release, under the name that follows from it": """
        SELECT 'order ' || o.client_order_id FROM margin_order o JOIN margin_planline l ON l.id = o.line_id
        JOIN margin_plan p ON p.id = l.plan_id
        WHERE o.release_id <> p.id OR o.quantity <> l.quantity
           OR o.client_order_id <> 'MD' || l.id || '-' || left(p.content_hash, 12)
    """,
    "I31 what is filled of an order is no more than it, and was reported": """
        SELECT 'line ' || f.line_id FROM margin_planfill f JOIN margin_planline l ON l.id = f.line_id
        JOIN accounts_fill x ON x.id = f.fill_id LEFT JOIN margin_orderreport r ON r.id = f.report_id
        WHERE NOT EXISTS (SELECT FROM accounts_fill b WHERE b.reverses_id = x.id)
        GROUP BY f.line_id, l.quantity
        HAVING abs(sum(x.quantity)) > abs(l.quantity) OR bool_or(r.order_id IS DISTINCT FROM f.line_id
               AND f.report_id IS NOT NULL)
    """,
    "I33 nothing was released while the kill switch was pulled": """
        SELECT 'plan ' || r.plan_id FROM margin_release r JOIN margin_killswitch k
        ON r.released_at > k.pulled_at AND (k.released_at IS NULL OR r.released_at < k.released_at)
    """,
    "I22 an order stands where its last event left it": """
        SELECT 'order ' || o.client_order_id FROM margin_order o LEFT JOIN (
            SELECT DISTINCT ON (named)
                   body::jsonb #>> '{details,order}' AS named, body::jsonb #>> '{details,is}' AS stands
            FROM margin_event WHERE kind = 'order.moved' ORDER BY named, seq DESC
        ) e ON e.named = o.client_order_id WHERE o.state <> coalesce(e.stands, 'new')
    """,
    "I32 no order leaves once its call is over": """
        SELECT 'event ' || e.id FROM margin_event e JOIN margin_margincall c ON c.id = e.call_id
        WHERE e.kind = 'order.moved' AND e.body::jsonb #>> '{details,is}' = 'sending' AND e.at > c.closed_at
    """,
    "I33 no release went beyond the caps that were in force": """
        SELECT 'plan ' || r.plan_id FROM margin_release r JOIN margin_plan p ON p.id = r.plan_id
        JOIN margin_margincall m ON m.id = p.call_id CROSS JOIN LATERAL (
            SELECT * FROM margin_liquidationcap c WHERE c.currency = r.currency AND c.approved_at <= r.released_at
            ORDER BY c.approved_at DESC, c.id DESC LIMIT 1
        ) cap CROSS JOIN LATERAL (
            SELECT sum(o.notional) AS day, sum(o.notional) FILTER (WHERE n.account_id = m.account_id) AS account
            FROM margin_release o JOIN margin_plan q ON q.id = o.plan_id JOIN margin_margincall n ON n.id = q.call_id
            WHERE o.currency = r.currency AND o.recorded_at <= r.recorded_at
              AND (o.released_at AT TIME ZONE 'UTC')::date = (r.released_at AT TIME ZONE 'UTC')::date
        ) sold
        WHERE r.largest > cap.per_order OR sold.account > cap.per_account OR sold.day > cap.per_day
    """,
    "I33 no more orders left within a minute than the cap allowed": """
        WITH left_at AS (
            SELECT e.id, e.at, o.currency, o.line_id FROM margin_event e
            JOIN margin_order o ON o.client_order_id = e.body::jsonb #>> '{details,order}'
            WHERE e.kind = 'order.moved' AND e.body::jsonb #>> '{details,is}' = 'sending'
        )
        SELECT 'event ' || l.id FROM left_at l CROSS JOIN LATERAL (
            SELECT per_minute FROM margin_liquidationcap c WHERE c.currency = l.currency AND c.approved_at <= l.at
            ORDER BY c.approved_at DESC, c.id DESC LIMIT 1
        ) cap WHERE cap.per_minute < (
            SELECT count(DISTINCT n.line_id) FROM left_at n WHERE n.currency = l.currency
            AND n.at > l.at - interval '1 minute' AND (n.at, n.id) <= (l.at, l.id))
    """,
    "I35 nobody manages users and decides about clients": """
        SELECT 'user ' || m.user_id FROM auth_user_groups m JOIN auth_group g ON g.id = m.group_id
        GROUP BY m.user_id HAVING bool_or(g.name = 'Administrator')
           AND bool_or(g.name IN ('Operations', 'Supervisor', 'Risk', 'Compliance'))
    """,
}
