"""The passport of a call: all that explains and proves it, in one ZIP that anyone can verify (`verifier/passport.py`).

JSON for programs, a PDF for people, the account's whole chain of events for both. The manifest lists every file with
its hashes and carries a code made with the history's key, which the database does not hold.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Model, Q, QuerySet

from accounts.models import Contact
from backoffice import passport_paper
from margin import assessments, chain, history_keys, policies
from margin.models import (
    Approval,
    Assessment,
    Charge,
    Cure,
    Event,
    MarginCall,
    Measure,
    Plan,
    PlanFill,
    PlanLine,
    PolicyVersion,
    Receivable,
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
        "computation": _computation(call),
        "policies": _policies(call),
        "prices": _prices(call),
        "notices": _notices(call),
        "cases": _cases(call),
        "plans": _plans(call),
        "seals": _seals(call),
    }
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


def _events(call: MarginCall) -> list[Tree]:
    """The whole chain of the account: a part of a chain proves nothing."""
    return [row(event) for event in Event.objects.filter(account=call.account).order_by("seq")]


def _assessments(call: MarginCall) -> "QuerySet[Assessment]":
    """What was known when the call was issued and whenever an event changed it."""
    moments = call.events.values("at")
    found = Assessment.objects.filter(Q(pk=call.assessment_id) | Q(account=call.account_id, at__in=moments))
    return found.select_related("sweep").order_by("pk")


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
    """Every plan with its lines, who approved which content, and what was filled."""
    return [
        {
            **row(plan),
            "lines": all_of(PlanLine.objects.filter(plan=plan)),
            "approvals": all_of(Approval.objects.filter(plan=plan)),
            "fills": [
                {**row(filled.fill), "line": filled.line_id}
                for filled in PlanFill.objects.filter(line__plan=plan).select_related("fill").order_by("pk")
            ],
        }
        for plan in Plan.objects.filter(call=call).order_by("pk")
    ]


def _seals(call: MarginCall) -> list[Tree]:
    """The seals that cover an event of the account's chain."""
    covering = "EXISTS (SELECT FROM margin_event e WHERE e.account_id = %s AND margin_ids(margin_seal.events) @> e.id)"
    return all_of(Seal.objects.extra(where=[covering], params=[call.account_id]))  # noqa: S610 - text of ours
