"""The pages of a call's passport that a person reads: what was asked, why, what was told, done and decided."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from json import loads
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import Flowable

from backoffice import papers, passport_sales
from backoffice.passport_words import named, number, spaced, when
from margin import confidence, reasons

Tree = Mapping[str, Any]
Rows = Sequence[Sequence[object]]


def paper(parts: Tree, *, at: datetime, by: str) -> bytes:
    """The PDF of the parts of a passport."""
    call, people = parts["call"]["call"], parts["people"]
    title = f"Passport of margin call {parts['call']['number']}"
    content = [papers.heading(title, size=16), *_headline(parts)]
    for name, columns, rows in _tables(parts, call, people):
        content += section(name, columns, rows)
    content += passport_sales.pages(parts["plans"], people, section)
    content += section("Seals over the account's history", SEALS, _seals(parts["seals"]))
    footer = f"{title} · made {papers.words(at)} by {by} · the JSON files beside it hold every figure"
    return papers.document(title, content, footer=footer, is_wide=True)


MEASURES = ("assessment", "at", "regime", "equity", "requirement", "to restore", "deficit", "cover")
PAPERS = ("document", "agreement", "in force", "since", "the client had", "given", "accepted", "lacking")
CONTACTS = ("at", "channel", "with", "outcome", "amount quoted", "deadline quoted", "by", "said")
DISPUTES = ("opened", "by", "about", "amount", "state", "granted", "decided", "words")
REQUESTS = ("kind", "asked", "by", "until", "state", "decided", "decided by", "reason")
SEALS = ("number", "sealed", "events", "key", "digest")
MILLIMETRES: Mapping[str, Sequence[float]] = {
    "What happened": (38, 40, 34, 24, 116, 16),
    "Prices": (20, 60, 40, 45, 40, 63),
    "Letters": (60, 46, 36, 18, 36, 36, 36),
}
"""Widths of columns where equal ones would not do; 268 in all."""


def _tables(parts: Tree, call: Tree, people: Tree) -> list[tuple[str, tuple[str, ...], Rows]]:
    """Each table of the call, in the order a person asks."""
    computed, cases = parts["computation"]["assessments"], parts["cases"]
    return [
        ("What happened", ("at", "what", "who", "role", "reason", "seal"), _events(parts, call)),
        ("What the account held", ("assessment", "at", "instrument", "kind", "quantity", "cost", "mark"),
         _holdings(parts["snapshot"])),
        ("What was measured", MEASURES, _measures(computed)),
        ("How the requirement was computed", ("assessment", "regime", "instrument", "charge", "amount", "rule"),
         _charges(computed)),
        ("Prices", ("sweep", "instrument", "mark", "as of", "source", "refused"), _prices(parts["prices"])),
        ("Policy versions", ("policy", "version", "in force from", "published", "approved", "note"),
         _policies(parts["policies"], people)),
        ("Agreements and disclosures when it was issued", PAPERS, _documents(parts["documents"])),
        ("Letters", ("what", "to", "template", "state", "sent", "tries", "provider's replies"),
         [_letter(notice) for notice in parts["notices"]]),
        ("Conversations", CONTACTS, [_contact(one) for one in parts["contacts"]]),
        ("Cures", ("kind", "state", "release", "amount", "reference", "settled"), _cures(cases["cures"])),
        ("Disputes", DISPUTES, _disputes(cases["disputes"], people)),
        ("Requests", REQUESTS, _requests(cases["requests"], people)),
        ("What the client owes since", ("amount", "currency", "booked"), _receivables(cases["receivables"])),
    ]  # fmt: skip


def section(title: str, columns: tuple[str, ...], rows: Rows) -> list[Flowable]:
    """A heading with its table, or with the word that there is nothing."""
    widths = [one * mm for one in MILLIMETRES[title]] if title in MILLIMETRES else None
    body = papers.table(columns, rows, widths=widths) if rows else papers.sentence("None.")
    return [papers.heading(title), body, papers.gap()]


def _headline(parts: Tree) -> list[Flowable]:
    call, account, client = parts["call"]["call"], parts["call"]["account"], parts["call"]["client"]
    currency, closed = call["currency"], f", closed {when(call['closed_at'])}" if call["closed_at"] else ""
    told = counted(len(parts["history"]["events"]), "event"), counted(len(parts["seals"]), "seal")
    lines = [
        f"{client['name']} ({client['code']}), account {account['code']}, agreement {account['agreement']}",
        f"{spaced(call['regime'])} call of {money(call['amount_called'])} {currency}, issued {when(call['issued_at'])},"
        f" due {when(call['due_at'])} ({call['due_basis']})",
        f"{call['state']}{', by ' + spaced(call['resolution']) if call['resolution'] else ''}{closed};"
        f" outstanding {money(call['amount_outstanding'])} {currency}",
        f"Account's history: {' under '.join(told)}",
    ]
    return [*(papers.sentence(line) for line in lines), papers.gap()]


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def money(amount: str) -> str:
    return papers.words(Decimal(amount))


def _events(parts: Tree, call: Tree) -> Rows:
    found = []
    for event in parts["history"]["events"]:
        body = confidence.opened(loads(event["body"]))
        if body.get("call") in (None, call["id"]):
            seal = str(event["sealed_by"] or "not yet")
            what = spaced(event["kind"])
            found.append([when(event["at"]), what, body["actor"], body.get("role", ""), body.get("reason", ""), seal])
    return found


def _holdings(snapshot: Sequence[Tree]) -> Rows:
    return [
        [str(one["assessment"]), when(one["at"]), held["instrument"], held["kind"], number(held["quantity"]),
         number(held["cost"]), number(held["mark"])]
        for one in snapshot
        for held in one["holdings"]
    ]  # fmt: skip


def _measures(assessments: Sequence[Tree]) -> Rows:
    figures = ("equity", "requirement", "restore_requirement", "deficit", "cover")
    return [
        [str(one["id"]), when(one["at"]), spaced(measure["regime"]), *(number(measure[name]) for name in figures)]
        for one in assessments
        for measure in one["measures"]
    ]


def _charges(assessments: Sequence[Tree]) -> Rows:
    return [
        [str(assessment["id"]), spaced(measure["regime"]), charge["instrument"] or "", spaced(charge["code"]),
         number(charge["amount"]), str(charge["explanation"].get("law") or charge["explanation"].get("rule") or "")]
        for assessment in assessments
        for measure in assessment["measures"]
        for charge in measure["charges"]
    ]  # fmt: skip


def _prices(prices: Tree) -> Rows:
    return [
        [str(sweep["sweep"]), code, number(price["mark"]), when(price["as_of"]), price["source"], price["refused"]]
        for sweep in prices["sweeps"]
        for code, price in sweep["prices"].items()
    ]


def _policies(policies: Tree, people: Tree) -> Rows:
    return [
        [one["policy"], str(one["number"]), when(one["effective_at"]),
         f"{named(one['published_by_id'], people)}, {when(one['published_at'])}",
         f"{named(one['approved_by_id'], people)}, {when(one['approved_at'])}" if one["approved_at"] else "",
         one["note"]]
        for one in policies["versions"]
    ]  # fmt: skip


def _documents(owed: Sequence[Tree]) -> Rows:
    return [
        [spaced(one["in_force"]["kind"]), one["in_force"]["agreement"], one["in_force"]["version"],
         when(one["in_force"]["effective_at"]), one["held"]["version"] if one["held"] else "none",
         when(one["given_at"]), when(one["accepted_at"]), one["lacking"] or "nothing"]
        for one in owed
    ]  # fmt: skip


def _letter(notice: Tree) -> list[object]:
    replies = "; ".join(f"{reply['state']} {when(reply['at'])}" for reply in notice["replies"])
    tries = "; ".join(f"{one['outcome']} {when(one['at'])} {one['answer']}" for one in notice["attempts"])
    sent = when(notice["sent_at"])
    return [notice["subject"], notice["to_address"], notice["template_version"], notice["state"], sent, tries, replies]


def _contact(one: Tree) -> list[object]:
    channel = reasons.CHANNELS.get(one["channel"], one["channel"])
    way = f"{channel}, {'from the client' if one['direction'] == 'in' else 'to the client'}"
    outcome = reasons.OUTCOMES.get(one["outcome"], one["outcome"])
    quoted = number(one.get("amount_quoted")), when(one.get("deadline_quoted"))
    return [when(one["at"]), way, one.get("who", ""), outcome, *quoted, one["actor"], one["reason"] or ""]


def _cures(cures: Sequence[Tree]) -> Rows:
    return [
        [spaced(cure["kind"]), spaced(cure["state"]), number(cure["release"]), number(cure["amount"]),
         cure["reference"], when(cure["settled_at"])]
        for cure in cures
    ]  # fmt: skip


def _disputes(disputes: Sequence[Tree], people: Tree) -> Rows:
    return [
        [when(one["opened_at"]), one["opened_by"], reasons.DISPUTE.get(one["reason_code"], spaced(one["reason_code"])),
         number(one["amount"]), one["state"], number(one["granted"]),
         f"{named(one['decided_by_id'], people)} {when(one['decided_at'])}".strip(),
         " — ".join(filter(None, (one["reason"], one["decision"])))]
        for one in disputes
    ]  # fmt: skip


def _requests(asked: Sequence[Tree], people: Tree) -> Rows:
    return [
        [spaced(one["kind"]), when(one["asked_at"]), named(one["asked_by_id"], people), when(one["until"]),
         one["state"], when(one["decided_at"]), named(one["decided_by_id"], people), one["reason"]]
        for one in asked
    ]  # fmt: skip


def _receivables(booked: Sequence[Tree]) -> Rows:
    return [[number(one["amount"]), one["currency"], when(one["booked_at"])] for one in booked]


def _seals(seals: Sequence[Tree]) -> Rows:
    return [
        [str(one["number"]), when(one["sealed_at"]), number(str(one["size"])), one["key_id"], one["digest"]]
        for one in seals
    ]
