"""Lines: what can be closed or brought in, in steps of whole lots."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

from margin.engine.columns import CASH, KINDS, RegimeRule
from margin.engine.cure_options import kinks
from margin.engine.cure_options.searches import Piece
from margin.engine.cure_options.trials import Trials
from margin.engine.exact import ONE, ZERO, exactly, round_quotient_up
from margin.engine.measures import governed
from margin.engine.methodologies import loan, reg_t

SALE, PURCHASE, OPTION_CLOSE, COLLATERAL_SALE = "sale", "purchase", "option_close", "collateral_sale"
SECURITIES, COLLATERAL = "securities", "collateral"
_BROUGHT_IN = tuple(KINDS.index(kind) for kind in ("equity", "etf", "bond", "crypto"))
_CRYPTO = KINDS.index("crypto")
_MOST_PACKAGES = 12
_BOOKED = 4  # roundings of a trade: its proceeds, its fee, its spread, the cost that is kept


@dataclass(frozen=True)
class Leg:
    """So much of one holding per step; the last step of closing may be a broken lot."""

    row: int
    held: Decimal
    per_step: Decimal

    def closing(self, steps: int) -> Decimal:
        """The trade that gives up so many steps: never more than is held, so never a change of sign."""
        with exactly():
            size = min(steps * self.per_step, abs(self.held))
            return -size if self.held > 0 else size


@dataclass(frozen=True)
class Line:
    """One way, in 1 … most steps: its legs are closed together, or brought in. `noise` is what booking may lose."""

    kind: str
    legs: tuple[Leg, ...]
    most: int
    pieces: tuple[Piece, ...] | None
    noise: Decimal
    is_deposit: bool = False

    def quantities(self, steps: int) -> dict[int, Decimal]:
        """What is traded or brought in, by row of Instruments."""
        if not self.is_deposit:
            return {leg.row: leg.closing(steps) for leg in self.legs} if steps else {}
        with exactly():
            return {leg.row: steps * leg.per_step for leg in self.legs}


@dataclass(frozen=True)
class Field:
    """What the demands of a scope say about trading: the regimes' rules, and which instruments they measure."""

    trials: Trials
    rules: tuple[RegimeRule, ...]

    @property
    def is_straight(self) -> bool:
        """Whether everything is charged unit by unit, but for options with their underlying."""
        return all(
            rule.methodology in (reg_t.CODE, loan.CODE)
            and rule.measure != "minimum_equity"
            and all(part.methodology == "option_strategies" for part in rule.parts)
            for rule in self.rules
        )

    @property
    def is_loan(self) -> bool:
        return any(rule.methodology == loan.CODE for rule in self.rules)

    def holdings(self) -> list[Leg]:
        """What is held of instruments that any of the rules governs, a lot a step, by instrument id."""
        account = self.trials.account
        kinds = [governed(account.instruments, rule.governs) for rule in self.rules]
        found = [
            Leg(row, quantity, account.instruments.lot[row])
            for row, (quantity, _) in self.trials.held.items()
            if quantity and account.instruments.kind[row] != CASH and any(rows[row] for rows in kinds)
        ]
        return sorted(found, key=lambda leg: int(account.instruments.ids[leg.row]))

    def pieces(self, leg: Leg, *, step: Decimal, most: int) -> tuple[Piece, ...] | None:
        """Where trading the leg is linear (`kinks.pieces`); None where the rules measure more than units."""
        if not self.is_straight:
            return None
        instruments, held = self.trials.account.instruments, self.trials.held
        crossing = self._crossing(leg) if self.is_loan and step < 0 else None
        beyond = self._beyond_minimum(leg) if step < 0 else None
        return kinks.pieces(instruments, held, leg.row, step=step, most=most, crossing=crossing, beyond=beyond)

    def _beyond_minimum(self, leg: Leg) -> int | None:
        """The first step whose fee is more than the least a trade is charged; None where there is no such least."""
        account = self.trials.account
        with exactly():
            rate = abs(leg.per_step * account.unit(leg.row)) * account.fee_rate
        if not account.fee_minimum or not rate:
            return None
        return floor(Fraction(account.fee_minimum) / Fraction(rate)) + 1

    def _crossing(self, leg: Leg) -> Piece | None:
        """Steps of closing between which the cash of the leg's currency, with what is given, reaches zero."""
        account = self.trials.account
        cash = account.cash_row(int(account.instruments.currency[leg.row]))
        held, _ = self.trials.held.get(cash, (ZERO, None))
        with exactly():
            before = held + self.trials.given.get(cash, ZERO)
            brings = leg.per_step * abs(account.unit(leg.row)) * (ONE - account.fee_rate)
            brings -= account.spread(leg.row, leg.per_step)
            lost = Fraction(self.noise(leg)) / Fraction(account.rate(leg.row)) + Fraction(account.fee_minimum)
        if before >= 0 or leg.held < 0 or brings <= 0:
            return None
        at, by = Fraction(-before) / Fraction(brings), ceil(lost / Fraction(brings))
        return floor(at) - by, ceil(at) + by

    def noise(self, leg: Leg) -> Decimal:
        """What booking a trade may lose, in base currency; a crossing that is not known to the lot may hide as much."""
        account = self.trials.account
        with exactly():
            unit = ONE.scaleb(-account.instruments.minor_exponent(int(account.instruments.currency[leg.row])))
            return _BOOKED * (1 + self.is_loan) * unit * account.rate(leg.row)


def field_of(trials: Trials, scope: Sequence[int]) -> Field:
    """The rules that measure the demands of the scope, each once."""
    regimes = dict.fromkeys(trials.yardsticks[k].regime for k in scope)
    return Field(trials, tuple(trials.policy.regimes[regime] for regime in regimes if regime is not None))


def closings(field: Field, excluded: Collection[int]) -> list[Line]:
    """Every holding alone, but for instruments `excluded` (ids)."""
    ids = field.trials.account.instruments.ids
    return [_closing(field, leg) for leg in field.holdings() if int(ids[leg.row]) not in excluded]


def _closing(field: Field, leg: Leg) -> Line:
    most = int(round_quotient_up(abs(leg.held), leg.per_step, 0))
    pieces = field.pieces(leg, step=-leg.per_step, most=most)
    return Line(_kind(field, leg), (leg,), most, pieces, field.noise(leg))


def _kind(field: Field, leg: Leg) -> str:
    if field.trials.account.instruments.kind[leg.row] in kinks.OPTIONS:
        return OPTION_CLOSE
    if leg.held < 0:
        return PURCHASE
    return COLLATERAL_SALE if field.is_loan else SALE


def packages(field: Field, lines: Sequence[Line]) -> list[Line]:
    """Both legs of a spread closed together, step by step: two options on one underlying, one long and one short."""
    instruments = field.trials.account.instruments
    options = [line for line in lines if line.kind == OPTION_CLOSE]
    found = []
    for k, one in enumerate(options):
        for other in options[k + 1 :]:
            (a,), (b,) = one.legs, other.legs
            same = instruments.contract[a.row].underlying == instruments.contract[b.row].underlying
            if same and a.held * b.held < 0:
                most = min(one.most, other.most)
                found.append(Line(OPTION_CLOSE, (a, b), most, None, one.noise + other.noise))
    return found[:_MOST_PACKAGES]


def deposits(field: Field) -> list[Line]:
    """More of each security or coin that is held long, one lot a step; `reaching` says how far."""
    kind = field.trials.account.instruments.kind
    return [
        Line(COLLATERAL if field.is_loan or kind[leg.row] == _CRYPTO else SECURITIES, (leg,), 1, None, ZERO, True)
        for leg in field.holdings()
        if leg.held > 0 and kind[leg.row] in _BROUGHT_IN
    ]


def reaching(field: Field, line: Line, most: int) -> Line:
    """The deposit line with at most so many steps."""
    (leg,) = line.legs
    return replace(line, most=most, pieces=field.pieces(leg, step=leg.per_step, most=most))
