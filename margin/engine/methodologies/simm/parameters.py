"""The parameters of a sensitivity-based margin model, all from a document that a licensed user supplies.

ISDA owns the methodology and the numbers of its SIMM and licenses both; none is shipped here. Tables are looked up by
the most particular name first: qualifier, bucket, "*". What is not found is refused, never guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from margin.engine import terms as reading
from margin.engine.exact import ONE

ANY = "*"
RESIDUAL = "Residual"  # the bucket that is added, not aggregated
BUCKETS = ("bucket", "qualifier", "all")
SCOPES = ("name", "bucket")
VOLATILITIES = ("weighted", "derived")
Pairs = Mapping[str, Mapping[str, Decimal]]


@dataclass(frozen=True)
class Factor:
    """One risk factor: a tenor of a currency, an issuer, a share, a commodity."""

    qualifier: str
    bucket: str
    label1: str  # tenor, or the expiry of an option
    label2: str  # sub-curve


@dataclass(frozen=True)
class Layer:
    """Weights by name and tenor (label 1), and concentration thresholds by name; no thresholds: no concentration."""

    weights: Pairs
    thresholds: Mapping[str, Decimal] = field(default_factory=dict)

    def weight(self, factor: Factor) -> float:
        """KeyError-free: ValueError naming the factor that the document has no weight for."""
        for name in _names(factor):
            row = self.weights.get(name, {})
            found = row.get(factor.label1, row.get(ANY))
            if found is not None:
                return float(found)
        raise ValueError(f"the parameters have no weight for {factor}")

    def threshold(self, factor: Factor) -> float | None:
        """None where there are no thresholds at all."""
        if not self.thresholds:
            return None
        for name in _names(factor):
            if name in self.thresholds:
                return float(self.thresholds[name])
        raise ValueError(f"the parameters have no concentration threshold for {factor}")


def _names(factor: Factor) -> tuple[str, str, str]:
    return factor.qualifier, factor.bucket, ANY


@dataclass(frozen=True)
class BaseCorrelation:
    """Of credit qualifying: one weight, one correlation between indices."""

    weight: Decimal
    correlation: Decimal


@dataclass(frozen=True)
class RiskClass:
    """One risk class. `buckets` says what makes a bucket: the stated bucket, the qualifier (a currency), or nothing.

    Correlations within a bucket: between different qualifiers `names`; of one qualifier `tenors` × `sub_curves`. Where
    no `sub_curves` is stated, sub-curves net.
    """

    buckets: str
    delta: Layer
    names: Pairs = field(default_factory=dict)
    tenors: Pairs = field(default_factory=dict)
    sub_curves: Decimal | None = None
    gamma: Pairs = field(default_factory=dict)  # between buckets
    concentration: str = "name"  # whose net sensitivity is compared with the threshold: the name's or the bucket's
    unconcentrated: tuple[str, ...] = ()  # label 1 of what does not count there, such as cross-currency basis
    vega: Layer | None = None
    volatility: str = "weighted"  # vega amounts are already times volatility; or it is derived from the delta weight
    historical_ratio: Decimal = ONE  # HVR
    scales_curvature: bool = False  # curvature ÷ HVR², as for interest rates
    base_correlation: BaseCorrelation | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("buckets", BUCKETS), ("concentration", SCOPES), ("volatility", VOLATILITIES)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}")
        if self.historical_ratio <= 0:
            raise ValueError("historical_ratio must be positive")

    def bucket(self, factor: Factor) -> str:
        if self.buckets == "all":
            return ANY
        return factor.qualifier if self.buckets == "qualifier" else factor.bucket

    def rho(self, one: Factor, other: Factor) -> float:
        """Correlation of two factors of one bucket."""
        if one.qualifier != other.qualifier:
            return pair(self.names, (one.qualifier, one.bucket), (other.qualifier, other.bucket), "names")
        same = 1.0 if one.label1 == other.label1 else pair(self.tenors, (one.label1,), (other.label1,), "tenors")
        if self.sub_curves is not None and one.label2 != other.label2:
            same *= float(self.sub_curves)
        return same

    def between(self, one: str, other: str) -> float:
        """Correlation of two buckets."""
        return pair(self.gamma, (one,), (other,), "gamma")


@dataclass(frozen=True)
class Parameters:
    """A version of the model: risk classes by name, and the correlations `psi` between them."""

    version: str
    currency: str  # in which sensitivities are stated; it is no risk factor itself
    risk_classes: Mapping[str, RiskClass]
    psi: Pairs

    @classmethod
    def from_json(cls, document: Any) -> "Parameters":
        """Parameters from a user's document; ValueError naming the key."""
        return reading.read(cls, document)

    def risk_class(self, name: str) -> RiskClass:
        if name not in self.risk_classes:
            raise ValueError(f"the parameters have no risk class {name!r}; known: {', '.join(self.risk_classes)}")
        return self.risk_classes[name]

    def correlation(self, one: str, other: str) -> float:
        return 1.0 if one == other else pair(self.psi, (one,), (other,), "psi")


def pair(table: Pairs, one: tuple[str, ...], other: tuple[str, ...], name: str) -> float:
    """The entry of a symmetric table for two things, each named from its most particular name on. ValueError: none."""
    for a in (*one, ANY):
        for b in (*other, ANY):
            for first, second in ((a, b), (b, a)):
                found = table.get(first, {}).get(second)
                if found is not None:
                    return float(found)
    raise ValueError(f"{name}: the parameters have no correlation of {' '.join(one)} and {' '.join(other)}")
