"""FINRA 4210(e)(1): the same security long and short, "short against the box"."""

import numpy as np

from margin.engine.columns import Instruments
from margin.engine.measures import Box, Lane, Sentence, UnitCharge, pick, smaller, worth
from margin.engine.methodologies.reg_t.terms import Terms

_LAW = "FINRA Rule 4210(e)(1); 12 CFR 220.12"

SENTENCES = {
    "box": Sentence(
        "{quantity} {code} held on the other side as well: {box_rate} of market value, {unit_value} per unit, for both "
        "sides, less what the other side is charged",
        _LAW,
    ),
    "apart": Sentence("{quantity} {code} held on the other side as well, where both sides apart ask no more", _LAW),
}


def charge(instruments: Instruments, requirement: Lane, initial: Lane, terms: Terms) -> Box:
    """5 % of the long value for both sides, never more than they are asked apart; no 50 %, since Regulation T treats
    the sale as one of what is held. Amounts are the smaller side's, less what the larger side is charged for it."""
    value = worth(instruments)
    asked = smaller(terms.box_rate * value, requirement.long + requirement.short)
    apart = Lane(asked - requirement.short, asked - requirement.long)
    branch = pick(asked < terms.box_rate * value, "apart", "box").astype(object)
    return Box(
        charge=UnitCharge(
            code="finra_4210_e1",
            amount=apart,
            branch=Lane(branch, branch),
            inputs={
                "price": instruments.price,
                "unit_value": value,
                "box_rate": np.full(len(instruments), terms.box_rate, object),
            },
            sentences=SENTENCES,
        ),
        initial=Lane(asked - initial.short, asked - initial.long),
    )
