"""Calls by the number that staff and clients know them by: MC-1042."""

from margin.models import MarginCall

FIRST = 1000


def find(said: str) -> MarginCall | None:
    """The call of a number (`MC-1042`) or of a plain id; None if there is none."""
    digits = said.upper().removeprefix("MC-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
        return None
    number = int(digits) - (FIRST if digits != said else 0)
    return MarginCall.objects.filter(pk=number).select_related("account__client", "policy_version").first()
