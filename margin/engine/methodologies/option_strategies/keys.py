"""Which instruments belong together: all that is written on, follows, turns into or is delivered for one underlying."""

import numpy as np

from margin.engine.columns import KINDS, Contract, Instruments
from margin.engine.groups import NO_GROUP, Keys
from margin.engine.methodologies.option_strategies.terms import Terms

_STOCK = [KINDS.index(kind) for kind in ("equity", "etf")]
_CLAIMING = [KINDS.index(kind) for kind in ("option", "warrant")]


def group_keys(instruments: Instruments, terms: Terms) -> Keys:
    """One key per underlying, or per index for all that follows it. Options, warrants and convertibles claim, and
    stock that the house asks a special rate of.

    A key is the least id among the underlyings that are joined: an adjusted option joins all that it delivers.
    """
    joined: dict[int, int] = {}
    for i, contract in enumerate(instruments.contract):
        if contract is not None and _is_written(instruments, i):
            is_held_as_stock = instruments.kind[i] not in _CLAIMING
            for other in (*_joined_by(contract), *([int(instruments.ids[i])] if is_held_as_stock else [])):
                _join(joined, contract.underlying, other)
    for i in np.flatnonzero(instruments.index != 0).tolist():
        if instruments.kind[i] in _STOCK:
            _join(joined, int(instruments.ids[i]), int(instruments.index[i]))
    _join_baskets(joined, instruments, terms)
    keys = np.full(len(instruments), NO_GROUP, np.int64)
    claims = np.zeros(len(instruments), bool)
    for i, contract in enumerate(instruments.contract):
        if contract is not None and _is_written(instruments, i):
            keys[i], claims[i] = _root(joined, contract.underlying), True
        elif instruments.kind[i] in _STOCK:
            keys[i] = _root(joined, int(instruments.ids[i]))
            claims[i] = instruments.codes[i] in terms.special
        elif instruments.kind[i] in _CLAIMING:  # an option without a contract: a group of its own, which refuses it
            keys[i], claims[i] = instruments.ids[i], True
    return Keys(keys, claims)


def _join_baskets(joined: dict[int, int], instruments: Instruments, terms: Terms) -> None:
    """The stocks of a basket belong with the options on its index."""
    if not terms.baskets:
        return
    ids = {str(code): int(id) for code, id in zip(instruments.codes, instruments.ids, strict=True)}
    for contract in instruments.contract:
        if contract is not None and contract.right:
            for code in terms.baskets.get(contract.underlying_code, ()):
                if code in ids:
                    _join(joined, contract.underlying, ids[code])


def _is_written(instruments: Instruments, i: int) -> bool:
    """Options and warrants, and whatever can be converted."""
    kind, contract = instruments.kind[i], instruments.contract[i]
    return bool(kind in _CLAIMING or (contract.conversion > 0 and kind in [*_STOCK, KINDS.index("bond")]))


def _joined_by(contract: Contract) -> list[int]:
    delivered = [instrument for instrument, _, _ in contract.deliverable] if contract.is_adjusted else []
    return [*([contract.index] if contract.index else []), *delivered]


def _join(joined: dict[int, int], one: int, other: int) -> None:
    a, b = _root(joined, one), _root(joined, other)
    if a != b:
        joined[max(a, b)] = min(a, b)


def _root(joined: dict[int, int], key: int) -> int:
    while key in joined:
        key = joined[key]
    return key
