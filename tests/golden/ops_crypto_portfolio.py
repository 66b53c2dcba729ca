"""Operations of `derivatives_cases.csv`: crypto portfolio."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from margin.engine.methodologies.crypto_portfolio import grid, standard, terms
from margin.engine.methodologies.crypto_portfolio.books import Asked, Assets, Books, Legs, Linears, Options, Runs

_MODES = {"U": "up", "D": "down", "N": "none", "L": "linear", "A": "absolute"}


def derive_pmrm2(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """One account through the scenario grid."""
    expiries = [(one, _of_expiry(inputs["options"], one["id"])) for one in inputs["expiries"]]
    legs = [(option, expiry) for expiry, options in expiries for option in options]
    spot, held = inputs["spot"], inputs["collateral"]
    quantity = [inputs["perp_qty"]]
    books = Books(
        runs_of=np.array([0, len(expiries)]),
        options=Options(
            spot=_floats([spot] * len(legs)),
            forward=_floats([expiry["fwd_var"] for _, expiry in legs]),
            fixed=_floats([expiry["fwd_fix"] for _, expiry in legs]),
            strike=_floats([option["strike"] for option, _ in legs]),
            seconds=_floats([expiry["sec"] for _, expiry in legs]),
            rate=_floats([expiry["rate"] for _, expiry in legs]),
            volatility=_floats([option["vol"] for option, _ in legs]),
            is_call=np.array([bool(option["call"]) for option, _ in legs], bool),
        ),
        legs=Legs(np.arange(len(legs)), _floats([option["amount"] for option, _ in legs])),
        runs=Runs(
            legs=np.cumsum([0, *(len(options) for _, options in expiries)]).astype(np.int64),
            seconds=_floats([expiry["sec"] for expiry, _ in expiries]),
            rate=_floats([expiry["rate"] for expiry, _ in expiries]),
            confidence=_floats([min(expiry["conf"], inputs["min_conf"]) for expiry, _ in expiries]),
        ),
        linears=_perpetuals(quantity, [inputs["perp_price"]], [spot], [inputs["min_conf"]], [0]),
        assets=Assets(
            book=np.zeros(len(held), np.int64),
            value=_floats([one["value"] for one in held]),
            confidence=_floats([one["conf"] for one in held]),
            rate=_floats([one["mm_haircut"] for one in held]),
            initial_rate=_floats([one["im_haircut"] for one in held]),
            moves=np.array([one["risk_cancelling"] for one in held], bool),
        ),
        stablecoin=float(inputs["stable"]),
    )
    equity = inputs["cash"] + inputs["perp_value"] + sum(one["value"] for one in held)
    return _net(grid.asked(books, _grid(inputs["params"])), float(equity))


def derive_srm(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """One account by standard margin: a book per market."""
    markets, stated = inputs["markets"], inputs["params"]
    runs = [
        (book, seconds, [one for one in market["options"] if one["sec"] == seconds])
        for book, market in enumerate(markets)
        for seconds in sorted({one["sec"] for one in market["options"]})
    ]
    legs = [(markets[book], option) for book, _, options in runs for option in options]
    spots = [market["spot"] for market in markets]
    books = Books(
        runs_of=np.searchsorted([book for book, _, _ in runs], np.arange(len(markets) + 1)).astype(np.int64),
        options=Options(
            spot=_floats([market["spot"] for market, _ in legs]),
            forward=_floats([option["fwd"] for _, option in legs]),
            fixed=np.zeros(len(legs)),
            strike=_floats([option["strike"] for _, option in legs]),
            seconds=_floats([option["sec"] for _, option in legs]),
            rate=np.zeros(len(legs)),
            volatility=_floats([option["vol"] for _, option in legs]),
            is_call=np.array([bool(option["call"]) for _, option in legs], bool),
        ),
        legs=Legs(np.arange(len(legs)), _floats([option["amount"] for _, option in legs])),
        runs=Runs(
            legs=np.cumsum([0, *(len(options) for _, _, options in runs)]).astype(np.int64),
            seconds=_floats([seconds for _, seconds, _ in runs]),
            rate=np.zeros(len(runs)),
            confidence=_floats(
                [
                    min(markets[book]["spot_conf"], *(min(one["fwd_conf"], one["vol_conf"]) for one in options))
                    for book, _, options in runs
                ]
            ),
        ),
        linears=_perpetuals(
            [market["perp_qty"] for market in markets],
            [market["perp_price"] for market in markets],
            spots,
            [min(market["spot_conf"], market["perp_conf"]) for market in markets],
            range(len(markets)),
        ),
        assets=Assets(
            book=np.arange(len(markets)),
            value=_floats([market["base"] * market["spot"] for market in markets]),
            confidence=_floats([market["spot_conf"] for market in markets]),
            rate=_floats([1 - stated["base_factor"]] * len(markets)),
            initial_rate=_floats([stated["base_factor"] * (1 - stated["base_im_scale"])] * len(markets)),
            moves=np.ones(len(markets), bool),
        ),
        stablecoin=float(inputs["stable"]),
    )
    equity = inputs["cash"] + sum(market["perp_pnl"] + market["base"] * market["spot"] for market in markets)
    return _net(standard.asked(books, _standard(stated)), float(equity))


def _of_expiry(options: Sequence[Mapping[str, Any]], expiry: Any) -> list[Mapping[str, Any]]:
    return [option for option in options if option["expiry"] == expiry]


def _perpetuals(quantity: Any, price: Any, spot: Any, confidence: Any, book: Any) -> Linears:
    coins = _floats(quantity)
    return Linears(
        book=np.array(book, np.int64),
        run=np.full(len(coins), -1),
        notional=coins * _floats(price),
        coins=coins,
        size=np.abs(coins) * _floats(spot),
        confidence=_floats(confidence),
    )


def _grid(stated: Mapping[str, Any]) -> terms.Grid:
    volatility, skew, margin, other = stated["vol"], stated["skew"], stated["margin"], stated["other"]
    return terms.Grid(
        scenarios=tuple(terms.Scenario(factor, _MODES[mode], weight) for factor, mode, weight in stated["scenarios"]),
        volatility=terms.Volatility(
            up=volatility["up"],
            down=volatility["down"],
            least_up=volatility["min_vol_up"],
            short_power=volatility["short_pow"],
            long_power=volatility["long_pow"],
            least_seconds=volatility["dte_floor"],
        ),
        skew=terms.Skew(
            linear_cap=skew["lin_cap"],
            linear_slope=skew["lin_c"],
            absolute_cap=skew["abs_cap"],
            absolute_slope=skew["abs_c"],
            least_distance=skew["min_kstar"],
            width=skew["width"],
            volatility=skew["vp_static"],
            volatility_slope=skew["vp_scale"],
        ),
        discount=terms.Discount(
            long_base=margin["long_base"],
            long_multiple=margin["long_mult"],
            long_rate=margin["long_add"],
            short_base=margin["short_base"],
            short_multiple=margin["short_mult"],
            short_rate=margin["short_add"],
        ),
        basis=terms.Basis(*(stated["basis"][name] for name in ("up", "down", "add", "mult"))),
        maintenance_factor=margin["mm_factor"],
        initial_factor=margin["im_factor"],
        option_rate=other["mm_opt"],
        option_initial_rate=other["im_opt"],
        perpetual_rate=other["mm_perp"],
        perpetual_initial_rate=other["im_perp"],
        doubt=terms.Doubt(*(other[name] for name in ("conf_thr", "conf_margin", "peg_thr", "peg_factor"))),
    )


def _standard(stated: Mapping[str, Any]) -> terms.Standard:
    return terms.Standard(
        option_rate=stated["max_spot_req"],
        option_least_rate=stated["min_spot_req"],
        call_rate=stated["mm_call"],
        put_rate=stated["mm_put"],
        put_value_rate=stated["mm_put_mtm"],
        put_initial_factor=stated["mm_offset"],
        unbounded_initial_factor=stated["unpaired_im"],
        unbounded_factor=stated["unpaired_mm"],
        perpetual_rate=stated["perp_mm"],
        perpetual_initial_rate=stated["perp_im"],
        doubt=_one_threshold(stated),
    )


def _one_threshold(stated: Mapping[str, Any]) -> terms.Doubt:
    """The published model states a threshold per kind of position, and the same one for all."""
    thresholds = {stated[name] for name in ("perp_conf_thr", "opt_conf_thr", "base_conf_thr")}
    if len(thresholds) > 1:
        raise ValueError(f"one confidence threshold is expected, not {thresholds}")
    return terms.Doubt(thresholds.pop(), stated["oc_factor"], stated["depeg_threshold"], stated["depeg_factor"])


def _floats(numbers: Sequence[Any]) -> Any:
    return np.array([float(number) for number in numbers], np.float64)


def _net(asked: Asked, equity: float) -> Mapping[str, Any]:
    """Net margins and value of the account: its books add up."""
    value = float(asked.value.sum()) + equity

    def net(is_initial: bool) -> Decimal:
        return Decimal(value + float(asked.net(np.zeros(len(asked.value)), is_initial).sum()))

    return {"im": net(True), "mm": net(False), "mtm": Decimal(value)}


OPERATIONS: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
    "derive_pmrm2": derive_pmrm2,
    "derive_srm": derive_srm,
}
