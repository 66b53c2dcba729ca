"""`manage.py reconcile_epoch`: after a restore or failover, compare; then, by another person, let senders go on."""

from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from backoffice import recovery
from margin import actors, epochs
from margin.actors import Actor
from market import clock


class Command(BaseCommand):
    help = "Compare a restored house with what lies outside (--by one person), then release it (--release by another)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--by", required=True, help="login of who compares or releases")
        parser.add_argument("--mail-log", type=Path, help="log of the mail server since the backup, with Message-IDs")
        parser.add_argument("--no-mail-log", action="store_true", help="there is none: waiting mails go out once more")
        parser.add_argument("--release", action="store_true", help="let mails and orders go on; a Supervisor or Risk")
        parser.add_argument("--reason", default="", help="why it may go on; kept with the epoch")

    def handle(self, *args: Any, by: str, release: bool, reason: str, **options: Any) -> None:
        at = clock.now()
        try:
            actor = actors.staff(by)
            epochs.look(at=at)
            if release:
                said = f"{epochs.release(reason=reason, at=at, actor=actor)} is released: senders go on"
            else:
                said = self._compare(at, actor, options["mail_log"], options["no_mail_log"])
        except (LookupError, OSError, epochs.Refused) as refusal:
            raise CommandError(str(refusal)) from None
        self.stdout.write(said)

    def _compare(self, at: datetime, actor: Actor, log: Path | None, is_without: bool) -> str:
        epoch = epochs.held(actor)
        text = log.read_text(encoding="utf-8", errors="replace") if log else None
        found = recovery.report(epoch, mail_log=text, has_no_log=is_without, at=at)
        epochs.compare(found, at=at, actor=actor)
        then = "When all is put right, another person runs: manage.py reconcile_epoch --release --by LOGIN --reason WHY"
        return "\n".join([*recovery.told(found), f"{epoch} is compared by {actor.name}. {then}"])
