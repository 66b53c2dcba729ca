"""Terms from JSON, strictly: every key known, none missing, every type right, numbers as strings or integers."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from decimal import Decimal, InvalidOperation
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
_PLAIN_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def read(kind: type[T], document: Any, where: str = "") -> T:
    """A frozen dataclass from a JSON object. Raises ValueError naming the key, as `house.kinds.etf`."""
    label = where or kind.__name__
    if not isinstance(document, Mapping):
        raise ValueError(f"{label}: an object is expected, not {_name(document)}")
    hints = get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    for key in document:
        if key not in known:
            raise ValueError(f"{_join(where, key)}: unknown key; known: {', '.join(known)}")
    values = {}
    for name, definition in known.items():
        if name in document:
            values[name] = _value(hints[name], document[name], _join(where, name))
        elif _is_required(definition):
            raise ValueError(f"{_join(where, name)}: missing")
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from None


def named(value: Any, keys: Collection[str]) -> Iterator[str]:
    """The names that stand under any of these keys, however deep in the JSON."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in keys and isinstance(inner, str) and inner:
                yield inner
            yield from named(inner, keys)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from named(inner, keys)


def _is_required(definition: Field[Any]) -> bool:
    return definition.default is MISSING and definition.default_factory is MISSING


def _value(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:  # read later, by whoever knows it
        return value
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        options = [option for option in get_args(kind) if option is not type(None)]
        return None if value is None else _value(options[0], value, where)
    if is_dataclass(kind):
        return read(kind, value, where)  # type: ignore[arg-type]
    if origin is tuple:
        return _tuple(get_args(kind)[0], value, where)
    if origin in (dict, Mapping):
        return _mapping(get_args(kind)[1], value, where)
    return _READERS[kind](value, where)


def _tuple(kind: Any, value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{where}: a list is expected, not {_name(value)}")
    return tuple(_value(kind, element, f"{where}[{k}]") for k, element in enumerate(value))


def _mapping(kind: Any, value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: an object is expected, not {_name(value)}")
    for key in value:
        if not isinstance(key, str):
            raise ValueError(f"{where}: keys must be strings, not {_name(key)}")
    return {key: _value(kind, element, _join(where, key)) for key, element in value.items()}


def _decimal(value: Any, where: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError(f'{where}: a number in quotes is expected, as "0.25", not {_name(value)}')
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{where}: {value!r} is not a number") from None
    if not number.is_finite():
        raise ValueError(f"{where}: {value!r} is not a finite number")
    if isinstance(value, str) and not _PLAIN_NUMBER.fullmatch(value):  # Decimal also reads "1_000", " 1 ", "1e3", "٣"
        raise ValueError(f"{where}: {value!r} is not a plain number; write it like 0.25")
    return number


def _plain(kind: type) -> Callable[[Any, str], Any]:
    def reader(value: Any, where: str) -> Any:
        if type(value) is not kind:
            raise ValueError(f"{where}: {_KIND_NAMES[kind]} is expected, not {_name(value)}")
        return value

    return reader


def _name(value: Any) -> str:
    return "null" if value is None else f"{type(value).__name__} {value!r}"


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


_KIND_NAMES: dict[type, str] = {str: "a string", int: "a whole number", bool: "true or false"}
_READERS: dict[Any, Callable[[Any, str], Any]] = {
    Decimal: _decimal,
    str: _plain(str),
    int: _plain(int),
    bool: _plain(bool),
}
