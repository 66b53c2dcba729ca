"""The doors of mail providers: anymail's tracking webhooks, with every malformed body answered 4xx and kept.

anymail alone answers 500 to a body it cannot read, and providers then repeat it for days (fault M7). An error of ours
stays 5xx on purpose: the provider repeats, and recording is idempotent (fault M8).
"""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from anymail.exceptions import AnymailWebhookValidationFailure
from anymail.urls import urlpatterns as anymail_urls
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.urls import URLPattern
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from notifications import deliveries
from notifications.webhooks import NotRecorded

log = logging.getLogger(__name__)


def guarded(view: Callable[..., HttpResponse], provider: str) -> Callable[..., HttpResponse]:
    """The view, answering 400 where it cannot read what it was sent."""

    @csrf_exempt
    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except AnymailWebhookValidationFailure as refusal:
            log.warning("webhook of %s refused: %s", provider, refusal)
            return HttpResponseBadRequest("not authorised")
        except (NotRecorded, SuspiciousOperation):
            raise  # the first is ours and becomes 500; the second is Django's own 400
        except Exception as error:  # whatever a stranger's body can cause in a parser
            log.warning("webhook of %s could not be read: %s: %s", provider, type(error).__name__, error)
            deliveries.keep_malformed(provider, _body(request), at=timezone.now())
            return HttpResponseBadRequest("the report could not be read")

    return answer


def _body(request: HttpRequest) -> bytes:
    try:
        return request.body
    except Exception:  # it was read as a form already, or broke off
        return repr(dict(request.POST)).encode("utf-8", "backslashreplace")


def _provider(pattern: URLPattern) -> str:
    return str(pattern.pattern).partition("/")[0]


urlpatterns = [
    URLPattern(one.pattern, guarded(one.callback, _provider(one)), name=one.name)
    for one in anymail_urls
    if "inbound" not in str(one.pattern)
]
