"""How fast options are priced, beside NumPy with SciPy and beside QuantLib, in one run; the errors are checked first.

    python -m bench.bench_pricing [--european 200000] [--american 20000] [--runs 7]

Needs SciPy and QuantLib (requirements-bench.txt). One thread each: QuantLib's binding holds the interpreter's lock. The
contenders take turns, so that a busy machine slows them alike; medians are printed, with the fastest and slowest.
"""

import argparse
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import QuantLib as ql  # noqa: N813  its own documentation's name
from scipy.special import ndtr

from margin.engine import pricing

Array = np.ndarray
POINTS = np.array([-15.0, -12, -9, -6, -3, 3, 6, 9, 12, 15]) / 100
RATE, DIVIDEND = 0.04, 0.015
_REUSED, _TREES = 2_000, 300  # values QuantLib is timed on: enough for a rate, few enough to wait for


@dataclass(frozen=True)
class Options:
    """n options as columns."""

    spot: Array
    strike: Array
    years: Array
    volatility: Array
    is_call: Array

    def take(self, count: int) -> "Options":
        return Options(*(column[:count] for column in vars(self).values()))

    def __len__(self) -> int:
        return len(self.spot)


def drawn(count: int, seed: int) -> Options:
    """Two weeks to two years, 10 to 90 % volatility, strikes within about two standard deviations; whole days."""
    chooser = np.random.default_rng(seed)
    spot = chooser.uniform(20, 400, count)
    return Options(
        spot,
        spot * np.exp(chooser.normal(0, 0.2, count)),
        chooser.integers(14, 730, count) / 365,
        chooser.uniform(0.1, 0.9, count),
        chooser.integers(0, 2, count) > 0,
    )


# --- contenders -----------------------------------------------------------------------------------------------------


def our_scenarios(options: Options) -> Array:
    columns = (options.spot, options.strike, options.years, RATE, DIVIDEND, options.volatility, options.is_call)
    return pricing.european_scenarios(*columns, POINTS, np.zeros(len(POINTS)))


def scipy_scenarios(options: Options) -> Array:
    """The formula on whole arrays, invariants out of the loop, SciPy's normal distribution."""
    sign = np.where(options.is_call, 1.0, -1.0)
    width = options.volatility * np.sqrt(options.years)
    paid = options.strike * np.exp(-RATE * options.years)
    present = options.spot * np.exp(-DIVIDEND * options.years)
    out = np.empty((len(POINTS), len(options)))
    for j, shock in enumerate(POINTS):
        moved = present * (1 + shock)
        d1 = np.log(moved / paid) / width + 0.5 * width
        out[j] = sign * (moved * ndtr(sign * d1) - paid * ndtr(sign * (d1 - width)))
    return out


def our_american(options: Options) -> Array:
    return pricing.american(
        options.spot, options.strike, options.years, RATE, DIVIDEND, options.volatility, options.is_call
    )


@dataclass
class QuantLib:
    """QuantLib's object graph: a process of moving quotes, an engine, and an option per value."""

    def __post_init__(self) -> None:
        self.today = ql.Date(2, 1, 2026)
        ql.Settings.instance().evaluationDate = self.today
        self.counter = ql.Actual365Fixed()
        self.spot, self.volatility = ql.SimpleQuote(100.0), ql.SimpleQuote(0.2)
        flat = [
            ql.YieldTermStructureHandle(ql.FlatForward(self.today, rate, self.counter)) for rate in (DIVIDEND, RATE)
        ]
        surface = ql.BlackConstantVol(self.today, ql.NullCalendar(), ql.QuoteHandle(self.volatility), self.counter)
        self.process = ql.BlackScholesMertonProcess(
            ql.QuoteHandle(self.spot), *flat, ql.BlackVolTermStructureHandle(surface)
        )

    def values(self, options: Options, engine: Any, is_american: bool) -> Array:
        """One value per option: its own contract, the shared process and engine, its quotes set."""
        out = np.empty(len(options))
        for k in range(len(options)):
            expiry = self.today + round(float(options.years[k]) * 365)
            right = ql.Option.Call if options.is_call[k] else ql.Option.Put
            exercise = ql.AmericanExercise(self.today, expiry) if is_american else ql.EuropeanExercise(expiry)
            option = ql.VanillaOption(ql.PlainVanillaPayoff(right, float(options.strike[k])), exercise)
            option.setPricingEngine(engine)
            self.spot.setValue(float(options.spot[k]))
            self.volatility.setValue(float(options.volatility[k]))
            out[k] = option.NPV()
        return out

    def european(self, options: Options) -> Array:
        return self.values(options, ql.AnalyticEuropeanEngine(self.process), is_american=False)

    def trees(self, options: Options) -> Array:
        return self.values(options, ql.BinomialVanillaEngine(self.process, "lr", 101), is_american=True)

    def accurate(self, options: Options) -> Array:
        """Andersen, Lake and Offengenden (2016): the high-accuracy reference."""
        engine = ql.QdFpAmericanEngine(self.process, ql.QdFpAmericanEngine.highPrecisionScheme())
        return self.values(options, engine, is_american=True)

    def scenarios(self, options: Options) -> Array:
        """One graph per option, built outside the clock by `built`; here only its quotes move over the points."""
        out = np.empty((len(POINTS), len(options)))
        for k, option in enumerate(self.built):
            self.volatility.setValue(float(options.volatility[k]))
            for j, shock in enumerate(POINTS):
                self.spot.setValue(float(options.spot[k]) * (1 + shock))
                out[j, k] = option.NPV()
        return out

    def build(self, options: Options) -> None:
        """The graphs that `scenarios` reuses."""
        engine, self.built = ql.AnalyticEuropeanEngine(self.process), []
        for k in range(len(options)):
            right = ql.Option.Call if options.is_call[k] else ql.Option.Put
            expiry = self.today + round(float(options.years[k]) * 365)
            option = ql.VanillaOption(
                ql.PlainVanillaPayoff(right, float(options.strike[k])), ql.EuropeanExercise(expiry)
            )
            option.setPricingEngine(engine)
            self.built.append(option)


# --- errors, then times ---------------------------------------------------------------------------------------------


def check(european: Options, american: Options, library: QuantLib) -> None:
    """Stop unless every contender gives the same values; print how far ours lie from the references."""
    few = european.take(_REUSED)
    library.build(few)
    scale = few.spot[None, :]
    scipy_error = np.abs((our_scenarios(european) - scipy_scenarios(european)) / european.spot).max()
    library_error = np.abs((our_scenarios(few) - library.scenarios(few)) / scale).max()
    print(f"European, worst error in spot: {scipy_error:.1e} against SciPy, {library_error:.1e} against QuantLib")
    accurate = library.accurate(american)
    ours = (our_american(american) - accurate) / american.spot
    peer = (library.trees(american) - accurate) / american.spot
    rmse = math.sqrt(np.mean(ours**2))
    print(
        f"American, error in % of spot against QuantLib's QD+ fixed point, {len(american):,} options: "
        f"ours RMSE {rmse:.4%}, worst {np.abs(ours).max():.4%}; "
        f"QuantLib LR-101 RMSE {math.sqrt(np.mean(peer**2)):.4%}, worst {np.abs(peer).max():.4%}"
    )
    if scipy_error > 1e-9 or library_error > 1e-9 or rmse > 5e-5:
        raise SystemExit("The values differ: no times.")


def rates(contenders: dict[str, tuple[Callable[[], Any], int]], runs: int) -> dict[str, list[float]]:
    """Values per second, run by run; the contenders take turns after one round that is not counted."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(runs + 1):
        for name, (work, values) in contenders.items():
            started = time.perf_counter()
            work()
            if number:
                found[name].append(values / (time.perf_counter() - started))
    return found


def report(title: str, found: dict[str, list[float]]) -> None:
    """Medians, the fastest and the slowest, and how many times as fast ours is, run by run."""
    print(title)
    ours = next(iter(found.values()))
    for name, values in found.items():
        ratio = statistics.median(a / b for a, b in zip(ours, values, strict=True))
        print(
            f"  {name:<44} {statistics.median(values):>14,.0f} values/s "
            f"({min(values):,.0f} … {max(values):,.0f})   ours ÷ it {ratio:8,.1f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--european", type=int, default=200_000)
    parser.add_argument("--american", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=7)
    chosen = parser.parse_args()
    european, american, library = drawn(chosen.european, 1), drawn(chosen.american, 2), QuantLib()
    print(f"{_machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, NumPy {np.__version__}, "
          f"QuantLib {ql.__version__}, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    few, trees = european.take(_REUSED), american.take(_TREES)
    check(european, american.take(1_000), library)
    library.build(few)
    points = len(POINTS)
    found = rates(
        {
            "ours, 10 points": (lambda: our_scenarios(european), points * len(european)),
            "NumPy and SciPy, 10 points": (lambda: scipy_scenarios(european), points * len(european)),
            "QuantLib, graph reused, quotes moved": (lambda: library.scenarios(few), points * len(few)),
            "QuantLib, shared engine, option per value": (lambda: library.european(few), len(few)),
        },
        chosen.runs,
    )
    report("European", found)
    found = rates(
        {
            "ours (Leisen-Reimer 25 and 51)": (lambda: our_american(american), len(american)),
            "QuantLib, Leisen-Reimer 101": (lambda: library.trees(trees), len(trees)),
            "QuantLib, QD+ fixed point, high precision": (lambda: library.accurate(trees), len(trees)),
        },
        chosen.runs,
    )
    report("American", found)
    print(f"load at the end {os.getloadavg()[0]:.1f}")


def _machine() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
