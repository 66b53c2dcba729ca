"""Operations of `derivatives_cases.csv`: futures."""

from collections.abc import Callable, Mapping
from typing import Any

OPERATIONS: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {}
