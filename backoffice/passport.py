"""The passport of a call: all that explains and proves it, in one ZIP that anyone can verify (`verifier/passport.py`).

JSON for programs, a PDF for people, the account's whole chain of events for both. The manifest lists every file with
its hashes and carries a code made with the history's key, which the database does not hold.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from json import loads
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import Model, Q, QuerySet

from accounts import documents
from accounts.models import Contact, DocumentReceipt
from backoffice import passport_paper
from margin import assessments, chain, confidence, history_keys, policies
from margin.models import (
    Approval,
    Assessment,
    Charge,
    Cure,
    Event,
    MarginCall,
    Measure,
    Order,
    Plan,
    PlanFill,
    PlanLine,
    PolicyVersion,
    Receivable,
    Release,
    Seal,
)  # fmt: skip
from margin.prices import of as prices_of
from market.models import Instrument
from notifications.models import Attempt, Delivery, Notice
from verifier import passport as form

Tree = dict[str, Any]


def make(call: MarginCall, *, at: datetime, by: str) -> bytes:
    """The ZIP. Raises history_keys.KeysMissing: a passport without a code proves nothing."""
    parts: Tree = {
        "call": _call(call),
        "history": {"events": _events(call)},
        "snapshot": _snapshot(call),
        "computation": _computation(call),
        "policies": _policies(call),
        "documents": _documents(call),
        "prices": _prices(call),
        "notices": _notices(call),
        "contacts": _contacts(call),
        "cases": _cases(call),
        "plans": _plans(call),
        "seals": _seals(call),
    }
    parts["people"] = _people(_named(parts))
    files = {f"{name}.json": form.canonical(part) for name, part in parts.items()}
    files["passport.pdf"] = passport_paper.paper(parts, at=at, by=by)
    manifest = form.canonical(
        {
            "format": form.FORMAT,
            "call": call.number,
            "account": call.account.code,
            "made_at": chain.text(at),
            "made_by": by,
            "files": {name: form.entry(content) for name, content in files.items()},
        }
    )
    key_id = _key()
    files[form.MANIFEST] = manifest
    files[form.CODE] = f"{key_id} {form.code(history_keys.read(key_id), manifest)}\n".encode()
    return form.pack(files)


def _key() -> str:
    """The key that the next seal is made with."""
    newest = Seal.objects.first()
    return newest.next_key or newest.key_id if newest else history_keys.first()


def row(one: Model, *without: str) -> Tree:
    """A stored row as it is, amounts as plain text and instants in UTC."""
    return {
        field.attname: _plain(getattr(one, field.attname))
        for field in one._meta.concrete_fields
        if field.attname not in without
    }


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    told = chain.text(value)
    return told if told is None or isinstance(told, str | int | float | bool) else str(told)


def all_of(found: "QuerySet[Any]") -> list[Tree]:
    return [row(one) for one in found.order_by("pk")]


# --- the parts ------------------------------------------------------------------------------------------


def _call(call: MarginCall) -> Tree:
    account = call.account
    return {
        "call": row(call),
        "number": call.number,
        "account": row(account),
        "client": row(account.client),
        "contacts": all_of(Contact.objects.filter(client=account.client)),
        "linked": all_of(MarginCall.objects.filter(predecessor=call))
        + ([row(call.predecessor)] if call.predecessor else []),
    }


SEALED_BY = "SELECT number FROM margin_seal WHERE margin_ids(margin_seal.events) @> margin_event.id"


def _events(call: MarginCall) -> list[Tree]:
    """The whole chain of the account, each event with the number of its seal: a part of a chain proves nothing."""
    sealed = Event.objects.filter(account=call.account).extra(select={"sealed_by": SEALED_BY})  # noqa: S610
    return [{**row(event), "sealed_by": event.sealed_by} for event in sealed.order_by("seq")]


def _assessments(call: MarginCall) -> "QuerySet[Assessment]":
    """What was known when the call was issued and whenever an event changed it."""
    moments = call.events.values("at")
    found = Assessment.objects.filter(Q(pk=call.assessment_id) | Q(account=call.account_id, at__in=moments))
    return found.select_related("sweep").order_by("pk")


def _snapshot(call: MarginCall) -> list[Tree]:
    """What the account held as each assessment read it: quantity, cost and mark, and the revision of the book."""
    found = []
    for assessment in _assessments(call):
        held = [line[0] for line in assessment.holdings]
        known = Instrument.objects.in_bulk(held)
        found.append(
            {
                "assessment": assessment.pk,
                "at": chain.text(assessment.at),
                "revision": assessment.revision,
                "digest": assessment.digest,
                "holdings": [
                    {
                        **{"instrument": known[one].code, "name": known[one].name, "kind": known[one].kind},
                        **{"currency": known[one].currency, "quantity": quantity, "cost": cost, "mark": mark},
                    }
                    for one, quantity, cost, mark in assessment.holdings
                ],
            }
        )
    return found


def _computation(call: MarginCall) -> Tree:
    """The assessments, measure by measure, charge by charge."""
    found = []
    for assessment in _assessments(call):
        measures = [
            {**row(measure), "charges": _charges(measure)}
            for measure in Measure.objects.filter(assessment=assessment).order_by("pk")
        ]
        found.append({**row(assessment), "sweep": row(assessment.sweep), "measures": measures})
    return {"assessments": found}


def _charges(measure: Measure) -> list[Tree]:
    return [
        {
            "code": charge.code,
            "instrument": charge.instrument.code if charge.instrument else None,
            "amount": assessments.plain(charge.amount),
            "explanation": charge.explanation,
        }
        for charge in Charge.objects.filter(measure=measure).select_related("instrument")
    ]


def _policies(call: MarginCall) -> Tree:
    """The version the call was issued under, those of its assessments, and the agreement they govern."""
    versions = {call.policy_version_id, *call.account.assessments.values_list("policy_version", flat=True)} - {None}
    found = PolicyVersion.objects.filter(pk__in=versions).select_related("policy").order_by("pk")
    return {
        "agreement": call.account.agreement,
        "versions": [{**row(version), "policy": version.policy.code} for version in found],
        "governing": policies.read(call.policy_version).policy.code,
    }


def _documents(call: MarginCall) -> list[Tree]:
    """The agreements and disclosures owed to the client when the call was issued: the version in force, the one that
    the client had, and every receipt until then."""
    client = call.account.client_id
    zone = ZoneInfo(settings.TIME_ZONE)
    return [
        {
            "in_force": row(one.current),
            "held": row(one.held) if one.held else None,
            **{name: chain.text(getattr(one, name)) for name in ("given_at", "accepted_at", "revoked_at")},
            "due_on": _plain(one.due_on),
            "lacking": one.lack,
            "receipts": all_of(
                DocumentReceipt.objects.filter(
                    client=client, at__lte=call.issued_at, document__kind=one.current.kind,
                    document__agreement=one.current.agreement,
                )
            ),
        }
        for one in documents.owed([client], at=call.issued_at, zone=zone)
    ]  # fmt: skip


def _prices(call: MarginCall) -> Tree:
    """What the sweeps of its assessments knew of every instrument the account held: mark, instant, source, refusal."""
    found = []
    for assessment in _assessments(call):
        known = prices_of(assessment.sweep)
        held = [line[0] for line in assessment.holdings]
        codes = dict(Instrument.objects.filter(pk__in=held).values_list("pk", "code"))
        found.append(
            {
                "sweep": assessment.sweep_id,
                "at": chain.text(known.at),
                "prices": {
                    codes[instrument]: _plain(vars(known.prices[instrument]))
                    for instrument in held
                    if instrument in known.prices
                },
                "fx": [[base, quoted, str(rate)] for (base, quoted), rate in sorted(known.fx.items())],
                "parameters": known.parameters,
            }
        )
    return {"sweeps": found}


def _notices(call: MarginCall) -> list[Tree]:
    """Each letter word for word, with its template's version, every try and every reply of the provider."""
    return [
        {
            **row(notice, "html", "lease_token", "lease_until"),
            "attempts": all_of(Attempt.objects.filter(notice=notice)),
            "replies": all_of(Delivery.objects.filter(notice=notice)),
        }
        for notice in Notice.objects.filter(event__call=call).order_by("pk")
    ]


def _contacts(call: MarginCall) -> list[Tree]:
    """Each conversation about the call: who, how, what was said, and the amount and the deadline that were quoted."""
    found = []
    for event in Event.objects.filter(call=call, kind="contact.logged").order_by("seq"):
        body = confidence.opened(loads(event.body))
        said = {name: body.get(name) for name in ("at", "actor", "role", "reason")}
        found.append({"seq": event.seq, **said, **(body.get("details") or {})})
    return found


def _cases(call: MarginCall) -> Mapping[str, Iterable[Tree]]:
    return {
        "cures": all_of(Cure.objects.filter(call=call)),
        "requests": all_of(call.requests.all()),
        "disputes": all_of(call.disputes.all()),
        "tasks": all_of(call.tasks.all()),
        "restrictions": all_of(call.restrictions.all()),
        "receivables": all_of(Receivable.objects.filter(call=call)),
    }


def _plans(call: MarginCall) -> list[Tree]:
    """Every plan: its lines, who approved which content, its release, and its orders with all that was told of them."""
    return [
        {
            **row(plan),
            "lines": [
                {**row(line), "instrument": line.instrument.code}
                for line in PlanLine.objects.filter(plan=plan).select_related("instrument").order_by("pk")
            ],
            "approvals": all_of(Approval.objects.filter(plan=plan)),
            "release": _release(plan),
            "orders": [
                {**row(order, "token"), "reports": all_of(order.reports.all())}
                for order in Order.objects.filter(line__plan=plan).order_by("pk")
            ],
            "fills": [
                {**row(filled.fill), "line": filled.line_id, "report": filled.report_id}
                for filled in PlanFill.objects.filter(line__plan=plan).select_related("fill").order_by("pk")
            ],
        }
        for plan in Plan.objects.filter(call=call).order_by("pk")
    ]


def _release(plan: Plan) -> Tree | None:
    """How it was let out, with the standing approval that it rests on, if any."""
    found = Release.objects.filter(plan=plan).select_related("standing").first()
    if found is None:
        return None
    return {**row(found), "standing_approval": row(found.standing) if found.standing else None}


def _seals(call: MarginCall) -> list[Tree]:
    """The seals that cover an event of the account's chain."""
    covering = "EXISTS (SELECT FROM margin_event e WHERE e.account_id = %s AND margin_ids(margin_seal.events) @> e.id)"
    return all_of(Seal.objects.extra(where=[covering], params=[call.account_id]))  # noqa: S610 - text of ours


PERSON = ("approver_id", "owner_id")


def _named(part: Any) -> set[int]:
    """Members of staff whom rows name by number."""
    if isinstance(part, list):
        return set().union(*map(_named, part))
    if not isinstance(part, dict):
        return set()
    found = {
        value for key, value in part.items() if isinstance(value, int) and (key.endswith("_by_id") or key in PERSON)
    }
    return found.union(*map(_named, part.values()))


def _people(named: set[int]) -> Mapping[str, Tree]:
    staff = get_user_model().objects.filter(pk__in=named).order_by("pk")
    return {str(one.pk): {"login": one.get_username(), "name": one.get_full_name()} for one in staff}
