"""The life of calls as a machine: any order of prices, money, sweeps, people, letters, time and crashes.

After every step each promise of `backoffice.invariants` is asked of the database (`core`), and what people try is held
against an oracle of its own (`people_rules`).
"""

from tests.machine.core import Broken, prepare_promises
from tests.machine.venue_rules import Venues


class Life(Venues):
    """All rules together: the world, its clockwork, letters, people, rights, ends, plans, a venue."""


__all__ = ["Broken", "Life", "prepare_promises"]
