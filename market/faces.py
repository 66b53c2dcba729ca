"""What every admin page of ours shares: rows are read, never edited; a button is one domain call.

Rows of the domain change through the modules that own them, so no page here adds, changes or deletes one.
"""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import Error as DatabaseError
from django.db import IntegrityError, transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from unfold.admin import ModelAdmin


class ReadOnlyAdmin(ModelAdmin):
    """Lists and details only. Subclasses with a page of their own name a template in `change_form_template`."""

    actions = None
    list_per_page = 50
    show_full_result_count = False
    list_fullwidth = True
    empty_value_display = "—"

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def may(request: HttpRequest, duty: str) -> bool:
    """Whether this person's role holds a duty, such as "market.change_heldquote" (confirm or reject a quote).

    Superusers keep the house running; they do no desk work unless their own rights allow it, so they may nothing here.
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
    """Do one deed of a POST and go back. A refusal is told as a message with its reason; nothing is half done."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        with transaction.atomic():
            result = deed()
    except (*refusals, ValueError, ValidationError) as refusal:
        messages.error(request, f"Not done. {sentence(refusal)}")
    except IntegrityError as refusal:
        rule = getattr(getattr(refusal.__cause__, "diag", None), "constraint_name", None) or "a rule of the database"
        messages.error(request, f"Not done. The database refused: {rule.replace('_', ' ')}. Reload and decide again.")
    except DatabaseError as refusal:
        messages.error(request, f"Not done. {sentence(refusal)}. Reload and try again.")
    else:
        messages.success(request, done.format(result=result))
    return HttpResponseRedirect(back)


def sentence(error: Exception) -> str:
    """The first line of an error, which says what happened and what to do; the rest is for logs."""
    texts = getattr(error, "messages", None) or [str(error)]
    return " ".join(str(text).strip().splitlines()[0] for text in texts if str(text).strip()) or type(error).__name__
