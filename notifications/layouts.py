"""Setting a letter as a mail: one text and one MJML layout per kind (templates/notices), and what they amount to.

Layouts choose and order the letter's sections; they hold no sentence and no figure of their own.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote

import mrml
from django.template.loader import render_to_string
from django.utils import translation

from notifications import addresses, wording, writers
from notifications.cases import Case

LOCALES = ("en",)
FOLDER = Path(__file__).resolve().parent.parent / "templates" / "notices"


@dataclass(frozen=True)
class Mail:
    """What is sent, and the hash of exactly these bytes."""

    subject: str
    text: str
    html: str
    locale: str
    template_version: str

    @property
    def content_hash(self) -> str:
        whole = "\x00".join((self.subject, self.text, self.html))
        return hashlib.sha256(whole.encode()).hexdigest()


def locale_of(*languages: str) -> str:
    """The first of the languages that notices are written in, else English."""
    for language in languages:
        if language in LOCALES:
            return language
        if language.partition("-")[0] in LOCALES:
            return language.partition("-")[0]
    return LOCALES[0]


def write(case: Case, *, locale: str) -> Mail:
    """The mail of a case. Raises Unwritable, or addresses.BadHeader for a subject of more than one line."""
    with translation.override(locale):
        letter = writers.letter(case)
        context = {
            "letter": letter,
            "sections": letter.sections,
            "case": case,
            "locale": locale,
            "version": template_version(case.kind),
            "prepared": wording.instant(case.at, case.zone),
            "reply_to": _reply_address(case),
        }
        return Mail(
            subject=addresses.line(letter.subject),
            text=_tidy(render_to_string(f"notices/{case.kind}.txt", context)),
            html=mrml.to_html(render_to_string(f"notices/{case.kind}.mjml", context)).content,
            locale=locale,
            template_version=template_version(case.kind),
        )


@cache
def template_version(kind: str) -> str:
    """`call.issued-1f0c9a2b`: changes whenever one of the kind's layouts or the parts they share changes."""
    files = sorted({FOLDER / f"{kind}.txt", FOLDER / f"{kind}.mjml", *FOLDER.glob("parts/*")})
    digest = hashlib.sha256(b"\x00".join(file.read_bytes() for file in files)).hexdigest()
    return f"{kind}-{digest[:8]}"


def _reply_address(case: Case) -> str:
    """Where the button leads: the firm's own mailbox, with the reference filled in."""
    return f"mailto:{quote(case.firm.email, safe='@')}?subject={quote(case.reference)}"


def _tidy(text: str) -> str:
    """At most one empty line in a row, no blanks at line ends."""
    lines: list[str] = []
    for line in (one.rstrip() for one in text.strip().splitlines()):
        if line or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines) + "\n"
