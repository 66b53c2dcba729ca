"""The pages of a call's passport that a person reads: what was asked, why, what was told, done and decided."""

from collections.abc import Mapping
from datetime import datetime
from json import loads
from typing import Any

from reportlab.platypus import Flowable

from backoffice import papers
from margin import confidence

Tree = Mapping[str, Any]


def paper(parts: Tree, *, at: datetime, by: str) -> bytes:
    """The PDF of the parts of a passport."""
    call = parts["call"]["call"]
    title = f"Passport of margin call {parts['call']['number']}"
    content = [
        papers.heading(title, size=16),
        *_headline(parts),
        *_section("What happened", ("at", "what", "who", "role", "reason"), _events(parts["history"]["events"], call)),
        *_section(
            "How the requirement was computed",
            ("assessment", "regime", "instrument", "charge", "amount", "rule"),
            _charges(parts["computation"]["assessments"]),
        ),
        *_section("Prices", ("sweep", "instrument", "mark", "as of", "source", "refused"), _prices(parts["prices"])),
        *_section(
            "Letters",
            ("subject", "to", "template", "state", "sent", "tries", "provider's replies"),
            [_letter(notice) for notice in parts["notices"]],
        ),
        *_section("Cures", ("kind", "state", "release", "reference", "settled"), _cures(parts["cases"]["cures"])),
        *_section("Forced sales", ("plan", "state", "content hash", "approvals", "fills"), _plans(parts["plans"])),
    ]
    footer = f"{title} · made {papers.words(at)} by {by} · the JSON files beside it hold every figure"
    return papers.document(title, content, footer=footer)


def _headline(parts: Tree) -> list[Flowable]:
    call, account, client = parts["call"]["call"], parts["call"]["account"], parts["call"]["client"]
    lines = [
        f"{client['name']} ({client['code']}), account {account['code']}, agreement {account['agreement']}",
        f"{call['regime'].replace('_', ' ')} call of {call['amount_called']} {call['currency']}, issued"
        f" {call['issued_at']}, due {call['due_at']} ({call['due_basis']})",
        f"{call['state']}{', ' + call['resolution'].replace('_', ' ') if call['resolution'] else ''};"
        f" outstanding {call['amount_outstanding']} {call['currency']}",
        f"Account's history: {len(parts['history']['events'])} events, {len(parts['seals'])} seals",
    ]
    return [*(papers.sentence(line) for line in lines), papers.gap()]


def _section(title: str, columns: tuple[str, ...], rows: list[list[object]]) -> list[Flowable]:
    body = papers.table(columns, rows) if rows else papers.sentence("None.")
    return [papers.heading(title), body, papers.gap()]


def _events(events: list[Tree], call: Tree) -> list[list[object]]:
    found = []
    for event in events:
        body = confidence.opened(loads(event["body"]))
        if body.get("call") in (None, call["id"]):
            kind = event["kind"].replace(".", " ").replace("_", " ")
            found.append([event["at"], kind, body["actor"], body.get("role", ""), body.get("reason", "")])
    return found


def _charges(assessments: list[Tree]) -> list[list[object]]:
    return [
        [assessment["id"], measure["regime"], charge["instrument"] or "", charge["code"], charge["amount"],
         str(charge["explanation"].get("law") or charge["explanation"].get("rule") or "")]
        for assessment in assessments
        for measure in assessment["measures"]
        for charge in measure["charges"]
    ]  # fmt: skip


def _prices(prices: Tree) -> list[list[object]]:
    return [
        [sweep["sweep"], code, price["mark"], price["as_of"], price["source"], price["refused"]]
        for sweep in prices["sweeps"]
        for code, price in sweep["prices"].items()
    ]


def _letter(notice: Tree) -> list[object]:
    replies = "; ".join(f"{reply['state']} {reply['at']}" for reply in notice["replies"])
    tries = "; ".join(f"{one['outcome']} {one['answer']}" for one in notice["attempts"])
    return [notice["subject"], notice["to_address"], notice["template_version"], notice["state"], notice["sent_at"],
            tries, replies]  # fmt: skip


def _cures(cures: list[Tree]) -> list[list[object]]:
    return [[cure["kind"], cure["state"], cure["release"], cure["reference"], cure["settled_at"]] for cure in cures]


def _plans(plans: list[Tree]) -> list[list[object]]:
    return [
        [plan["id"], plan["state"], plan["content_hash"],
         "; ".join(f"person {one['approver_id']} {one['approved_at']}" for one in plan["approvals"]),
         "; ".join(f"{fill['quantity']} at {fill['price']}" for fill in plan["fills"])]
        for plan in plans
    ]  # fmt: skip
