"""What may stand in a mail's headers: exactly one address, and one line of subject. Pure.

A recipient string with a line break or a comma becomes two recipients in the mail libraries, and a client's notice
goes to a stranger (fault M9); so both are refused here, before any library sees them.
"""

import unicodedata

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

LONGEST_SUBJECT = 200
LONGEST_ADDRESS = 254
# Lists, groups, routes, comments, quoted strings and address literals: none is a client's plain address.
NEVER_IN_AN_ADDRESS = ',;:<>()[]"\\%!|`'
BREAKING = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
JOINERS = "\u200c\u200d"  # Persian names and emoji need them


class BadHeader(ValueError):
    """A value may not stand in a mail header; the message names the field, what is wrong, and what to do."""


def single(address: str) -> str:
    """The address, if it is exactly one plain mailbox. Raises BadHeader."""
    if not address:
        raise BadHeader("email: the contact has no address; enter one")
    if len(address) > LONGEST_ADDRESS:
        raise BadHeader(f"email: {len(address)} characters, {LONGEST_ADDRESS} are allowed; enter one address")
    for character in address:
        if character in NEVER_IN_AN_ADDRESS or character.isspace() or _breaks(character):
            raise BadHeader(
                f"email: {_named(character)} is not allowed in {address!r}; enter exactly one plain address"
            )
    local, _, _ = address.rpartition("@")
    if not local.isascii():
        raise BadHeader(f"email: {address!r} has letters before the @ that many mail servers refuse; enter another")
    try:
        validate_email(address)
    except ValidationError:
        raise BadHeader(f"email: {address!r} is not one address of the form name@domain; correct it") from None
    return address


def line(subject: str) -> str:
    """The subject, if it is one line of visible text. Raises BadHeader."""
    if not subject.strip():
        raise BadHeader("subject: it is empty; the notice must be prepared again")
    if len(subject) > LONGEST_SUBJECT:
        raise BadHeader(f"subject: {len(subject)} characters, {LONGEST_SUBJECT} are allowed")
    for character in subject:
        if _breaks(character):
            raise BadHeader(f"subject: {_named(character)} is not allowed in one line of text")
    return subject


def visible(text: str) -> str:
    """The text as one line without control, format and direction characters: names of people and things."""
    kept = "".join(" " if _breaks(character) and character not in JOINERS else character for character in text)
    return " ".join(kept.split())


def _breaks(character: str) -> bool:
    return unicodedata.category(character) in BREAKING


def _named(character: str) -> str:
    return f"{unicodedata.name(character, 'the control character')} (U+{ord(character):04X})"
