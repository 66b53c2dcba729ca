"""Initial margin from sensitivities, in the shape of ISDA's SIMM: delta, vega and curvature with concentration, by
risk class and product class, and add-ons. docs/methodologies/simm.md.

The parameters come from a user's document (`parameters`). Model values are float64, in the currency of the
sensitivities, and rounded by whoever stores them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import NormalDist

import numpy as np

from margin.engine.columns import Array
from margin.engine.methodologies.simm.parameters import ANY, RESIDUAL, Factor, Layer, Parameters, RiskClass

SENSITIVITIES = ("delta", "vega", "base_correlation")
_TAIL = NormalDist().inv_cdf(0.99)  # of derived volatilities
_CURVATURE_TAIL = NormalDist().inv_cdf(0.995)
_YEAR_DAYS = 365
_HORIZON_DAYS = 14
_UNIT_DAYS = {"d": 1.0, "w": 7.0, "m": _YEAR_DAYS / 12, "y": float(_YEAR_DAYS)}


@dataclass(frozen=True)
class Sensitivity:
    """One row of a portfolio's sensitivities; `kind` is one of SENSITIVITIES."""

    product_class: str
    risk_class: str
    kind: str
    qualifier: str
    amount: Decimal
    bucket: str = ""
    label1: str = ""
    label2: str = ""

    def __post_init__(self) -> None:
        if self.kind not in SENSITIVITIES:
            raise ValueError(f"kind must be one of {', '.join(SENSITIVITIES)}, not {self.kind!r}")


@dataclass(frozen=True)
class AddOns:
    """Amounts on top: fixed ones, (notional, factor) pairs, and multipliers of product classes, at least 1."""

    fixed: tuple[Decimal, ...] = ()
    notionals: tuple[tuple[Decimal, Decimal], ...] = ()
    multipliers: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True)
class RiskMargin:
    """The parts of one risk class within one product class."""

    product_class: str
    risk_class: str
    delta: float
    vega: float
    curvature: float
    base_correlation: float

    @property
    def total(self) -> float:
        return self.delta + self.vega + self.curvature + self.base_correlation


@dataclass(frozen=True)
class Margin:
    """The whole, and what it is made of: product classes are added, add-ons on top."""

    risks: tuple[RiskMargin, ...]
    product_classes: Mapping[str, float]
    add_ons: float

    @property
    def total(self) -> float:
        return sum(self.product_classes.values()) + self.add_ons


def measure(sensitivities: Iterable[Sensitivity], parameters: Parameters, add_ons: AddOns | None = None) -> Margin:
    """The margin of a netting set. ValueError names what the parameters do not have."""
    grouped: dict[tuple[str, str], list[Sensitivity]] = defaultdict(list)
    for one in sensitivities:
        if not (one.risk_class == "fx" and one.kind == "delta" and one.qualifier == parameters.currency):
            grouped[one.product_class, one.risk_class].append(one)
    risks = tuple(
        _risk(product, name, rows, parameters.risk_class(name)) for (product, name), rows in sorted(grouped.items())
    )
    classes = {product: combined(risks, product, parameters) for product in sorted({r.product_class for r in risks})}
    return Margin(risks, classes, _added(add_ons or AddOns(), classes))


def combined(risks: Sequence[RiskMargin], product_class: str, parameters: Parameters) -> float:
    """√ΣΣ psi_rs × M_r × M_s over the risk classes of one product class."""
    mine = [risk for risk in risks if risk.product_class == product_class]
    psi = np.array([[parameters.correlation(r.risk_class, s.risk_class) for s in mine] for r in mine])
    margins = np.array([risk.total for risk in mine])
    return _root(float(margins @ psi @ margins))


def _added(add_ons: AddOns, classes: Mapping[str, float]) -> float:
    fixed = sum(map(float, add_ons.fixed))
    notionals = sum(abs(float(notional)) * float(factor) for notional, factor in add_ons.notionals)
    multiplied = sum((float(m) - 1) * classes.get(product, 0.0) for product, m in add_ons.multipliers.items())
    return fixed + notionals + multiplied


def _risk(product: str, name: str, rows: Sequence[Sensitivity], risk: RiskClass) -> RiskMargin:
    return RiskMargin(
        product_class=product,
        risk_class=name,
        delta=_weighted_margin(_netted(rows, "delta", risk), risk.delta, risk),
        vega=_vega(rows, risk),
        curvature=_curvature(rows, risk),
        base_correlation=_base_correlation(rows, risk),
    )


def _netted(rows: Sequence[Sensitivity], kind: str, risk: RiskClass) -> dict[Factor, float]:
    """Net sensitivity per factor: opposite ones cancel before anything else."""
    exact: dict[Factor, Decimal] = defaultdict(Decimal)
    for row in rows:
        if row.kind == kind:
            label2 = "" if risk.sub_curves is None else row.label2
            exact[Factor(row.qualifier, row.bucket, row.label1, label2)] += row.amount
    return {factor: float(amount) for factor, amount in exact.items()}


# --- delta and vega -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Bucket:
    name: str
    factors: tuple[Factor, ...]
    weighted: Array  # float64
    concentration: Array  # float64, at least 1


def _weighted_margin(net: Mapping[Factor, float], layer: Layer, risk: RiskClass) -> float:
    """√(ΣK² + ΣΣ gamma × g × S × S) over buckets, and the residual bucket's K."""
    buckets = [_weighed(name, members, net, layer, risk) for name, members in _by_bucket(net, risk).items()]
    sizes = {bucket.name: _bucket_size(bucket, risk) for bucket in buckets}
    regular = [bucket for bucket in buckets if bucket.name != RESIDUAL]
    return _across(regular, sizes, risk) + sizes.get(RESIDUAL, 0.0)


def _by_bucket(net: Mapping[Factor, float], risk: RiskClass) -> dict[str, list[Factor]]:
    found: dict[str, list[Factor]] = defaultdict(list)
    for factor in net:
        found[RESIDUAL if factor.bucket == RESIDUAL else risk.bucket(factor)].append(factor)
    return found


def _weighed(
    name: str, factors: Sequence[Factor], net: Mapping[Factor, float], layer: Layer, risk: RiskClass
) -> _Bucket:
    totals: dict[str, float] = defaultdict(float)
    for factor in factors:
        if factor.label1 not in risk.unconcentrated:
            totals[_scope(factor, risk)] += net[factor]
    concentration = np.array([_concentration(factor, totals, layer, risk) for factor in factors])
    weights = np.array([layer.weight(factor) * net[factor] for factor in factors])
    return _Bucket(name, tuple(factors), weights * concentration, concentration)


def _scope(factor: Factor, risk: RiskClass) -> str:
    return ANY if risk.concentration == "bucket" else factor.qualifier


def _concentration(factor: Factor, totals: Mapping[str, float], layer: Layer, risk: RiskClass) -> float:
    """CR = max(1, √(|Σs| ÷ threshold)); 1 for what does not count."""
    threshold = layer.threshold(factor)
    if threshold is None or factor.label1 in risk.unconcentrated:
        return 1.0
    return max(1.0, (abs(totals[_scope(factor, risk)]) / threshold) ** 0.5)


def _bucket_size(bucket: _Bucket, risk: RiskClass) -> float:
    """K = √(ΣWS² + ΣΣ rho × f × WS × WS), f = min ÷ max of the concentrations; within one scope f is 1."""
    rho = np.array([[risk.rho(a, b) for b in bucket.factors] for a in bucket.factors])
    if risk.concentration == "name":
        cr = bucket.concentration
        rho = rho * np.minimum.outer(cr, cr) / np.maximum.outer(cr, cr)
    np.fill_diagonal(rho, 1.0)
    return _root(float(bucket.weighted @ rho @ bucket.weighted))


def _across(buckets: Sequence[_Bucket], sizes: Mapping[str, float], risk: RiskClass) -> float:
    sums = [float(np.clip(b.weighted.sum(), -sizes[b.name], sizes[b.name])) for b in buckets]
    total = sum(sizes[bucket.name] ** 2 for bucket in buckets)
    for i, one in enumerate(buckets):
        for j, other in enumerate(buckets):
            if i != j:
                total += risk.between(one.name, other.name) * _spread(one, other, risk) * sums[i] * sums[j]
    return _root(total)


def _spread(one: _Bucket, other: _Bucket, risk: RiskClass) -> float:
    """g = min ÷ max of the buckets' concentrations, where those are the buckets' own."""
    if risk.concentration == "name":
        return 1.0
    first, second = float(one.concentration.max()), float(other.concentration.max())
    return min(first, second) / max(first, second)


def _vega(rows: Sequence[Sensitivity], risk: RiskClass) -> float:
    net = _volatile(rows, risk)
    if not net:
        return 0.0
    if risk.vega is None:
        raise ValueError("the parameters have no vega weights for a risk class with vega sensitivities")
    scaled = {factor: float(risk.historical_ratio) * amount for factor, amount in net.items()}
    return _weighted_margin(scaled, risk.vega, risk)


def _volatile(rows: Sequence[Sensitivity], risk: RiskClass) -> dict[Factor, float]:
    """Volatility × vega per factor: as stated, or with the volatility that the delta weight implies."""
    net = _netted(rows, "vega", risk)
    if risk.volatility == "weighted":
        return net
    scale = (_YEAR_DAYS / _HORIZON_DAYS) ** 0.5 / _TAIL
    return {factor: risk.delta.weight(factor) * scale * amount for factor, amount in net.items()}


# --- curvature ------------------------------------------------------------------------------------------------


def expiry_days(label: str) -> float:
    """Days of a tenor such as 2w, 1m, 5y; ValueError for anything else."""
    unit = _UNIT_DAYS.get(label[-1:].lower())
    if unit is None or not label[:-1].isdigit():
        raise ValueError(f"{label!r} is not a tenor like 2w, 1m or 5y")
    return int(label[:-1]) * unit


def scaling(days: float) -> float:
    """SF(t) = ½ × min(1, 14 days ÷ t)."""
    return 0.5 * min(1.0, _HORIZON_DAYS / days)


def _curvature(rows: Sequence[Sensitivity], risk: RiskClass) -> float:
    """max(0, ΣCVR + λ × √(ΣK² + ΣΣ gamma² × S × S)), the residual bucket apart."""
    net = {f: scaling(expiry_days(f.label1)) * amount for f, amount in _volatile(rows, risk).items()}
    buckets = _by_bucket(net, risk)
    regular = {name: members for name, members in buckets.items() if name != RESIDUAL}
    residual = {name: members for name, members in buckets.items() if name == RESIDUAL}
    total = _curved(regular, net, risk) + _curved(residual, net, risk)
    return total / float(risk.historical_ratio) ** 2 if risk.scales_curvature else total


def _curved(buckets: Mapping[str, Sequence[Factor]], net: Mapping[Factor, float], risk: RiskClass) -> float:
    values = [net[factor] for members in buckets.values() for factor in members]
    gross = sum(map(abs, values))
    if not gross:
        return 0.0
    theta = min(sum(values) / gross, 0.0)
    slope = (_CURVATURE_TAIL**2 - 1) * (1 + theta) - theta
    sizes, sums = {}, {}
    for name, members in buckets.items():
        amounts = np.array([net[factor] for factor in members])
        rho = np.array([[risk.rho(a, b) ** 2 for b in members] for a in members])
        np.fill_diagonal(rho, 1.0)
        sizes[name] = _root(float(amounts @ rho @ amounts))
        sums[name] = float(np.clip(amounts.sum(), -sizes[name], sizes[name]))
    total = sum(size**2 for size in sizes.values())
    total += sum(risk.between(a, b) ** 2 * sums[a] * sums[b] for a in sums for b in sums if a != b)
    return max(0.0, sum(values) + slope * _root(total))


def _base_correlation(rows: Sequence[Sensitivity], risk: RiskClass) -> float:
    """√ΣΣ rho × WS × WS of base correlation sensitivities, one per index."""
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        if row.kind == "base_correlation":
            amounts[row.qualifier] += row.amount
    if not amounts:
        return 0.0
    if risk.base_correlation is None:
        raise ValueError("the parameters have no base correlation weight")
    weighted = float(risk.base_correlation.weight) * np.array([float(amount) for amount in amounts.values()])
    rho = np.full((len(weighted), len(weighted)), float(risk.base_correlation.correlation))
    np.fill_diagonal(rho, 1.0)
    return _root(float(weighted @ rho @ weighted))


def _root(square: float) -> float:
    return max(square, 0.0) ** 0.5
