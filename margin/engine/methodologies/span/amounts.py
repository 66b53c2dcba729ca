"""From scan risk to a requirement: one commodity, the portfolio, and what the National Stock Exchange of India adds."""

from decimal import ROUND_CEILING, Context, Decimal

from margin.engine.exact import ZERO, round_quotient_up

AMOUNT_DECIMALS = 6  # of amounts that come from quotients
_ROOT = Context(prec=28, rounding=ROUND_CEILING)


def commodity_risk(
    scan: Decimal, intra: Decimal = ZERO, spot: Decimal = ZERO, credit: Decimal = ZERO, minimum: Decimal = ZERO
) -> Decimal:
    """max(scan + calendar + delivery − credit across commodities, short option minimum)."""
    return max(scan + intra + spot - credit, minimum)


def total(risk: Decimal, net_option_value: Decimal) -> Decimal:
    """What is asked: the risk less the net value of options, never below nothing. Short options add their value."""
    return max(risk - net_option_value, ZERO)


def short_option_minimum(calls: Decimal, puts: Decimal, rate: Decimal, together: bool) -> Decimal:
    """`rate` per short option, `calls` and `puts` counted together or the larger of the two, by exchange."""
    return (calls + puts if together else max(calls, puts)) * rate


def notional_scan(price: Decimal, multiplier: Decimal, scan_rate: Decimal, quantity: Decimal) -> Decimal:
    """The scan risk of futures whose range is a share of their price."""
    return abs(price * multiplier * scan_rate * quantity)


def price_scan_range(daily_sigma: Decimal, deviations: Decimal, days: Decimal, floor: Decimal) -> Decimal:
    """max(deviations × daily volatility × √days, floor), a share of the price; the root is rounded up to 28 digits."""
    return max(deviations * daily_sigma * days.sqrt(_ROOT), floor)


def exposure(quantity: Decimal, underlying: Decimal, rate: Decimal) -> Decimal:
    """Exposure margin: a share of the contract value of futures, and of options held short, gross."""
    return abs(quantity * underlying * rate)


def third_of(amount: Decimal) -> Decimal:
    """A third, rounded up to six decimals: the price of a scenario that is no decimal number."""
    return round_quotient_up(amount, Decimal(3), AMOUNT_DECIMALS)
