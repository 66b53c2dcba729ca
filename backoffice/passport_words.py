"""How the pages of a passport write what its JSON keeps as text."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from backoffice import papers


def when(instant: str | None) -> str:
    """An instant as every page writes it, or nothing."""
    return papers.words(datetime.fromisoformat(instant)) if instant else ""


def number(amount: str | None) -> Decimal | None:
    """An amount that a table sets right."""
    return None if amount in (None, "") else Decimal(str(amount))


def spaced(code: str) -> str:
    return code.replace(".", " ").replace("_", " ")


def named(person: int | None, people: Mapping[str, Any]) -> str:
    """The login of a member of staff, with the name behind it; "" for nobody."""
    if person is None:
        return ""
    one = people.get(str(person))
    if one is None:
        return f"person {person}"
    return f"{one['login']} ({one['name']})" if one["name"] else str(one["login"])
