"""Option values over flat arrays: a closed form that vectorises, and binomial trees grown side by side.

Numba ships no vector mathematics, so the exponential and the normal tail are written here without branches and calls;
the compiler then prices as many options at once as a register holds. `margin.engine.pricing` prepares the inputs and
promises the errors.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

_BLOCK = 512  # options whose inputs stay in the nearest cache while all scenarios pass over them
LANES = 16  # trees grown side by side, one number of each in a vector
LEAST_DEVIATION = 1e-12  # stands for no volatility, or no time: the formulas divide by it
_FURTHEST = 37.0  # deviations: beyond, the tails are below 1e-298
_LOG2_E = 1.4426950408889634
# Products may be fused with sums; nothing else is reordered. Division by zero gives infinity, as in NumPy: the check
# for it would stop the compiler from vectorising.
_FAST = {"contract", "nsz"}


def _input(dimensions: int = 1) -> types.Array:
    return types.Array(types.float64, dimensions, "C", readonly=True)


@intrinsic
def _bits_of(context, number):
    def generate(_, builder, __, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), generate


@intrinsic
def _float_of(context, bits):
    def generate(_, builder, __, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


@njit(inline="always")
def _power_of_two(x):
    """2^x for |x| up to 1000, to 1e-14 of itself: the whole part by setting the exponent's bits, the rest (at most a
    half) by its series in log(2)^n ÷ n!."""
    rounder = 6755399441055744.0  # 1.5 × 2^52: adding it rounds to a whole number, held in the low bits
    shifted = x + rounder
    r = x - (shifted - rounder)
    series = 4.44553827187081e-10
    series = series * r + 7.054911620801121e-09
    series = series * r + 1.0178086009239696e-07
    series = series * r + 1.3215486790144305e-06
    series = series * r + 1.5252733804059838e-05
    series = series * r + 0.00015403530393381606
    series = series * r + 0.0013333558146428441
    series = series * r + 0.009618129107628477
    series = series * r + 0.055504108664821576
    series = series * r + 0.2402265069591007
    series = series * r + 0.6931471805599453
    series = series * r + 1.0
    return _float_of(_bits_of(series) + (_bits_of(shifted) << 52))  # type: ignore[call-arg]  # numba passes the context


@njit(inline="always")
def _exp(x):
    """e^x, for x kept from -690 to 690."""
    return _power_of_two(min(max(x, -690.0), 690.0) * _LOG2_E)


@njit(inline="always")
def _tail_over(a):
    """Numerator of N(-a) ÷ e^(-a²/2), a ≥ 0: Hart's algorithm 5666 as West (2005) gives it."""
    n = 3.52624965998911e-02 * a + 0.700383064443688
    n = n * a + 6.37396220353165
    n = n * a + 33.912866078383
    n = n * a + 112.079291497871
    n = n * a + 221.213596169931
    return n * a + 220.206867912376


@njit(inline="always")
def _tail_under(a):
    """Denominator of the same."""
    d = 8.83883476483184e-02 * a + 1.75566716318264
    d = d * a + 16.064177579207
    d = d * a + 86.7807322029461
    d = d * a + 296.564248779674
    d = d * a + 637.333633378831
    d = d * a + 793.826512519948
    return d * a + 440.413735824752


@njit(inline="always")
def _prepare(low, high, columns, spot, strike, moneyness, deviation, steepness, sign):
    """One block of options: discounted to today, with the logarithm of spot ÷ strike and volatility × √years."""
    spots, strikes, logs, years = columns[0][low:high], columns[1][low:high], columns[2][low:high], columns[3][low:high]
    rate, dividend, volatility = columns[4][low:high], columns[5][low:high], columns[6][low:high]
    is_call = columns[7][low:high]
    # One loop per column: the compiler must prove, for each column that is written, that it overlaps no other.
    for i in range(high - low):
        spot[i] = spots[i] * _exp(-dividend[i] * years[i])
    for i in range(high - low):
        strike[i] = strikes[i] * _exp(-rate[i] * years[i])
    for i in range(high - low):
        moneyness[i] = logs[i] + (rate[i] - dividend[i]) * years[i]
    for i in range(high - low):
        deviation[i] = max(volatility[i] * np.sqrt(years[i]), LEAST_DEVIATION)
    for i in range(high - low):
        steepness[i] = 1.0 / deviation[i]
    for i in range(high - low):
        sign[i] = 1.0 if is_call[i] > 0.0 else -1.0


@njit(
    types.void(*(_input() for _ in range(8)), *(_input() for _ in range(3)), types.float64[:, ::1]),
    cache=True,
    nogil=True,
    error_model="numpy",
    fastmath=_FAST,
)
def european(spot, strike, log_ratio, years, rate, dividend, volatility, is_call, factors, log_factors, widenings, out):
    """European values out[j, i] of option i in scenario j, where spot × factors[j] and volatility × widenings[j].

    `log_ratio` is log(spot ÷ strike), `is_call` above 0 for calls, `widenings` above 0.

    Both tails share one exponential, for with spot and strike discounted spot × φ(d1) = strike × φ(d2).
    """
    s, k, m = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK)
    w, steep, side = np.empty(_BLOCK), np.empty(_BLOCK), np.empty(_BLOCK)
    columns = (spot, strike, log_ratio, years, rate, dividend, volatility, is_call)
    for low in range(0, spot.size, _BLOCK):
        high = min(spot.size, low + _BLOCK)
        _prepare(low, high, columns, s, k, m, w, steep, side)
        for j in range(factors.size):
            factor, shift, widening, narrowing = factors[j], log_factors[j], widenings[j], 1.0 / widenings[j]
            row = out[j, low:high]
            for i in range(high - low):
                width = w[i] * widening
                d1 = (m[i] + shift) * (steep[i] * narrowing) + 0.5 * width
                d2 = d1 - width
                a1, a2 = min(abs(d1), _FURTHEST), min(abs(d2), _FURTHEST)
                underlying, paid = s[i] * factor, k[i]
                peak = underlying * _power_of_two(a1 * a1 * (-0.5 * _LOG2_E))
                over1, under1 = _tail_over(a1), _tail_under(a1)
                over2, under2 = _tail_over(a2), _tail_under(a2)
                inside1, inside2 = side[i] * d1 >= 0.0, side[i] * d2 >= 0.0
                over1 = -over1 if inside1 else over1
                over2 = -over2 if inside2 else over2
                value = peak * (over1 * under2 - over2 * under1) / (under1 * under2)
                value += (underlying if inside1 else 0.0) - (paid if inside2 else 0.0)
                row[i] = side[i] * value


_VECTOR = ir.VectorType(ir.DoubleType(), LANES)


@intrinsic
def _step_back(context, values, powers, lanes, count):
    """One step back in LANES trees: nodes 0 … count - 1 of `values` become the greater of holding on, from the node
    and the one above it, and of exercising. Rows are LANES wide; those of `lanes` are the discounted probabilities up
    and down, the price that the powers multiply, and what is paid.

    Written as vector instructions: left to itself the compiler checks for overlaps at every node and loads every lane's
    constants again, at two thirds of the speed.
    """

    def generate(target, builder, signature, arguments):
        fused = tuple(sorted(_FAST))
        first = [target.make_array(signature.args[k])(target, builder, arguments[k]).data for k in range(3)]

        def row(of, number):
            place = builder.gep(first[of], [builder.mul(number, target.get_constant(types.intp, LANES))])
            return builder.bitcast(place, _VECTOR.as_pointer())

        def load(of, number):
            return builder.load(row(of, number), align=8)

        up, down, price, paid = (load(2, target.get_constant(types.intp, k)) for k in range(4))
        with cgutils.for_range(builder, arguments[3]) as loop:
            above = load(0, builder.add(loop.index, target.get_constant(types.intp, 1)))
            rise, fall = builder.fmul(up, above, flags=fused), builder.fmul(down, load(0, loop.index), flags=fused)
            held = builder.fadd(rise, fall, flags=fused)
            exercised = builder.fsub(builder.fmul(price, load(1, loop.index), flags=fused), paid, flags=fused)
            better = builder.select(builder.fcmp_ordered(">", held, exercised), held, exercised)
            builder.store(better, row(0, loop.index), align=8)
        return target.get_dummy_value()

    return types.void(values, powers, lanes, types.intp), generate


@njit(
    types.void(*(_input() for _ in range(7)), types.int64, types.float64[::1]),
    cache=True,
    nogil=True,
    error_model="numpy",
    fastmath=_FAST,
)
def american(spot, strike, sign, down, ratio, discounted_up, discounted_down, steps, out):
    """American values from binomial trees of `steps` steps: node i of step t is spot × down^t × ratio^i.

    `discounted_up` and `discounted_down` are the probabilities times one step's discount. The length is a multiple of
    LANES.
    """
    values, powers = np.empty((steps + 1, LANES)), np.empty((steps + 1, LANES))
    lanes, back = np.empty((4, LANES)), np.empty(LANES)
    for low in range(0, spot.size, LANES):
        for lane in range(LANES):
            o = low + lane
            lanes[0, lane], lanes[1, lane] = discounted_up[o], discounted_down[o]
            lanes[2, lane], lanes[3, lane] = spot[o] * down[o] ** steps, sign[o] * strike[o]
            back[lane] = 1.0 / down[o]
            powers[0, lane] = sign[o]  # the sign rides with the powers: what exercise brings = price × power - paid
        for i in range(steps):
            for lane in range(LANES):
                powers[i + 1, lane] = powers[i, lane] * ratio[low + lane]
        for i in range(steps + 1):
            for lane in range(LANES):
                values[i, lane] = max(0.0, lanes[2, lane] * powers[i, lane] - lanes[3, lane])
        for step in range(steps, 0, -1):
            for lane in range(LANES):
                lanes[2, lane] *= back[lane]
            _step_back(values, powers, lanes, step)  # type: ignore[call-arg]  # numba passes the context
        for lane in range(LANES):
            out[low + lane] = values[0, lane]
