"""What an event's details say to a person: reasons as sentences, instants as the desk writes them, lists in words."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from margin import reasons
from market import figures

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
REASONS: Mapping[str, Mapping[str, str]] = {
    "dispute": reasons.DISPUTE,
    "extension": reasons.EXTENSION,
    "hold": reasons.HOLD,
    "acceleration": reasons.ACCELERATION,
    "retraction": reasons.RETRACTION,
}
"""First word of an event's kind → its coded reasons."""
CODES: Mapping[str, Mapping[str, str]] = {"channel": reasons.CHANNELS, "outcome": reasons.OUTCOMES}


def shown(kind: str, key: str, value: Any) -> Any:
    """One detail of an event of this kind as a page shows it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(shown(kind, key, one)) for one in value)
    if not isinstance(value, str):
        return value
    if INSTANT.fullmatch(value):
        return figures.instant(datetime.fromisoformat(value))
    if key == "reason_code":
        return REASONS.get(kind.partition(".")[0], {}).get(value, value.replace("_", " "))
    return CODES.get(key, {}).get(value, value)
