"""The plans of a trial that was played: what was planned and what was filled, and what other ways would have sold."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from backoffice.trial.tables import markdown
from margin import calls, charts, planning, prices, snapshot
from margin.engine.plans import Alternative
from margin.engine.plans.ways import NAMES
from margin.models import MarginCall, Plan, Sweep

TITLES = dict(zip(NAMES, ("as held", "largest loser first", "by release"), strict=True))


@dataclass(frozen=True)
class Drawn:
    """Tables as Markdown, and charts as SVG by name."""

    text: str
    charts: Mapping[str, str]


def see() -> Drawn:
    """Look at the plans of the database that a trial of 2008 left."""
    filled = _filled()
    ways = _ways()
    plans_chart = charts.bar_chart(
        "Plans of autumn 2008 and their fills",
        [label for label, *_ in filled],
        {"planned, at the marks": [row[1] for row in filled], "filled": [row[2] for row in filled]},
        unit="value sold in US dollars",
    )
    ways_chart = charts.bar_chart(
        "Calls on accounts with several holdings, had each been sold at once",
        [label for label, _ in ways],
        {
            name: [float(values[name]) if name in values else float("nan") for _, values in ways]
            for name in ("the plan", *TITLES.values())
        },
        unit="value sold in US dollars",
    )
    header = ("account, plan of", "planned", "filled", "fees", "orders", "enough", "left after the fills")
    text = markdown(header, [(row[0], *(f"{figure:,.2f}" for figure in row[1:4]), *row[4:]) for row in filled])
    names = ("the plan", *TITLES.values())
    told = [
        (label, *(f"{values[name]:,.2f}" if name in values else "not enough" for name in names))
        for label, values in ways
    ]
    text = f"### Plans and fills\n\n{text}\n\n### Other ways\n\n{markdown(('account, called', *names), told)}\n"
    return Drawn(text, {"plans_2008": plans_chart, "ways_2008": ways_chart})


def _filled() -> list[tuple[Any, ...]]:
    found = []
    for plan in Plan.objects.select_related("call__account").order_by("proposed_at", "pk"):
        body = json.loads(plan.content)
        fills = [one.fill for line in plan.lines.all() for one in line.fills.select_related("fill")]
        sold = sum((abs(fill.quantity * fill.price) for fill in fills), Decimal(0))
        call = plan.call
        owed = getattr(call, "receivable", None)
        left = f"{owed.amount:,.2f} owed" if owed else call.state
        found.append(
            (
                f"{call.account.code} {plan.proposed_at:%m-%d}",
                float(body["total"]["value"]),
                float(sold),
                float(sum((fill.fee for fill in fills), Decimal(0))),
                len(body["lines"]),
                "yes" if body["is_enough"] else "no",
                left,
            )
        )
    return found


def _ways() -> list[tuple[str, dict[str, Decimal]]]:
    """Per call of the house's own regime on an account that holds several things: what each way would have sold as the
    call was issued."""
    found = []
    for call in MarginCall.objects.filter(regime="house").select_related("account").order_by("issued_at", "pk"):
        sweep = Sweep.objects.filter(at=call.issued_at).latest("pk")
        snap = snapshot.take(
            prices=prices.of(sweep),
            in_force={call.account.agreement: call.policy_version},
            accounts=snapshot.Accounts(ids=[call.account_id]),
            past=snapshot.Past(at=sweep.at),
        )
        try:
            sized = planning.size(call, planning.standing(call, snap))
        except calls.Refused:
            continue
        several = {id for other in sized.alternatives for id, _ in other.trades}
        if sized.trades and len(snap.book.instrument) > 2 and several:
            values = {"the plan": sized.total.value} if sized.is_enough else {}
            found.append((f"{call.account.code} {call.issued_at:%m-%d}", values | _values(sized.alternatives)))
    return found


def _values(alternatives: Sequence[Alternative]) -> dict[str, Decimal]:
    return {TITLES[other.name]: other.total.value for other in alternatives if other.total.is_enough}
