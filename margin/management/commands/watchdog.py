"""`manage.py watchdog`: a process outside Celery that shouts when nobody sweeps."""

import logging
import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections

from margin import control_switches, watch
from market import clock

log = logging.getLogger("margin.watchdog")


class Command(BaseCommand):
    help = "Watch the age of the last complete sweep of each kind; raise alarms and mail them to operations."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--every", type=float, default=15.0, help="seconds between two looks")
        parser.add_argument("--once", action="store_true", help="look once and leave")

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stop.set())
        while True:
            self.look()
            if options["once"] or stop.wait(options["every"]):
                return

    def look(self) -> None:
        """One look; a database that does not answer is itself an alarm in the log."""
        close_old_connections()
        try:
            at = clock.now()
            watch.check(at)
            control_switches.tell_rights(at=at)
            untold = list(watch.unmailed())
        except (DatabaseError, clock.SkewedClock) as error:
            log.critical("the watchdog cannot see the sweeps: %s", error)
            close_old_connections()
            return
        for alarm in untold:
            log.critical("%s", alarm.message)
            self.tell(alarm, at)

    def tell(self, alarm: Any, at: Any) -> None:
        try:
            send_mail(f"Alarm: {alarm.kind.replace('_', ' ')}", alarm.message, None, settings.OPERATIONS_EMAIL)
        except OSError as error:
            log.critical("the alarm could not be mailed: %s", error)
            return
        watch.mailed(alarm, at=at)
