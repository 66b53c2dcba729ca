"""Add a member of staff who works by API key until an Administrator gives them a password."""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from backoffice import roles


class Command(BaseCommand):
    help = "Add a member of staff in a role, without a password: an API key works, a login once the admin sets one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("login")
        parser.add_argument("role", choices=roles.ROLES)

    def handle(self, *args: Any, login: str, role: str, **options: Any) -> None:
        people = get_user_model()
        person = people(username=login, is_staff=True)
        person.set_unusable_password()
        try:
            person.full_clean()
        except ValidationError as refusal:
            raise CommandError(" ".join(refusal.messages)) from None
        with transaction.atomic():
            person.save()
            person.groups.add(Group.objects.get(name=role))
        self.stdout.write(f"{login} is {role}; manage.py create_api_key NAME --scope calls:write --by {login}")
