"""Hand released orders to their venues and hear what they say: once, or for ever.

    manage.py send_orders --every 1

Stop it with SIGTERM; killed outright it loses nothing.
"""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from margin import sending
from market import clock


class Command(BaseCommand):
    help = "Send the orders of released plans and book what venues report of them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--every", type=float, default=0, metavar="SECONDS", help="go on, so often; 0: once")

    def handle(self, *args: Any, every: float, **options: Any) -> None:
        while True:
            done = sending.run(sending.open_venues(), clock=clock.now)
            said = ", ".join(f"{count} {what}" for what, count in done.items() if count)
            if said or not every:
                self.stdout.write(said or "nothing to do")
            if not every:
                return
            time.sleep(every)
