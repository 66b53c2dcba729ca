"""One record: a mapping of texts to typed values, as columns say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from market.strict.problems import Problem, Refused, refuse, shown
from market.strict.values import boolean, integer


@dataclass(frozen=True)
class Column:
    """How one field is read. An optional column may be empty or absent and is then `default`."""

    read: Callable[..., Any]
    options: Mapping[str, Any]
    optional: bool = False
    default: Any = None


def column(read: Callable[..., Any], *, optional: bool = False, default: Any = None, **options: Any) -> Column:
    return Column(read=read, options=options, optional=optional, default=default)


def record(values: Mapping[str, Any], columns: Mapping[str, Column], *, row: int = 0) -> dict[str, Any]:
    """Read one record of texts (a JSON object or a line) into typed values; raise Refused with all its problems.

    Amounts must come as text: a JSON number has passed through a float. null and "" both mean empty.
    """
    problems: list[Problem] = []
    found: dict[str, Any] = {}
    for name in values:
        if name not in columns:
            problems.append(Problem(row, shown(str(name)), "is not a field of this record"))
    for name, how in columns.items():
        try:
            found[name] = _read(values.get(name), name, how)
        except Refused as refusal:
            problems.extend(problem._replace(row=row) for problem in refusal.problems)
    if problems:
        raise Refused(problems)
    return found


def _read(value: Any, name: str, how: Column) -> Any:
    if value is None or value == "":
        if how.optional:
            return how.default
        raise refuse(name, "is missing")
    if isinstance(value, str):
        return how.read(value, field=name, **how.options)
    if isinstance(value, bool) and how.read is boolean:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and how.read is integer:
        return how.read(str(value), field=name, **how.options)
    raise refuse(name, f"must be text, not {type(value).__name__}")
