"""Who writes the letter of each kind of event. Kinds without a writer are told to nobody."""

from collections.abc import Callable, Mapping

from notifications import letters, replies
from notifications.cases import Case
from notifications.letters import Letter, Unwritable

WRITERS: Mapping[str, Callable[[Case], Letter]] = {**letters.WRITERS, **replies.WRITERS}
KINDS = tuple(WRITERS)


def letter(case: Case) -> Letter:
    """The letter of the case, in the active language. Raises Unwritable."""
    if case.kind not in WRITERS:
        raise Unwritable(f"there is no notice for events of kind {case.kind!r}")
    return WRITERS[case.kind](case)
