"""What a policy says of futures and their options; the exchange's figures are parameters, not terms."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from margin.engine import terms as reading
from margin.engine.exact import ONE


@dataclass(frozen=True)
class Terms:
    """`parameters` names the document of the day. Maintenance is the exchange's risk × `house_multiplier` (or that of
    the commodity in `house`); initial is maintenance × `initial_multiplier`, where the document states no initial of
    its own.

    `grants_option_value`: a positive net option value lowers the requirement; a negative one always raises it.
    `charges_exposure`: the document's exposure rates are asked as well (National Stock Exchange of India).
    """

    parameters: str
    initial_multiplier: Decimal = ONE
    house_multiplier: Decimal = ONE
    house: Mapping[str, Decimal] = field(default_factory=dict)  # by commodity
    grants_option_value: bool = True
    charges_exposure: bool = False
    max_age_days: int | None = None  # of the document; None: any age

    def __post_init__(self) -> None:
        stated = {"initial_multiplier": self.initial_multiplier, "house_multiplier": self.house_multiplier}
        for name, multiplier in {**stated, **{f"house.{key}": rate for key, rate in self.house.items()}}.items():
            if multiplier < 1:
                raise ValueError(f"{name} must not be below 1: the exchange's figure is the least")
        if not self.parameters:
            raise ValueError("parameters must name a document")
        if self.max_age_days is not None and self.max_age_days < 0:
            raise ValueError("max_age_days must not be negative")

    def multiplier(self, commodity: str) -> Decimal:
        """The house's multiplier of one commodity's risk."""
        return self.house.get(commodity, self.house_multiplier)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Terms":
        """Terms from a policy's JSON; ValueError naming the key."""
        return reading.read(cls, document)
