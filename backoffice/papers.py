"""Documents that people print and file: PDF pages of headings, sentences and tables, in any script.

Two fonts are embedded, so that a page reads the same anywhere: Noto Sans, and Noto Sans SC for what it lacks (Chinese
and Japanese). A document made twice from the same content is the same, byte by byte.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from html import escape
from importlib.resources import files
from io import BytesIO
from itertools import groupby

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, LongTable, PageBreak, Paragraph, SimpleDocTemplate, Spacer, TableStyle

LATIN, CJK = "NotoSans", "NotoSansSC"
GREY = colors.HexColor("#6b7280")
LINE = colors.HexColor("#d1d5db")
SHADE = colors.HexColor("#f3f4f6")


@cache
def fonts() -> frozenset[int]:
    """Register both fonts; the characters that the first of them has."""
    latin = TTFont(LATIN, str(files("fontpkg_noto_sans") / "files/NotoSans[wdth,wght].ttf"))
    chinese = files("justmytype_intl_cjk") / "fonts/ofl/notosanssc/NotoSansSC[wght].ttf"
    pdfmetrics.registerFont(latin)
    pdfmetrics.registerFont(TTFont(CJK, str(chinese)))
    return frozenset(latin.face.charToGlyph)


def style(size: float = 8, *, space: float = 0, color: colors.Color = colors.black) -> ParagraphStyle:
    fonts()
    return ParagraphStyle(
        f"{size}-{space}", fontName=LATIN, fontSize=size, leading=size * 1.3, spaceAfter=space, textColor=color,
        wordWrap="CJK",
    )  # fmt: skip


def markup(text: str) -> str:
    """The text as Paragraph reads it: nothing in it is markup, and what Noto Sans lacks is set in the other font."""
    known = fonts()
    runs = groupby(text, key=lambda character: ord(character) in known or character.isspace())
    pieces = [(is_latin, escape("".join(run), quote=False).replace("\n", "<br/>")) for is_latin, run in runs]
    return "".join(piece if is_latin else f'<font name="{CJK}">{piece}</font>' for is_latin, piece in pieces)


def words(value: object) -> str:
    """A value as a page shows it: amounts with separators, instants in UTC to the second."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value.normalize():,f}" if value == value.to_integral() else f"{value:,f}"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, date):
        return value.isoformat()
    return str(value)


def heading(text: str, *, size: float = 12) -> Flowable:
    """It never stands alone at the foot of a page."""
    made = style(size, space=2 * mm)
    made.keepWithNext = True
    return Paragraph(markup(text), made)


def sentence(text: str) -> Flowable:
    return Paragraph(markup(text), style(9, space=1.5 * mm))


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, widths: Sequence[float] | None = None
) -> Flowable:
    """A table whose head is repeated on every page; numbers stand right."""
    head, body = style(6.5, color=GREY), style(6.5)
    right, head_right = (ParagraphStyle(f"{one.name}-right", parent=one, alignment=2) for one in (body, head))
    filled = [list(row) for row in rows]
    is_number = [any(isinstance(row[place], Decimal | int) for row in filled) for place in range(len(columns))]
    heads = [head_right if one else head for one in is_number]
    lines = [[Paragraph(markup(name.replace("_", " ")), look) for name, look in zip(columns, heads, strict=True)]]
    for row in filled:
        lines.append([Paragraph(markup(words(v)), right if isinstance(v, Decimal | int) else body) for v in row])
    made = LongTable(lines, repeatRows=1, colWidths=widths)
    made.setStyle(
        TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, -1), 0.25, LINE),
                ("BACKGROUND", (0, 0), (-1, 0), SHADE),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (-1, -1), 2),
                ("RIGHTPADDING", (0, 0), (-1, -1), 2),
            ]
        )
    )
    return made


def gap() -> Flowable:
    return Spacer(0, 4 * mm)


def new_page() -> Flowable:
    return PageBreak()


def document(title: str, content: Sequence[Flowable], *, footer: str, is_wide: bool = False) -> bytes:
    """A PDF of A4 pages, numbered, with `footer` at the foot of each."""
    buffer = BytesIO()
    size = landscape(A4) if is_wide else A4

    def foot(canvas: Canvas, doc: SimpleDocTemplate) -> None:
        canvas.saveState()
        canvas.setFont(LATIN, 7)
        canvas.setFillColor(GREY)
        canvas.drawString(12 * mm, 8 * mm, footer)
        canvas.drawRightString(size[0] - 12 * mm, 8 * mm, f"page {doc.page}")
        canvas.restoreState()

    margins = {"leftMargin": 12 * mm, "rightMargin": 12 * mm, "topMargin": 14 * mm, "bottomMargin": 16 * mm}
    made = SimpleDocTemplate(buffer, pagesize=size, title=title, author="Margin Desk", invariant=1, **margins)
    fonts()
    made.build(list(content), onFirstPage=foot, onLaterPages=foot)
    return buffer.getvalue()
