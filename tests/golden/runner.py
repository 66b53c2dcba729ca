"""Published cases against the engine's public functions: read, compare, count."""

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.golden import derivatives, us
from tests.golden.rows import is_close
from tests.golden.unsupported import Unsupported

PASSED, FAILED, UNSUPPORTED = "passed", "failed", "unsupported"
FORMATS = {
    "legs_json": us.evaluate,  # us_cases.md
    "inputs_json": derivatives.evaluate,  # derivatives_cases.md
}


class NotGolden(ValueError):
    """The file has neither of the documented formats."""


@dataclass(frozen=True)
class Result:
    """One case: what was expected and got, by name, where they differ; or why it is unsupported."""

    case_id: str
    method: str
    confidence: str
    outcome: str
    differences: tuple[str, ...] = ()


def run(path: Path) -> list[Result]:
    """Every case of a file. Raises NotGolden for a file of another format."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    if not rows:
        raise NotGolden("no cases")
    evaluate = next((function for column, function in FORMATS.items() if column in rows[0]), None)
    if evaluate is None:
        raise NotGolden("neither a `legs_json` nor an `inputs_json` column: not a file of published cases")
    return [_result(row, evaluate) for row in rows]


def _result(row: Mapping[str, str], evaluate: Any) -> Result:
    head = (row["case_id"], row["method"], row.get("confidence", ""))
    try:
        expected, got = evaluate(row)
    except Unsupported as reason:
        return Result(*head, UNSUPPORTED, (str(reason),))
    except Exception as error:  # what breaks the engine is a failed case, and the next one runs
        return Result(*head, FAILED, (f"{type(error).__name__}: {error}",))
    differences = tuple(
        f"{name}: expected {_shown(value)}, got {_shown(got.get(name))}"
        for name, value in expected.items()
        if not matches(got.get(name), value, row["tolerance"])
    )
    return Result(*head, FAILED if differences else PASSED, differences)


def matches(found: Any, expected: Any, tolerance: str) -> bool:
    """Numbers within the tolerance, lists and objects element by element, everything else equal."""
    if isinstance(expected, bool) or expected is None or isinstance(expected, str):
        return bool(found == expected)
    if isinstance(expected, list):
        return len(found or ()) == len(expected) and all(
            matches(one, other, tolerance) for one, other in zip(found, expected, strict=True)
        )
    if isinstance(expected, Mapping):
        return isinstance(found, Mapping) and all(
            matches(found.get(name), value, tolerance) for name, value in expected.items()
        )
    return found is not None and is_close(Decimal(found), Decimal(expected), tolerance)


def _shown(value: Any) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def report(results: Iterable[Result]) -> str:
    """The text of a run, method by method, ending with the totals."""
    by_method: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_method[result.method].append(result)
    lines = []
    for method, listed in sorted(by_method.items()):
        lines.append(f"{method}: {_counts(listed)}")
        for result in listed:
            if result.outcome != PASSED:
                said = "; ".join(result.differences)
                lines.append(f"  {result.outcome} {result.case_id} ({result.confidence}): {said}")
    everything = [result for listed in by_method.values() for result in listed]
    return "\n".join([*lines, _counts(everything)])


def _counts(results: list[Result]) -> str:
    return ", ".join(
        f"{sum(result.outcome == outcome for result in results)} {outcome}" for outcome in (PASSED, FAILED, UNSUPPORTED)
    )
