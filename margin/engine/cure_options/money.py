"""Money: the least amount that meets the calls."""

from collections.abc import Callable, Sequence
from decimal import Decimal

from margin.engine.cure_options.options import Option, figures, paid
from margin.engine.cure_options.trials import Changes, Standing, Trials
from margin.engine.exact import ZERO, exactly, round_quotient_up

_MOST_ROUNDS = 64
_MOST_DOUBLED = 20
_AT_ONCE = 16


def needed(trials: Trials, k: int) -> Decimal:
    """What a demand misses, exact, in base currency: 0 where it is met; what is outstanding where nothing measures
    it."""
    left = trials.before.left[k]
    if left is None:
        return trials.demands[k].outstanding
    return max(trials.targets[k] - left, ZERO)


def is_met(trials: Trials, scope: Sequence[int], standing: Standing, money: Decimal) -> bool:
    """Whether an alternative meets every demand of the scope; of what nothing measures, with `money` in base
    currency."""
    return all(
        trials.demands[k].outstanding <= money if (left := standing.left[k]) is None else left >= 0 for k in scope
    )


def options_of(trials: Trials, scope: Sequence[int], currencies: Sequence[str]) -> tuple[Option, ...]:
    """Cash in the base currency, then in each of the currencies. ValueError for one without a cash instrument."""
    account = trials.account
    rows = [account.cash_row(account.base), *(_row_of(trials, code) for code in currencies)]
    found = (_option(trials, scope, row) for row in dict.fromkeys(rows))
    return tuple(option for option in found if option is not None)


def least(trials: Trials, scope: Sequence[int], row: int) -> tuple[Decimal, Standing] | None:
    """The least money in whole minor units and what it leads to: one unit less is not enough. None where no amount
    is."""
    guess, exponent, rate = _guess(trials, scope, row)
    seen: dict[int, tuple[Decimal, Standing]] = {}

    def enough(numbers: Sequence[int]) -> list[bool]:
        with exactly():
            amounts = [Decimal(n).scaleb(-exponent) for n in numbers]
            tried = list(zip(amounts, trials.measure([{row: amount} for amount in amounts]), strict=True))
            seen.update(zip(numbers, tried, strict=True))
            return [is_met(trials, scope, standing, amount * rate) for amount, standing in tried]

    units = _fewest_units(enough, guess)
    return None if units is None else seen[units]


def _guess(trials: Trials, scope: Sequence[int], row: int) -> tuple[int, int, Decimal]:
    """(units that are enough where money counts as itself, decimals of a unit, its currency's rate)."""
    account = trials.account
    currency = int(account.instruments.currency[row])
    exponent = account.instruments.minor_exponent(currency)
    with exactly():
        rate = account.rate(row)
        most = max(needed(trials, k) for k in scope)
    return max(int(round_quotient_up(most, rate, exponent).scaleb(exponent)), 1), exponent, rate


def guesses(trials: Trials, scope: Sequence[int]) -> list[Changes]:
    """The amounts in base currency that `least` tries first."""
    row = trials.account.cash_row(trials.account.base)
    guess, exponent, _ = _guess(trials, scope, row)
    with exactly():
        return [{row: Decimal(n).scaleb(-exponent)} for n in (guess - 1, guess)]


def _fewest_units(enough: Callable[[Sequence[int]], list[bool]], guess: int) -> int | None:
    """More money never leaves less, so bisection is enough; the guess is right wherever money counts as itself."""
    less, right = enough([guess - 1, guess])
    if right and not less:
        return guess
    low, high = (0, guess - 1) if less else (guess, guess)
    if not right:
        doubled = [guess * 2**k for k in range(1, _MOST_DOUBLED)]
        high = next((n for n, is_enough in zip(doubled, enough(doubled), strict=True) if is_enough), 0)
        if not high:
            return None
    for _ in range(_MOST_ROUNDS):
        if high - low <= 1:
            break
        step = max((high - low) // _AT_ONCE, 1)
        points = list(range(low + step, high, step))
        answers = dict(zip(points, enough(points), strict=True))
        high = min((n for n, is_enough in answers.items() if is_enough), default=high)
        low = max((n for n, is_enough in answers.items() if not is_enough and n < high), default=low)
    return high


def _option(trials: Trials, scope: Sequence[int], row: int) -> Option | None:
    found = least(trials, scope, row)
    if found is None:
        return None
    amount, standing = found
    with exactly():
        value = amount * trials.account.rate(row)
    return Option(steps=(paid(trials, row, amount),), **figures(trials, standing, value=value, fee=ZERO, money=value))


def _row_of(trials: Trials, code: str) -> int:
    instruments = trials.account.instruments
    if code not in instruments.currencies:
        raise ValueError(f"no instrument is quoted in {code}; ask for one of {', '.join(instruments.currencies)}")
    return trials.account.cash_row(instruments.currencies.index(code))
