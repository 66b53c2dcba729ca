"""Account arithmetic of Regulation T and FINRA 4210: equity, excess, calls, first deposits, and what cures a call.

What a clerk works out from four balances, exactly. Sums are Decimal; quotients are Fractions, rounded by whoever prints
them. The methodologies charge positions; here stand the relations between an account's totals, so that a statement, a
what-if and a textbook can be checked against one another. Options are in no total (rule basis, 4210(f)(2)(A)).
Amounts are in one currency, rates fractions. Sources: 12 CFR 220.4, 220.5, 220.12; FINRA Rule 4210(b), (c), (f)(8).
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from margin.engine.exact import ONE, ZERO, exactly


@dataclass(frozen=True)
class Rules:
    """The numbers of the two rule books that account arithmetic needs. None has a default: a policy states them."""

    reg_t_long_rate: Decimal  # 220.12(a)
    reg_t_short_rate: Decimal  # 220.12(c), beyond the proceeds
    long_rate: Decimal  # 4210(c)(1)
    short_rate: Decimal  # 4210(c)(3), beyond the market value
    minimum_equity: Decimal  # 4210(b)(4)
    waiver: Decimal  # 220.4(d): a deficiency up to this may be disregarded

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value.is_finite() or value < 0:
                raise ValueError(f"{name} must be a number that is not negative, not {value}")


RULE_BOOK = Rules(
    reg_t_long_rate=Decimal("0.50"),
    reg_t_short_rate=Decimal("0.50"),
    long_rate=Decimal("0.25"),
    short_rate=Decimal("0.30"),
    minimum_equity=Decimal(2000),
    waiver=Decimal(1000),
)


@dataclass(frozen=True)
class Standing:
    """The balances of a margin account, none negative: LMV, SMV, DR and CR of the statement.

    `credit` holds the proceeds of short sales and the margin deposited on them; `debit` is the loan.
    """

    long_value: Decimal = ZERO
    short_value: Decimal = ZERO
    debit: Decimal = ZERO
    credit: Decimal = ZERO

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value.is_finite() or value < 0:
                raise ValueError(f"{name} must be a number that is not negative, not {value}")


def standing(*, long_value: Decimal = ZERO, short_value: Decimal = ZERO, cash: Decimal) -> Standing:
    """The balances of an account whose net ledger cash is `cash`: a debit where negative, else a credit."""
    return Standing(long_value, short_value, debit=max(-cash, ZERO), credit=max(cash, ZERO))


# --- equity and excess ------------------------------------------------------------------------------


def long_equity(account: Standing) -> Decimal:
    """LMV − DR: the equity of the long side alone."""
    with exactly():
        return account.long_value - account.debit


def short_equity(account: Standing) -> Decimal:
    """CR − SMV: the equity of the short side alone."""
    with exactly():
        return account.credit - account.short_value


def equity(account: Standing) -> Decimal:
    """LMV + CR − DR − SMV."""
    with exactly():
        return long_equity(account) + short_equity(account)


def reg_t_requirement(account: Standing, rules: Rules = RULE_BOOK) -> Decimal:
    """50 % of LMV and 50 % of SMV (220.12): the mark against which SMA and restriction are measured."""
    with exactly():
        return rules.reg_t_long_rate * account.long_value + rules.reg_t_short_rate * account.short_value


def reg_t_excess(account: Standing, rules: Rules = RULE_BOOK) -> Decimal:
    """Equity − the Regulation T requirement; negative in a restricted account."""
    with exactly():
        return equity(account) - reg_t_requirement(account, rules)


def is_restricted(account: Standing, rules: Rules = RULE_BOOK) -> bool:
    """Equity below 50 %: a state, never a call. New purchases still ask 50 %; a sale releases 50 % of its proceeds."""
    return reg_t_excess(account, rules) < 0


def maintenance_requirement(account: Standing, rules: Rules = RULE_BOOK) -> Decimal:
    """25 % of LMV and 30 % of SMV, 4210(c), for stock above the per-share amounts.

    Leverage, eligibility and the amounts per share need positions: those are charges of the methodology `reg_t`.
    """
    with exactly():
        return rules.long_rate * account.long_value + rules.short_rate * account.short_value


def maintenance_excess(account: Standing, rules: Rules = RULE_BOOK) -> Decimal:
    with exactly():
        return equity(account) - maintenance_requirement(account, rules)


def maintenance_call(account: Standing, rules: Rules = RULE_BOOK) -> Decimal:
    """What is missing to maintenance; zero where nothing is. It floats with the market until it is met."""
    return max(-maintenance_excess(account, rules), ZERO)


# --- new commitments --------------------------------------------------------------------------------


def short_credit(quantity: Decimal, price: Decimal, rules: Rules = RULE_BOOK) -> Decimal:
    """The credit balance of a new short: its proceeds and 50 % on top, 150 % of 220.12(c). Quantity: its size."""
    with exactly():
        return abs(quantity) * price * (ONE + rules.reg_t_short_rate)


def first_deposit(cost: Decimal, rules: Rules = RULE_BOOK) -> Decimal:
    """What a first purchase asks: min(cost, max(2,000, 50 %)), 4210(b): paid in full below the minimum equity."""
    with exactly():
        return min(cost, max(rules.minimum_equity, rules.reg_t_long_rate * cost))


def first_short_deposit(proceeds: Decimal, maintenance: Decimal = ZERO, rules: Rules = RULE_BOOK) -> Decimal:
    """What a first short sale asks beyond its proceeds: 2,000 in full, 50 %, or the maintenance amount of 4210(c)."""
    with exactly():
        return max(rules.minimum_equity, rules.reg_t_short_rate * proceeds, maintenance)


def initial_call(required: Decimal, *, sma: Decimal = ZERO, deposited: Decimal = ZERO) -> Decimal:
    """T_call: what new commitments require less SMA and less cash, or loan value, deposited for them; never negative.

    Fixed on the trade date: the market does not cure it (220.4(c)).
    """
    with exactly():
        return max(required - sma - deposited, ZERO)


def may_be_disregarded(call: Decimal, rules: Rules = RULE_BOOK) -> bool:
    """A Regulation T deficiency of at most 1,000 need not be acted on, 220.4(d)."""
    return call <= rules.waiver


def buying_power(sma: Decimal, *, rate: Decimal = RULE_BOOK.reg_t_long_rate) -> Fraction:
    """What may be bought on `sma` at this initial rate: SMA ÷ 50 %. ZeroDivisionError for a rate of zero."""
    return Fraction(sma) / Fraction(rate)


def buying_power_within_maintenance(sma: Decimal, excess: Decimal, rules: Rules = RULE_BOOK) -> Fraction:
    """As `buying_power`, but never so much that it leaves a maintenance deficiency: SMA may not be used for that."""
    least = min(buying_power(sma, rate=rules.reg_t_long_rate), Fraction(excess) / Fraction(rules.long_rate))
    return max(least, Fraction())


# --- cures ------------------------------------------------------------------------------------------


def released(sale: Decimal, rate: Decimal) -> Decimal:
    """What selling (or buying back) so much market value releases: its own requirement, never the whole proceeds.

    The same for an intraday deficit: 1,000 sold of a security charged 35 % releases 350 (4210(d)(2)).
    """
    with exactly():
        return sale * rate


@dataclass(frozen=True)
class Cures:
    """Each of them alone meets the call: cash, margin securities brought in, long stock sold, at market value."""

    cash: Decimal
    securities: Fraction
    sale: Fraction


def cures(call: Decimal, rate: Decimal = RULE_BOOK.long_rate) -> Cures:
    """What meets a maintenance call on stock charged `rate` (0 < rate < 1): call, call ÷ (1 − m), call ÷ m."""
    _share(rate)
    return Cures(call, Fraction(call) / (1 - Fraction(rate)), Fraction(call) / Fraction(rate))


def sale_for_initial_call(call: Decimal, rate: Decimal = RULE_BOOK.reg_t_long_rate) -> Fraction:
    """What must be sold to meet a Regulation T call: its sale releases 50 %, so twice the call."""
    return Fraction(call) / Fraction(_share(rate))


# --- day trading, to 3 June 2026 --------------------------------------------------------------------


@dataclass(frozen=True)
class DayTrading:
    """4210(f)(8)(B) before its repeal: multiples of yesterday's maintenance excess."""

    pattern_multiple: Decimal
    reduced_multiple: Decimal  # not a pattern day trader, or one with an open day-trading call
    minimum_equity: Decimal


LEGACY_DAY_TRADING = DayTrading(Decimal(4), Decimal(2), Decimal(25000))


def day_trading_buying_power(
    excess: Decimal, *, is_pattern: bool = True, has_open_call: bool = False, rules: DayTrading = LEGACY_DAY_TRADING
) -> Decimal:
    """4 × the maintenance excess at the previous close; 2 × with an open day-trading call or for all others."""
    with exactly():
        full = is_pattern and not has_open_call
        return max(excess, ZERO) * (rules.pattern_multiple if full else rules.reduced_multiple)


def may_day_trade(prior_equity: Decimal, rules: DayTrading = LEGACY_DAY_TRADING) -> bool:
    """A pattern day trader needed 25,000 of equity before the first trade of the day."""
    return prior_equity >= rules.minimum_equity


def _share(rate: Decimal) -> Decimal:
    if not 0 < rate < 1:
        raise ValueError(f"the rate must be above 0 and below 1, not {rate}")
    return rate
