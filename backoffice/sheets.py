"""Forms on pages of their own, for deeds that begin with no row of the call: one POST, one domain call, by role.

What is typed is read by the same columns as the body of the API; what is wrong is said at its field and nothing typed
is lost.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts import alerts, contacts, document_api, documents, wishes
from accounts.models import Account, Client, Document, DocumentReceipt
from backoffice import erasure
from margin import actors, calls, controls, reconciling, requests, retention, verb_api, warning_api
from margin.actors import Actor
from margin.models import Erasure, LegalHold
from margin.workflow import Verb
from market import clock, strict
from market.faces import sentence

REFUSALS = (calls.CallError, clock.SkewedClock, ValueError)


@dataclass(frozen=True)
class Sheet:
    """One form. `of` is the row whose code it names; `deed` does it and gives the page to go to and what to say."""

    name: str
    title: str
    note: str
    of: str
    roles: tuple[str, ...]
    columns: Mapping[str, strict.Column]
    deed: Callable[..., tuple[str, str]]
    hints: Mapping[str, str]
    fits: Callable[[str], bool] = lambda code: True
    """Whether the row of that code has use for it now; a link is shown only then."""


def page_of(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=(row.pk,))


def _account(code: str) -> Account:
    found = Account.objects.filter(code=code).first()
    if found is None:
        raise strict.refuse("account", f"{code} is no account of ours")
    return found


def _client(code: str) -> Client:
    found = Client.objects.filter(code=code).first()
    if found is None:
        raise strict.refuse("client", f"{code} is no client of ours")
    return found


def _contact(*, client: str, at: datetime, actor: Actor, **said: Any) -> tuple[str, str]:
    found = _client(client)
    given = {name: value for name, value in said.items() if value is not None}
    return page_of(found), f"{contacts.state(found, by=actor.name, **given)} is on file."


def _document(*, at: datetime, actor: Actor, **said: Any) -> tuple[str, str]:
    kept = documents.publish(Document(**said, entered_by=actor.name))
    return page_of(kept), f"{kept} is on file."


def _receipt(
    *, client: str, kind: str, agreement: str, version: str, done_at: datetime, at: datetime, actor: Actor, **said: Any
) -> tuple[str, str]:
    found = documents.client_of(client)
    document = documents.document_of(kind=kind, agreement=agreement, version=version)
    reference = said.pop("external_reference") or f"{document.pk}-{found.pk}-{said['act']}-{done_at:%Y%m%dT%H%M%S}"
    given = DocumentReceipt(
        client=found, document=document, at=done_at, source="desk", external_reference=reference,
        entered_by_id=actor.user_id, **said,
    )  # fmt: skip
    documents.record([given], at=at)
    return page_of(found), f"{document}: {given.get_act_display()}, kept for {found}."


def _hold(*, client: str, **said: Any) -> tuple[str, str]:
    return page_of(retention.place_hold(_client(client), **said)), f"Nothing of {client} is erased until it is lifted."


def _lift_hold(*, client: str, **said: Any) -> tuple[str, str]:
    return page_of(retention.lift_hold(_client(client), **said)), f"The legal hold of {client} is lifted."


def _ask_erasure(*, client: str, **said: Any) -> tuple[str, str]:
    asked = retention.ask_erasure(_client(client), **said)
    return page_of(asked), f"The erasure of {client} is asked for; another person carries it out."


def _erase(*, client: str, again: str, at: datetime, actor: Actor) -> tuple[str, str]:
    if again != client:
        raise strict.refuse("again", f"is not {client}; nothing was erased")
    done = erasure.carry_out(_client(client), at=at, actor=actor)
    return page_of(done), f"Names, addresses and words of {client} are erased for good."


def _is_held(client: str) -> bool:
    return LegalHold.objects.filter(client__code=client, lifted_at=None).exists()


def _is_asked(client: str) -> bool:
    return Erasure.objects.filter(client__code=client, done_at=None).exists()


def _alert(*, account: str, level: Any, reason: str, at: datetime, actor: Actor) -> tuple[str, str]:
    stated = alerts.state(_account(account), level, reason=reason, by=actor.name)
    told = "by the policy alone" if level is None else f"below {level}"
    return page_of(stated), f"{stated} is warned {told}."


def _keep_last(*, account: str, **said: Any) -> tuple[str, str]:
    stated = controls.keep_last(_account(account), **said)
    return page_of(stated), f"Of {stated} is sold last: {', '.join(wishes.kept(stated)) or 'nothing in particular'}."


def _reconcile(*, account: str, **said: Any) -> tuple[str, str]:
    found = _account(account)
    reconciling.confirm(found, **said)
    return page_of(found), f"The book of {found} is confirmed; the next sweep may meet its calls."


def _call(*, account: str, **said: Any) -> tuple[str, str]:
    made = verb_api.by_hand(_account(account), **said)
    is_asked = isinstance(made, verb_api.models.Request)
    return page_of(made), "It is asked for; another person issues it." if is_asked else f"{made} is issued."


def _retract(*, reason_code: str, reason: str, at: datetime, actor: Actor, **said: Any) -> tuple[str, str]:
    listed = verb_api.resting(said)
    made = requests.ask_retraction(listed, reason_code=reason_code, reason=reason, at=at, actor=actor)
    return page_of(made[0]), f"The retraction of {len(made)} calls is asked for; another person decides."


RECEIPT = {
    **{name: how for name, how in document_api.RECEIPT_COLUMNS.items() if name not in ("at", "source")},
    "done_at": strict.column(strict.instant),
    "external_reference": strict.column(strict.code, length=80, optional=True, default=""),
}
CLIENT = {"client": strict.column(strict.code, length=24)}
ACCOUNT = {"account": strict.column(strict.code, length=24)}
NAMELESS = {"reason": "kept in the history; name nobody in it"}
SHEETS = (
    Sheet(
        "contact", "Change or add a contact",
        "Notices go to the new address from now on. An address that is not on file, with a name, is a new contact.",
        "client", contacts.ROLES, {**CLIENT, **controls.CONTACT}, _contact,
        {"email": "as it is on file", "new_email": "empty: stays", "receives_notices": "empty: as before"},
    ),
    Sheet(
        "receipt", "Note an agreement or disclosure", "The client was given a version, agreed to it, or took it back.",
        "client", documents.ROLES, RECEIPT, _receipt,
        {
            "agreement": "as on the document; empty: it is for every client",
            "done_at": "UTC, such as 2026-11-20T15:00:00Z",
            "external_reference": "of the letter or the signature; empty: none",
        },
    ),
    Sheet(
        "document", "Enter a version of a document", "The text is kept elsewhere; its hash says which text it is.",
        "document", documents.ROLES, document_api.DOCUMENT_COLUMNS, _document,
        {
            "agreement": "owed to clients with an account of it; empty: to every client",
            "sha256": "as sha256sum prints it", "location": "file or address of the text",
            "effective_at": "UTC, such as 2026-11-20T15:00:00Z",
            "needs_acceptance": "true: being given it is not enough", "is_yearly": "true: given again each year",
        },
    ),
    Sheet(
        "hold", "Place a legal hold", "While it stands nothing of the client is erased, whatever has run out.",
        "client", calls.MAY[Verb.PLACE_LEGAL_HOLD], {**CLIENT, **controls.WHY}, _hold, NAMELESS,
        lambda code: not _is_held(code),
    ),
    Sheet(
        "lift-hold", "Lift the legal hold", "What the law retains stays retained.",
        "client", calls.MAY[Verb.LIFT_LEGAL_HOLD], {**CLIENT, **controls.WHY}, _lift_hold, NAMELESS, _is_held,
    ),
    Sheet(
        "ask-erasure", "Ask to erase the client", "Once all accounts are closed, their years are over and no hold"
        " stands. Another person carries it out.",
        "client", calls.MAY[Verb.ERASE], {**CLIENT, **controls.WHY}, _ask_erasure, NAMELESS,
        lambda code: not Erasure.objects.filter(client__code=code).exists(),
    ),
    Sheet(
        "erase", "Erase the client", "Another person asked for it. Names, addresses, letters and what people wrote"
        " go for good; amounts, instants and the proof of the history stay. It cannot be undone.",
        "client", calls.MAY[Verb.ERASE], {**CLIENT, "again": strict.column(strict.code, length=24)}, _erase,
        {"again": "the client's code once more"}, _is_asked,
    ),
    Sheet(
        "alert", "State the client's warning level", "It brings warnings forward, never later than the policy's.",
        "account", alerts.ROLES, {**ACCOUNT, **warning_api.ASKED}, _alert,
        {"level": "equity ÷ requirement above 1, such as 1.25; empty: by the policy alone"},
    ),
    Sheet(
        "keep", "State what the client wants sold last", "Sold only when the rest is not enough, where the account's"
        " policy honours it.",
        "account", wishes.ROLES, {**ACCOUNT, **controls.KEEP}, _keep_last,
        {"keep": "instruments or kinds, the one kept longest first, such as SPY, etf; empty: no wish"},
    ),
    Sheet(
        "reconcile", "Confirm a book as whole", "Positions went without a trade; until somebody confirms it, no call of"
        " the account is met.",
        "account", reconciling.MAY_CONFIRM, {**ACCOUNT, **controls.WHY}, _reconcile, {},
    ),
    Sheet(
        "call", "Call by hand", "Above what the policy lets one person call, another person issues it.",
        "account", calls.MAY[Verb.PROPOSE_ISSUE], verb_api.BY_HAND, _call, {"amount": "such as 5000.00"},
    ),
    Sheet(
        "retraction", "Retract calls of a wrong price", "All open calls whose assessment used the price; another person"
        " grants the whole proposal.",
        "", calls.MAY[Verb.PROPOSE_CANCEL], {**verb_api.BY_PRICE, **verb_api.WHY}, _retract,
        {
            "instrument": "whose price was wrong", "assessed_from": "UTC, such as 2026-11-20T15:00:00Z",
            "assessed_until": "empty: until now", "price": "empty: any price of that time",
        },
    ),
)  # fmt: skip
BY_NAME = {sheet.name: sheet for sheet in SHEETS}


def offered(user: Any, of: str, code: str) -> list[Sheet]:
    """The forms about such a row ("" for the queue) that this person may fill in and the row has use for."""
    role = actors.person(user).role
    return [sheet for sheet in SHEETS if sheet.of == of and role in sheet.roles and sheet.fits(code)]


def form_of(sheet: Sheet, *typed: Any, **options: Any) -> forms.Form:
    fields = {name: _field(how, sheet.hints.get(name, "")) for name, how in sheet.columns.items()}
    return type("SheetForm", (forms.Form,), fields)(*typed, **options)


def _field(how: strict.Column, hint: str) -> forms.Field:
    required = not how.optional
    choices = list(how.options["of"]) if how.read is strict.choice else []
    choices = ["true", "false"] if how.read is strict.boolean else choices
    if choices:
        words = [("", "—"), *((one, one.replace("_", " ")) for one in choices)]
        return forms.ChoiceField(choices=words, required=required, help_text=hint)
    return forms.CharField(required=required, help_text=hint, max_length=how.options.get("length", 64))


def show(request: HttpRequest, name: str) -> HttpResponse:
    """The form, what is wrong with it, or what was done."""
    sheet = BY_NAME.get(name)
    if sheet is None:
        raise Http404(f"There is no form {name}.")
    actor = actors.person(request.user)
    if actor.role not in sheet.roles:
        raise PermissionDenied(f"{actor.name} may not do this; it takes {' or '.join(sheet.roles)}.")
    form = form_of(sheet, request.POST or None, initial={sheet.of: request.GET.get("of", "")})
    if request.method == "POST" and form.is_valid() and (done := carry_out(sheet, form, actor)):
        messages.success(request, done[1])
        return HttpResponseRedirect(done[0])
    context = {**admin.site.each_context(request), "title": sheet.title, "sheet": sheet, "form": form}
    return TemplateResponse(request, "desk/sheet.html", context)


def carry_out(sheet: Sheet, form: forms.Form, actor: Actor) -> tuple[str, str] | None:
    """The one domain call; None where it was refused, which the form then says."""
    try:
        said = strict.record(form.cleaned_data, sheet.columns)
        return sheet.deed(**said, at=clock.now(), actor=actor)
    except strict.Refused as refusal:
        for one in refusal.problems:
            form.add_error(one.field if one.field in form.fields else None, one.reason)
    except REFUSALS as refusal:
        form.add_error(None, sentence(refusal))
    return None
