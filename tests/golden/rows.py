"""Rows of the golden case files in the shared folder beside the repository."""

import csv
import json
from decimal import Decimal
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "../shared/golden"


def read(name):
    """The rows of a golden file; the calling module is skipped without ../shared."""
    path = SHARED / name
    if not path.exists():
        pytest.skip("no ../shared", allow_module_level=True)
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def document(text):
    """JSON with its numbers as Decimals, digit for digit."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def is_close(found, expected, tolerance):
    """Within `abs:x` or `rel:x` of the expected value; `exact:0` is equality."""
    kind, size = tolerance.split(":")
    allowed = Decimal(size) * (abs(expected) if kind == "rel" else 1)
    return abs(found - expected) <= allowed
