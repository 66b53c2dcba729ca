"""What-ifs and stress on the wire. They take a POST and write nothing: a key needs the scope `read`."""

from collections.abc import Callable
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import exceptions
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Account, Client
from margin import cascade, policies, stress, whatif
from margin.cascading import examples as cascades
from margin.cascading.question import CascadeQuestion
from margin.hypothetical import examples, forms
from margin.hypothetical.document import BookDocument, Hypotheses, StressGrid
from margin.models import Assessment

LARGEST_HOUSE = 20_000  # accounts; a web worker has a minute
MOST_CASCADING = cascade.Limits(accounts=LARGEST_HOUSE, called=100)


def told(answer: Callable[[], dict[str, Any]]) -> Response:
    """The answer, or 400 naming the path of what is wrong."""
    try:
        return Response(answer())
    except forms.Wrong as error:
        raise exceptions.ValidationError({error.path or "non_field_errors": [error.reason]}) from None
    except policies.NoPolicy as error:
        raise exceptions.ValidationError({"non_field_errors": [str(error)]}) from None


def documented(kind: type[Any], answer: dict[str, Any], sent: dict[str, Any]) -> Any:
    """Describe a POST in OpenAPI from the dataclass that reads its body."""
    return extend_schema(
        request={"application/json": forms.schema(kind)},
        responses={200: answer},
        examples=[OpenApiExample("Sent", request_only=True, value=sent)],
    )


class Computes(APIView):
    """Asked by POST because the question is long; nothing is written."""

    only_computes = True
    http_method_names = ("post",)


class ComputesAccounts(Computes):
    queryset = Assessment.objects.all()  # whose view permission a member of staff needs


class BookWhatif(Computes):
    @documented(BookDocument, examples.BOOK_ANSWER, examples.BOOK)
    def post(self, request: Request) -> Response:
        """Figures of a self-contained book, many accounts at once. Nothing of ours is read."""
        return told(lambda: whatif.of_book(request.data))


class AccountWhatif(ComputesAccounts):
    @documented(Hypotheses, examples.ACCOUNT_ANSWER, examples.HYPOTHESES)
    def post(self, request: Request, code: str) -> Response:
        """An account now, and under hypothetical trades, prices, volatilities or policy."""
        account = get_object_or_404(Account, code=code)
        return told(lambda: whatif.of_account(account, request.data, at=timezone.now()))


class AccountStress(ComputesAccounts):
    @documented(StressGrid, examples.STRESS_ANSWER, examples.GRID)
    def post(self, request: Request, code: str) -> Response:
        """An account under a grid of price and volatility shocks."""
        account = get_object_or_404(Account, code=code)
        return told(lambda: stress.of_accounts([account], grid(request), at=timezone.now()))


class ClientStress(ComputesAccounts):
    @documented(StressGrid, examples.STRESS_ANSWER, examples.GRID)
    def post(self, request: Request, code: str) -> Response:
        """All open accounts of a client under a grid of price and volatility shocks."""
        accounts = get_object_or_404(Client, code=code).accounts.order_by("code")
        return told(lambda: stress.of_accounts(accounts, grid(request), at=timezone.now()))


class HouseStress(ComputesAccounts):
    @documented(StressGrid, examples.STRESS_ANSWER, {**examples.GRID, "kind": "securities"})
    def post(self, request: Request) -> Response:
        """Every open account of one kind of sweep under a grid; a large house takes manage.py stress."""
        return told(lambda: stress.of_house(grid(request), at=timezone.now(), most=LARGEST_HOUSE))


class Cascade(ComputesAccounts):
    @documented(CascadeQuestion, cascades.ANSWER, cascades.QUESTION)
    def post(self, request: Request) -> Response:
        """Calls, forced sales, prices and the next calls after a shock; a large house takes manage.py cascade."""
        return told(lambda: cascade.answer(request.data, at=timezone.now(), limits=MOST_CASCADING))


def grid(request: Request) -> StressGrid:
    """The grid that the body states."""
    return forms.read(StressGrid, request.data)
