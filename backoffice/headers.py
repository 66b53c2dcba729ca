"""Security headers on every answer, static files and errors included. A view may set a stricter one itself."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

COMMON = "default-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
# The admin theme evaluates its attributes (Alpine) and sets styles inline; tighter breaks it.
ADMIN = f"{COMMON}; img-src 'self' data:; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-eval'"
PAGES = f"{COMMON}; img-src 'self' data:; style-src 'self'; script-src 'self'"
ADMIN_PATHS = ("/admin/", "/api/docs")

Answer = Callable[[HttpRequest], HttpResponse]


def security_headers(get_response: Answer) -> Answer:
    """Middleware; stands first, so that nothing answers above it. HSTS, nosniff, referrer and COOP are Django's."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        policy = ADMIN if request.path.startswith(ADMIN_PATHS) else PAGES
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("X-Frame-Options", "DENY")
        response.headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
        return response

    return answer
