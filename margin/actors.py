"""Who acts: a member of staff in a role, or a named job of the system."""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model

SYSTEM = "system"
CLIENT = "Client"
ROLES = ("Operations", "Supervisor", "Risk", "Compliance", "Auditor", "Administrator")


@dataclass(frozen=True)
class Actor:
    """`name` and `role` are what an event keeps; `user_id` is None for the system."""

    name: str
    role: str
    user_id: int | None = None

    @property
    def is_system(self) -> bool:
        return self.role == SYSTEM


def system(job: str) -> Actor:
    """A job of the system, such as `sweep 12`."""
    return Actor(name=job, role=SYSTEM)


def person(user: Any) -> Actor:
    """A user in the first of their roles (one query); "" if they have none, which may do nothing."""
    held = set(user.groups.values_list("name", flat=True)) if user.is_active else set()
    role = next((role for role in ROLES if role in held), "")
    return Actor(name=user.get_username(), role=role, user_id=user.pk)


def staff(login: str) -> Actor:
    """The active member of staff of that login. Raises LookupError."""
    found = get_user_model().objects.filter(username=login, is_staff=True, is_active=True).first()
    if found is None:
        raise LookupError(f"{login!r} is no active member of staff; give an existing login")
    return person(found)


def client(contact_id: int) -> Actor:
    """A client's contact, who answers by a signed link; the name stays out of the history."""
    return Actor(name=f"contact {contact_id}", role=CLIENT)
