"""The acts of `margin.verbs` as plain HTML forms: one POST, one domain call, refusals said in a sentence."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from margin import actors, calls, verbs
from margin.actors import Actor
from margin.acts import Act, Field
from market import clock, strict
from market.faces import act as press

INPUTS = {
    strict.instant: "instant",
    strict.choice: "choice",
    strict.boolean: "flag",
    strict.decimal: "figure",
    strict.integer: "figure",
}
PLACES = {"calls": "admin:margin_margincall_do", **{on: f"admin:cases_{on}_do" for on in verbs.ROWS if on != "calls"}}
LONG = 200


@dataclass(frozen=True)
class Box:
    """A field of a form: which input asks for it."""

    field: Field
    kind: str
    is_required: bool

    @property
    def length(self) -> int:
        """The most characters that it takes."""
        return int(self.field.how.options.get("length", 64))


@dataclass(frozen=True)
class Form:
    """One button, and what is to be filled in before it is pressed."""

    act: Act
    url: str
    seq: int | None
    boxes: tuple[Box, ...]


def forms_of(on: str, row: Any, request: HttpRequest) -> list[Form]:
    """What this person may do with this row now, as forms."""
    return forms(on, row, actors.person(request.user), timezone.now())


def forms(on: str, row: Any, actor: Actor, at: datetime) -> list[Form]:
    return [form(act, row) for act in verbs.offered(on, row, actor, at=at)]


def form(act: Act, row: Any) -> Form:
    boxes = tuple(Box(field, _input(field), not field.how.optional) for field in act.fields)
    return Form(act, reverse(PLACES[act.on], args=(row.pk, act.name)), getattr(row, "seq", None), boxes)


def carry_out(request: HttpRequest, act: Act, row: Any, *, back: str) -> HttpResponse:
    """Do the one domain call of a form that was sent, and go back."""

    def deed() -> Any:
        actor = actors.person(request.user)
        if actor.role not in act.roles(row):
            raise calls.Refused(f"{actor.name} may not do this; it takes {' or '.join(act.roles(row))}")
        return verbs.carry_out(act, row, typed(request, act), at=clock.now(), actor=actor)

    refusals = (calls.CallError, clock.SkewedClock)
    return press(request, back=back, done=act.done.format(row=row), deed=deed, refusals=refusals)


def typed(request: HttpRequest, act: Act) -> dict[str, Any]:
    """What was filled in, as typed values. Raises strict.Refused naming the fields as the form does."""
    texts = {name: " ".join(request.POST.get(name, "").split()) for name in act.columns}
    for name, how in act.columns.items():
        if how.read is strict.instant and texts[name]:
            texts[name] = _in_utc(texts[name])
        if how.read is strict.boolean and texts[name]:
            texts[name] = "true"
    labels = {field.name: field.label for field in act.fields}
    try:
        return strict.record(texts, act.columns)
    except strict.Refused as refusal:
        told = (f"{labels.get(one.field, one.field)} {one.reason}" for one in refusal.problems)
        raise ValueError("; ".join(told)) from None


def _in_utc(text: str) -> str:
    """What a browser's date and time box sends, which knows no zone: the label says that it is UTC."""
    return f"{text}:00Z" if len(text) == len("2026-11-20T15:30") else f"{text}Z" if len(text) == 19 else text


def _input(field: Field) -> str:
    if field.how.read in INPUTS:
        return INPUTS[field.how.read]
    return "words" if field.how.options.get("length", 0) > LONG else "line"
