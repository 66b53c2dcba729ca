"""How long a login lasts: it ends after a while of no use, and in any case after a working day (ASVS 7.3).

Only what a person asks for counts as use; a page that refreshes itself does not.
"""

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

BEGAN, USED = "login_began", "login_used"


def idle_logout(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware, after AuthenticationMiddleware."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            now = timezone.now().timestamp()
            began = request.session.setdefault(BEGAN, now)
            used = request.session.get(USED, now)
            if now - used > settings.SESSION_IDLE_SECONDS or now - began > settings.SESSION_LONGEST_SECONDS:
                logout(request)
            elif "HX-Request" not in request.headers:
                request.session[USED] = now
        return get_response(request)

    return middleware
