"""Links to the forms of `backoffice.sheets` that the person who looks at a page may fill in."""

from typing import Any

from django import template
from django.template.loader import render_to_string

register = template.Library()


@register.simple_tag(takes_context=True)
def sheet_links(context: Any, of: str, code: str = "") -> str:
    """Links about the row `code` of the kind `of`; empty where there are none."""
    from backoffice import sheets

    found = sheets.offered(context["request"].user, of, code)
    return render_to_string("desk/sheet_links.html", {"sheets": found, "code": code}) if found else ""
