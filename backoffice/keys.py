"""Keys of machines that call the API, and who may ask what: `Authorization: Bearer mdk_<prefix>_<secret>`.

Only the SHA-256 of a secret is kept, so a copy of the database opens nothing. A key has scopes and an end, can be
revoked, and is rotated by issuing the next one before the last one ends. Staff sessions read what their role may
view; of all that writes they may only do with calls what their role does at the desk. There a key acts in the name and
the role of the member of staff who answers for it, so that two people stay two people.
"""

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q
from django.utils import timezone
from rest_framework import authentication, exceptions, permissions
from rest_framework.request import Request

from backoffice.models import ApiKey
from margin import actors
from market.strict import Problem, Refused

SCOPES = ("read", "quotes:write", "positions:write", "fills:write", "cash:write", "documents:write", "calls:write")
SOURCED = ("quotes:write", "fills:write", "cash:write")  # their rows name a source, and a key may be for one alone
SCOPE = re.compile(r"([a-z]+(?::write)?)(?::([A-Za-z0-9._-]{1,32}))?")
KEY = re.compile(r"mdk_([0-9a-f]{10})_([0-9a-f]{64})")
LONGEST_LIFE = timedelta(days=366)
USE_IS_NOTED_EVERY = timedelta(minutes=1)
WRITING_NEEDS_A_KEY = "Writing needs an API key with the scope; a staff session only reads."
NOBODYS_HASH = hashlib.sha256(b"nobody").hexdigest()


class KeyRefused(Exception):
    """The key opens nothing; the message says why, and why only to one who holds the secret."""


class BadKeyRequest(ValueError):
    """A key cannot be issued as asked; the message says what to ask instead."""


@dataclass(frozen=True)
class Machine:
    """Who asks when a key does: DRF's idea of a user, with no rights but the key's scopes."""

    key: ApiKey
    is_authenticated = True
    is_active = True
    is_staff = False
    pk = None

    def get_username(self) -> str:
        return f"key {self.key.prefix}"

    def __str__(self) -> str:
        return self.get_username()


# --- issuing and revoking ---------------------------------------------------------------------------


def issue(
    *, name: str, scopes: Iterable[str], created_by: User, at: datetime, expires_at: datetime
) -> tuple[ApiKey, str]:
    """A new key and its text, which is shown this once and cannot be read again. Raises BadKeyRequest."""
    wanted = sorted(set(scopes))
    if not wanted:
        raise BadKeyRequest(f"name at least one scope: {', '.join(SCOPES)}")
    for scope in wanted:
        match = SCOPE.fullmatch(scope)
        if match is None or match[1] not in SCOPES or (match[2] and match[1] not in SOURCED):
            raise BadKeyRequest(
                f"{scope!r} is no scope; use {', '.join(SCOPES)}, or quotes:write:SOURCE for one source"
            )
    if not at < expires_at <= at + LONGEST_LIFE:
        raise BadKeyRequest(f"a key must end within {LONGEST_LIFE.days} days")
    prefix, secret = secrets.token_hex(5), secrets.token_hex(32)
    key = ApiKey.objects.create(
        name=name,
        prefix=prefix,
        key_hash=_hash(secret),
        scopes=wanted,
        created_by=created_by,
        created_at=at,
        expires_at=expires_at,
    )
    return key, f"mdk_{prefix}_{secret}"


def revoke(prefix: str, *, at: datetime) -> ApiKey:
    """End a key now and for good. Raises KeyRefused where there is none with this prefix."""
    ApiKey.objects.filter(prefix=prefix, revoked_at=None).update(revoked_at=at)
    key = ApiKey.objects.filter(prefix=prefix).first()
    if key is None:
        raise KeyRefused(f"there is no key with the prefix {prefix!r}; the list is in the admin under API keys")
    return key


def find(text: str, *, at: datetime) -> ApiKey:
    """The key that `text` is, if it opens anything at `at`; else KeyRefused."""
    match = KEY.fullmatch(text)
    key = ApiKey.objects.filter(prefix=match[1]).first() if match else None
    known = secrets.compare_digest(_hash(match[2] if match else ""), key.key_hash if key else NOBODYS_HASH)
    if key is None or not known:
        raise KeyRefused("The API key is not known.")
    if key.revoked_at is not None:
        raise KeyRefused(f"The API key {key.prefix} was revoked; ask an administrator for a new one.")
    if key.expires_at <= at:
        raise KeyRefused(f"The API key {key.prefix} expired at {key.expires_at:%Y-%m-%dT%H:%M:%SZ}.")
    return key


def note_use(key: ApiKey, *, at: datetime) -> None:
    """Remember when the key was last used, at most once a minute: a busy feed does not rewrite its row each time."""
    stale = Q(last_used_at=None) | Q(last_used_at__lt=at - USE_IS_NOTED_EVERY)
    if key.last_used_at is None or key.last_used_at < at - USE_IS_NOTED_EVERY:
        ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=at)


def sources(key: ApiKey, scope: str) -> frozenset[str] | None:
    """The sources that the key may speak for under a scope; None: any. Nothing granted is the empty set."""
    granted = [scope_.removeprefix(scope) for scope_ in key.scopes if scope_ == scope or scope_.startswith(f"{scope}:")]
    return None if "" in granted else frozenset(rest[1:] for rest in granted)


def require_sources(key: ApiKey, scope: str, body: Any) -> None:
    """Refuse a batch for a source the key is not for: one feed's key cannot confirm its own jump as another."""
    allowed = sources(key, scope)
    rows = body.get("rows") if isinstance(body, dict) else None
    if allowed is None or not isinstance(rows, list):
        return
    named = f"this key may only write for the source {', '.join(sorted(allowed))}"
    foreign = (
        Problem(number, "source", named)
        for number, row in enumerate(rows, start=1)
        if not isinstance(row, dict) or row.get("source") not in allowed
    )
    if found := list(zip(range(100), foreign, strict=False)):
        raise Refused(problem for _, problem in found)


def of(request: Request) -> ApiKey:
    """The key that asks. Only keys write, so every write has one."""
    if not isinstance(request.auth, ApiKey):
        raise exceptions.PermissionDenied(WRITING_NEEDS_A_KEY)
    return request.auth


def actor(request: Request) -> actors.Actor:
    """Who acts on a call: the person logged in, or the one who answers for the key."""
    return actors.person(request.auth.created_by if isinstance(request.auth, ApiKey) else request.user)


def owner(request: Request) -> str:
    """Whose Idempotency-Keys the request uses."""
    return f"key:{request.auth.pk}" if isinstance(request.auth, ApiKey) else f"user:{request.user.pk}"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


# --- what DRF asks ------------------------------------------------------------------------------------


class KeyAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer mdk_…`; any other Authorization header is refused."""

    def authenticate(self, request: Request) -> tuple[Machine, ApiKey] | None:
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            raise exceptions.AuthenticationFailed("Use the header Authorization: Bearer mdk_<prefix>_<secret>.")
        at = timezone.now()
        try:
            key = find(text, at=at)
        except KeyRefused as refusal:
            raise exceptions.AuthenticationFailed(str(refusal)) from None
        note_use(key, at=at)
        return Machine(key), key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="Margin Desk"'


class StaffSession(authentication.SessionAuthentication):
    """A member of staff who is logged in to the desk."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        found = super().authenticate(request)
        return found if found and found[0].is_staff else None


class Allowed(permissions.BasePermission):
    """A key needs the scope; a member of staff needs the view permission of the rows, and only reads.

    A view that `only_computes` takes a POST because its question is long; asking is reading. One that `takes_staff` is
    for people too, each in their role.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if getattr(view, "action", "") is None:
            raise exceptions.MethodNotAllowed(str(request.method))
        reads = request.method in permissions.SAFE_METHODS or getattr(view, "only_computes", False)
        if isinstance(request.auth, ApiKey):
            return self._key_may(request.auth, "read" if reads else view.write_scope)
        if not (request.user and request.user.is_staff):
            return False
        if not reads and not getattr(view, "takes_staff", False):
            self.message = WRITING_NEEDS_A_KEY
            return False
        return self._staff_may(request.user, view)

    def _key_may(self, key: ApiKey, scope: str) -> bool:
        self.message = f"The API key {key.prefix} lacks the scope {scope}."
        return sources(key, scope) != frozenset()

    def _staff_may(self, user: Any, view: Any) -> bool:
        queryset = getattr(view, "queryset", None)
        if queryset is None:
            return True
        duty = f"{queryset.model._meta.app_label}.view_{queryset.model._meta.model_name}"
        self.message = f"Your role does not allow this ({duty})."
        allowed: bool = user.has_perm(duty)
        return allowed
