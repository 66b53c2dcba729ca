"""The same POST sent twice has one effect and one reply (reliability P13, I28).

The effect and the reply it got commit in one transaction, so either both exist or neither. A repeat gets the kept
reply; another body under the same key is refused; a repeat while the first is at work is told to wait. A refusal
changed nothing and is not kept: the sender may correct the batch and use the key again.
"""

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from rest_framework import exceptions, status
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice import keys
from backoffice.models import IdempotentReply

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
LONGEST_KEY = 255
KEPT_FOR = timedelta(hours=72)


class KeyMissing(exceptions.APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "idempotency_key_missing"
    default_detail = (
        f"Send the header {HEADER}: 1 to {LONGEST_KEY} printable ASCII characters, new for each batch and the same"
        " when you repeat it."
    )


class KeyAtWork(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "idempotency_key_at_work"
    default_detail = "A request with this Idempotency-Key is at work; repeat it in a moment to get its reply."
    wait = 1


class KeyReused(exceptions.APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "idempotency_key_reused"
    default_detail = "This Idempotency-Key was used for another request; use a new key for a new batch."


def once(request: Request, deed: Callable[[], Response]) -> Response:
    """Do the deed unless it was done under this key; its reply either way. Raises KeyMissing, KeyAtWork, KeyReused."""
    key = _key(request)
    owner = keys.owner(request)
    place = f"{request.method} {request.path}"[:200]
    body_hash = _hash(request.data)
    with transaction.atomic():
        if not _alone(owner, key):
            raise KeyAtWork
        kept = IdempotentReply.objects.filter(owner=owner, key=key).first()
        if kept is not None:
            return _repeat(kept, place, body_hash)
        response = deed()
        if response.status_code < status.HTTP_300_MULTIPLE_CHOICES:
            text = JSONRenderer().render(response.data).decode()
            IdempotentReply.objects.create(
                owner=owner,
                key=key,
                method_and_path=place,
                body_hash=body_hash,
                status_code=response.status_code,
                reply=text,  # as text: jsonb would reorder the keys, and a repeat must be the same to the byte
            )
        return response


def prune(*, at: datetime) -> int:
    """Forget replies older than 72 hours; how many."""
    forgotten, _ = IdempotentReply.objects.filter(created_at__lt=at - KEPT_FOR).delete()
    return forgotten


def _key(request: Request) -> str:
    key: str = request.headers.get(HEADER, "")
    if not (1 <= len(key) <= LONGEST_KEY and key.isascii() and key.isprintable() and key == key.strip()):
        raise KeyMissing
    return key


def _hash(body: Any) -> str:
    """Of the meaning, not of the bytes: blanks and the order of fields do not matter."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _alone(owner: str, key: str) -> bool:
    """Hold (owner, key) until this transaction ends; False, at once, where another holds it.

    The judge is the unique constraint; this lock only lets a repeat answer "at work" instead of waiting.
    """
    digest = hashlib.sha256(f"idempotency\n{owner}\n{key}".encode()).digest()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [int.from_bytes(digest[:8], "big", signed=True)])
        (alone,) = cursor.fetchone()
    return bool(alone)


def _repeat(kept: IdempotentReply, place: str, body_hash: str) -> Response:
    if (kept.method_and_path, kept.body_hash) != (place, body_hash):
        raise KeyReused
    return Response(json.loads(str(kept.reply)), status=kept.status_code, headers={REPLAYED: "true"})
