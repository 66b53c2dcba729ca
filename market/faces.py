"""What every admin page of ours shares: rows are read, never edited; a button is one domain call.

Rows of the domain change through the modules that own them, so no page here adds, changes or deletes one.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import Error as DatabaseError
from django.db import IntegrityError, models
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin

from market import figures

MOST_ROWS = 100


@dataclass(frozen=True)
class Button:
    """A POST to `url`. With `field` the person writes something first ("reason"); `why_not` greys it out."""

    label: str
    url: str
    look: str = "plain"
    field: str = ""
    hint: str = ""
    why_not: str = ""


@dataclass(frozen=True)
class Table:
    """Rows that belong to the row of the page. `empty` says what would be here and why it is not."""

    title: str
    heads: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    empty: str = "Nothing yet."
    note: str = ""

    @property
    def columns(self) -> list[tuple[str, bool]]:
        """Each head, and whether its column holds figures (those stand to the right)."""
        first = self.rows[0] if self.rows else ()
        return [(head, 'class="figure' in str(cell)) for head, cell in zip_longest(self.heads, first, fillvalue="")]


class ReadOnlyAdmin(ModelAdmin):
    """A list and a page of facts. Subclasses add `tables` and `buttons`, or a page of their own."""

    actions = None
    list_per_page = 50
    show_full_result_count = True
    list_fullwidth = True
    empty_value_display = "—"
    left_out: tuple[str, ...] = ()

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def tables(self, request: HttpRequest, obj: Any) -> list[Table]:
        return []

    def buttons(self, request: HttpRequest, obj: Any) -> list[Button]:
        return []

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": Named(obj._meta, obj.pk, name_of(obj)),
            "row": obj,
            "title": name_of(obj),
            "facts": facts(request, obj, left_out=self.left_out),
            "tables": self.tables(request, obj),
            "buttons": self.buttons(request, obj),
            **(extra_context or {}),
        }
        return TemplateResponse(request, self.change_form_template or "desk/row.html", context)


@dataclass(frozen=True)
class Named:
    """A row as the breadcrumbs want it, under the name of its page."""

    _meta: Any
    pk: Any
    name: str

    def __str__(self) -> str:
        return self.name


# --- rows as text -----------------------------------------------------------------------------------


def column(name: str, show: Callable[[Any], Any], *, description: str = "", ordering: str = "") -> Callable[[Any], Any]:
    """A list column. A name that starts with "figure_" is right-aligned, head and cells."""

    @admin.display(description=description or name.removeprefix("figure_").replace("_", " "), ordering=ordering or None)
    def cell(obj: Any) -> Any:
        return show(obj)

    cell.__name__ = name
    return cell


def at_column(name: str, description: str = "") -> Callable[[Any], Any]:
    """A column with an instant in the desk's zone."""
    words = description or name.removesuffix("_at").replace("_", " ")
    return column(f"instant_{name}", lambda row: figures.instant(getattr(row, name)), description=words, ordering=name)


def name_of(obj: models.Model) -> str:
    """ "fill of A1008 XYZ": a row about an account or an instrument is called after them; else by its own name."""
    others = [getattr(obj, name, None) for name in ("account", "instrument")]
    about = " ".join(str(other) for other in others if other is not None)
    return f"{obj._meta.verbose_name} of {about}" if about else str(obj)


def link(request: HttpRequest, obj: models.Model | None, text: str = "") -> Any:
    """The row's name, as a link where the person may see its page."""
    if obj is None:
        return figures.missing("none")
    room, model = obj._meta.app_label, str(obj._meta.model_name)
    if not request.user.has_perm(f"{room}.view_{model}"):
        return text or str(obj)
    try:
        url = reverse(f"admin:{room}_{model}_change", args=(obj.pk,))
    except NoReverseMatch:
        return text or str(obj)
    return format_html('<a class="link" href="{}">{}</a>', url, text or str(obj))


def facts(request: HttpRequest, obj: models.Model, *, left_out: Iterable[str] = ()) -> list[tuple[str, Any]]:
    """Every column of a row with its name, as the desk writes such values."""
    hidden = {"id", "transaction_id", *left_out}
    fields = [field for field in obj._meta.concrete_fields if field.name not in hidden]
    return [(str(field.verbose_name), shown(request, obj, field)) for field in fields]


def shown(request: HttpRequest, obj: models.Model, field: Any) -> Any:
    value = getattr(obj, field.name)
    if value is None or value in ("", [], {}):
        return figures.missing("empty")
    if isinstance(value, models.Model):
        return link(request, value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if field.choices:
        return getattr(obj, f"get_{field.name}_display")()
    return written(value)


def written(value: Any) -> Any:
    if isinstance(value, datetime):
        return figures.instant(value, seconds=True)
    if isinstance(value, Decimal):
        return figures.quantity(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict | list):
        return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False, default=str))
    return value


# --- duties and deeds -------------------------------------------------------------------------------


def may(request: HttpRequest, duty: str) -> bool:
    """Whether this person's role holds a duty, such as "market.change_heldquote" (confirm or reject a quote).

    Superusers keep the house running and do no desk work: they may nothing here.
    """
    return request.user.has_perm(duty) and not getattr(request.user, "is_superuser", False)


def require(request: HttpRequest, duty: str) -> None:
    if not may(request, duty):
        raise PermissionDenied(f"Your role does not allow this ({duty}); ask a colleague whose role does.")


def act(
    request: HttpRequest,
    *,
    back: str,
    done: str,
    deed: Callable[[], Any],
    refusals: tuple[type[Exception], ...] = (),
) -> HttpResponse:
    """Do the one domain call of a POST and go back.

    A refusal (`refusals`, a bad value, a rule of the database) becomes a message that says why; the domain call is one
    transaction, so nothing is half done.
    """
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    told: tuple[type[Exception], ...] = (*refusals, ValueError, ValidationError)
    try:
        deed()
    except told as refusal:
        messages.error(request, f"Not done. {sentence(refusal)}")
    except IntegrityError as refusal:
        rule = getattr(getattr(refusal.__cause__, "diag", None), "constraint_name", None) or "a rule of the database"
        messages.error(request, f"Not done. The database refused: {rule.replace('_', ' ')}. Reload and decide again.")
    except DatabaseError as refusal:
        messages.error(request, f"Not done. {sentence(refusal)}. Reload and try again.")
    else:
        messages.success(request, done)
    return HttpResponseRedirect(back)


def sentence(error: Exception) -> str:
    """The first line of an error, which says what happened and what to do; the rest is for logs."""
    texts = getattr(error, "messages", None) or [str(error)]
    return " ".join(str(text).strip().splitlines()[0] for text in texts if str(text).strip()) or type(error).__name__
