"""What a trial prints, as Markdown tables: what happened by the day, every call, and what lay in quarantine."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from margin import rows
from margin.models import Assessment, Event, MarginCall, Sweep
from margin.workflow import Verb
from market.models import HeldQuote

Label = Callable[[datetime], str]  # the period an instant belongs to, as it is told

COUNTED = {
    "issued": Verb.ISSUE,
    "met": Verb.MEET,
    "escalated": Verb.ESCALATE,
    "liquidated": Verb.LIQUIDATE,
}


def periods(label: Label) -> str:
    """Per period: calls issued, met, escalated and liquidated, and accounts that were unpriced in one of its sweeps."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for at, kind in Event.objects.values_list("at", "kind"):
        counts[label(at)][kind] += 1
    unpriced: dict[str, set[int]] = defaultdict(set)
    without = Assessment.objects.filter(status=Assessment.Status.UNPRICED)
    for at, account in without.values_list("at", "account_id"):
        unpriced[label(at)].add(account)
    names = dict.fromkeys(label(at) for at in Sweep.objects.order_by("at").values_list("at", flat=True))
    listed = [(name, *(counts[name][verb] for verb in COUNTED.values()), len(unpriced[name])) for name in names]
    total = ("all", *(sum(counts[name][verb] for name in names) for verb in COUNTED.values()), "")
    return markdown(("", *COUNTED, "unpriced accounts"), [*listed, total])


def calls(label: Label) -> str:
    """Every call: what was asked at most, when it was due, how it escalated and closed, what is still owed."""
    highest: dict[int, Decimal] = defaultdict(Decimal)
    for event in Event.objects.exclude(call=None):
        called = rows.read(event).get("row", {}).get("amount_called")
        if called is not None:
            highest[event.call_id or 0] = max(highest[event.call_id or 0], Decimal(called))
    listed = MarginCall.objects.select_related("account", "receivable").order_by("issued_at", "account__code", "regime")
    return markdown(
        ("account", "regime", "issued", "called at most", "due", "escalated", "closed", "state", "by", "receivable"),
        [_call(call, highest[call.pk], label) for call in listed],
    )


def _call(call: MarginCall, highest: Decimal, label: Label) -> tuple[object, ...]:
    escalated = f"{label(call.escalated_at)} {call.escalation_cause}" if call.escalated_at else ""
    receivable = getattr(call, "receivable", None)
    return (
        call.account.code,
        call.regime,
        label(call.issued_at),
        f"{highest:,.2f}",
        f"{call.due_at:%Y-%m-%d %H:%M} UTC",
        escalated,
        label(call.closed_at) if call.closed_at else "",
        call.state,
        call.resolution,
        f"{receivable.amount:,.2f}" if receivable else "",
    )


def quarantine(label: Label) -> str:
    """Every quote that was held, and who let it in, or that the next price did without it."""
    held = HeldQuote.objects.select_related("instrument", "decided_by").order_by("as_of", "instrument__code")
    return markdown(
        ("instrument", "close of", "price", "before", "became", "on", "by"),
        [
            (
                one.instrument.code,
                label(one.as_of),
                f"{one.mark.normalize():f}",
                f"{one.previous_mark.normalize():f}" if one.previous_mark is not None else "",
                one.state,
                label(one.decided_at) if one.decided_at else "",
                one.decided_by.get_username() if one.decided_by else one.decided_source and "the next price",
            )
            for one in held
        ],
    )


def markdown(head: Sequence[object], body: Iterable[Sequence[object]]) -> str:
    """A Markdown table whose columns line up; numbers to the right."""
    lines = [[str(cell) for cell in line] for line in (head, *body)]
    if len(lines) == 1:
        return "None."
    widths = [max(3, *(len(line[place]) for line in lines)) for place in range(len(head))]
    numeric = [all(_is_number(line[place]) for line in lines[1:]) for place in range(len(head))]
    ruler = [f"{'-' * (width - 1)}:" if right else "-" * width for width, right in zip(widths, numeric, strict=True)]
    aligned = [
        [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ]
        for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (aligned[0], ruler, *aligned[1:]))


def _is_number(cell: str) -> bool:
    return not cell or cell.replace(",", "").replace(".", "").isdigit()
