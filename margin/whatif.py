"""What-if: figures of accounts that do not exist, by the sweep's own calculation. Nothing is ever written.

`of_book` needs no database: everything is in its document.
"""

from typing import Any

from margin.hypothetical import answers, books, forms
from margin.hypothetical.document import BookDocument

Tree = dict[str, Any]
Wrong = forms.Wrong


def of_book(document: Any) -> Tree:
    """Every account of a self-contained JSON book (docs/whatif.md), assessed in one call. Raises Wrong."""
    stated = forms.read(BookDocument, document)
    return {"on": stated.on, "accounts": answers.of_case(books.case(stated), explain=stated.explain)}
