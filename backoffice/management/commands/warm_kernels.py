"""Compile the engine's kernels into their cache, so that no sweep and no page waits for the compiler."""

import time
from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = __doc__
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        from margin.engine import kernels

        started = time.monotonic()
        kernels.warm()
        self.stdout.write(f"The kernels are warm ({time.monotonic() - started:.1f} s).")
