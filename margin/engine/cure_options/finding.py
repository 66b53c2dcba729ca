"""Find: every way tried, side by side."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from margin.engine.columns import Book, Instruments, Market, Rules
from margin.engine.cure_options import lines, mixes, money, options
from margin.engine.cure_options.demands import CASH, SALE, SECURITIES, WAYS, Demand
from margin.engine.cure_options.options import Asked, Option, Options, Refused, Value
from margin.engine.cure_options.searches import MOST_TRIED
from margin.engine.cure_options.trials import Changes, Trials
from margin.engine.cure_options.tries import Tries
from margin.engine.exact import ZERO, exactly, round_down, round_quotient_up, round_up
from margin.engine.sizing import Account


@dataclass(frozen=True)
class _Brought:
    """A deposit line, and what one lot of it releases for each demand of the scope."""

    line: lines.Line
    value: Decimal  # of one lot, base currency
    releases: tuple[Decimal, ...]


def find(
    book: Book,
    instruments: Instruments,
    market: Market,
    rules: Rules,
    *,
    demands: Sequence[Demand],
    asked: Collection[str] = (),
    fee_rate: Decimal = ZERO,
    fee_minimum: Decimal = ZERO,
    account_row: int = 0,
    have: Decimal = ZERO,
    currencies: Sequence[str] = (),
    excluded: Collection[int] = (),
) -> Options:
    """The ways that meet the demands `asked` for (their keys; all of them where none is named).

    `have` is money the client brings in, in base currency, which the other ways then complete. Instruments `excluded`
    (ids) are not closed. Raises NotSizable, with the reason, for an account that has no price or is in doubt.
    """
    account = Account(book, account_row, instruments, market, rules, "", fee_rate, fee_minimum)
    if not demands:
        raise ValueError(f"Account {account.id} has no open call to meet")
    plain = Trials(account, tuple(demands), {})
    helped = replace(plain, given={account.cash_row(account.base): have}) if have else plain
    scope = tuple(k for k, demand in enumerate(demands) if not asked or demand.key in asked)
    if not scope:
        raise ValueError(f"Account {account.id} has no open call {', '.join(asked)}")
    ways = [way for way in WAYS if all(way in demands[k].ways for k in scope)]
    field = lines.field_of(helped, scope)
    closing = Tries(helped, scope, tuple(lines.closings(field, excluded) if SALE in ways else ()))
    bringing = lines.deposits(field) if SECURITIES in ways else []
    _foresee(closing, bringing, money.guesses(plain, scope) if helped is plain else [])
    made = Options(
        currency=instruments.currencies[account.base],
        have=have,
        asked=tuple(_asked(plain, k) for k in scope),
        is_clear=money.is_met(plain, scope, helped.start, have),
        cash=money.options_of(plain, scope, currencies) if CASH in ways and _is_short(plain, scope) else (),
        refused=tuple(_not_accepted(plain, scope)),
    )
    is_measured = all(plain.yardsticks[k].regime is not None for k in scope)
    return made if made.is_clear or not is_measured else _with_lines(made, closing, field, bringing)


def _foresee(closing: Tries, bringing: Sequence[lines.Line], cash: Sequence[Changes]) -> None:
    """Measure at once what will surely be asked: the ends of every line, one lot of every deposit, the cash needed."""
    ends = [closing.changes({k: n}) for k, line in enumerate(closing.lines) for n in mixes.surely_asked(line)]
    lots: list[Changes] = [{leg.row: leg.per_step} for line in bringing for leg in line.legs]
    closing.trials.measure([{}, *lots, *ends, *cash])


def _is_short(trials: Trials, scope: Sequence[int]) -> bool:
    return any(money.needed(trials, k) > 0 for k in scope)


def _asked(trials: Trials, k: int) -> Asked:
    demand, account = trials.demands[k], trials.account
    exponent = account.instruments.minor_exponent(account.base)
    regime = trials.yardsticks[k].regime
    return Asked(
        key=demand.key,
        regime=demand.regime,
        cash=round_up(money.needed(trials, k), exponent),
        excess=None if regime is None or demand.is_of_trades else round_down(trials.before.excess[regime], exponent),
        ways=demand.ways,
        market_cures=demand.market_cures,
    )


def _not_accepted(trials: Trials, scope: Sequence[int]) -> list[Refused]:
    """The ways that some demand of the scope does not take, and what nothing of the policy measures."""
    told = {CASH: "money", SECURITIES: "securities brought in", SALE: "closing positions"}
    found = []
    for k in scope:
        demand = trials.demands[k]
        found += [Refused(way, 0, f"{told[way]} does not meet a {demand.regime} call") for way in WAYS
                  if way not in demand.ways]  # fmt: skip
        if trials.yardsticks[k].regime is None:
            found.append(Refused(SALE, 0, f"no regime of the policy measures {demand.regime}: only money is sized"))
        if not demand.market_cures:
            found.append(Refused("market", 0, f"a change of prices does not meet the {demand.regime} call"))
    return found


def _with_lines(made: Options, closing: Tries, field: lines.Field, bringing: Sequence[lines.Line]) -> Options:
    """The options with what can be closed and what can be brought in."""
    trials, scope, count = closing.trials, closing.scope, len(closing.lines)
    packages = lines.packages(field, closing.lines)
    brought = _brought(trials, scope, bringing)
    reaching = [_reaching(field, scope, one) for one in brought]
    tries = closing.extended([*packages, *(line for line in reaching if line is not None)])
    found = tries.fewest({k: (k, {}) for k in range(len(tries.lines))})
    singles = {k: options.of_counts(tries, {k: one.steps}, is_proven=one.is_proven)
               for k, one in found.items() if one.steps}  # fmt: skip
    mix = mixes.cheapest(tries, range(count))
    mixed = [] if mix is None else [options.of_counts(tries, mix.counts, is_proven=mix.is_proven)]
    places = range(count, count + len(packages))
    return replace(
        made,
        trades=_by_cost(singles[k] for k in range(count) if k in singles),
        mixes=_by_cost([*mixed, *(singles[k] for k in places if k in singles)]),
        deposits=_by_cost(option for k, option in singles.items() if tries.lines[k].is_deposit),
        values=_values(trials, scope, brought),
        refused=(*made.refused, *_not_alone(tries, count, singles), *_not_counting(trials, brought, reaching)),
    )


def _by_cost(found: Iterable[Option]) -> tuple[Option, ...]:
    return tuple(sorted(found, key=lambda option: (option.fee, option.value)))


def _not_alone(tries: Tries, count: int, singles: Collection[int]) -> list[Refused]:
    """Holdings that do not cure alone, with what is missing when all of each is closed."""
    account = tries.trials.account
    rest = [k for k in range(count) if k not in singles]
    after = tries.standings([{k: tries.lines[k].most} for k in rest])
    found = []
    for k, standing in zip(rest, after, strict=True):
        left = min(tries.left(standing))
        helps = left > min(tries.left(tries.trials.start))
        why = "closing all of it is not enough" if helps else "closing all of it does not lower what is missing"
        id = int(account.instruments.ids[tries.lines[k].legs[0].row])
        found.append(Refused(tries.lines[k].kind, id, why, options.missing(tries.trials, left)))
    return found


# --- what is brought in ---------------------------------------------------------------------------------


def _brought(trials: Trials, scope: Sequence[int], found: Sequence[lines.Line]) -> list[_Brought]:
    legs = [line.legs[0] for line in found]
    after = trials.measure([{leg.row: leg.per_step} for leg in legs])
    listed = []
    with exactly():
        for line, leg, standing in zip(found, legs, after, strict=True):
            value = leg.per_step * trials.account.unit(leg.row) * trials.account.rate(leg.row)
            pairs = [(standing.left[k], trials.start.left[k]) for k in scope]
            releases = tuple(now - then for now, then in pairs if now is not None and then is not None)
            listed.append(_Brought(line, value, releases))
    return listed


def _reaching(field: lines.Field, scope: Sequence[int], brought: _Brought) -> lines.Line | None:
    """The line with as many lots as are surely enough where each releases what the first does; None where none do."""
    needs = _needs(field.trials, scope)
    if any(need > 0 >= release for need, release in zip(needs, brought.releases, strict=True)):
        return None
    lots = max(
        int(round_quotient_up(need, release, 0))
        for need, release in zip(needs, brought.releases, strict=True)
        if need > 0
    )
    line = lines.reaching(field, brought.line, lots)
    is_even = line.pieces is not None and len(line.pieces) <= 2
    return line if is_even else lines.reaching(field, brought.line, max(2 * lots, MOST_TRIED))


def _needs(trials: Trials, scope: Sequence[int]) -> list[Decimal]:
    """What each demand of the scope still misses with what is given, exact."""
    return [max(-left, ZERO) for k in scope if (left := trials.start.left[k]) is not None]


def _values(trials: Trials, scope: Sequence[int], brought: Sequence[_Brought]) -> tuple[Value, ...]:
    """V = max over the calls of what each misses ÷ (1 − m), for every set of margin rates m that occurs."""
    exponent = trials.account.instruments.minor_exponent(trials.account.base)
    keys = [trials.demands[k].key for k in scope]
    needs = _needs(trials, scope)
    found: dict[tuple[Fraction, ...], Value] = {}
    for one in brought:
        counted = [Fraction(release) / Fraction(one.value) for release in one.releases]
        if all(share > 0 or need <= 0 for share, need in zip(counted, needs, strict=True)):
            worth = max(Fraction(need) / share for share, need in zip(counted, needs, strict=True) if need > 0)
            units = -(-(worth * 10**exponent).numerator // (worth * 10**exponent).denominator)
            rates = tuple(1 - share for share in counted)
            found.setdefault(rates, Value(dict(zip(keys, rates, strict=True)), Decimal(units).scaleb(-exponent)))
    return tuple(sorted(found.values(), key=lambda value: value.value))


def _not_counting(trials: Trials, brought: Sequence[_Brought], reaching: Sequence[lines.Line | None]) -> list[Refused]:
    ids = trials.account.instruments.ids
    return [
        Refused(one.line.kind, int(ids[one.line.legs[0].row]), "nothing of it counts towards what is missing")
        for one, line in zip(brought, reaching, strict=True)
        if line is None
    ]
