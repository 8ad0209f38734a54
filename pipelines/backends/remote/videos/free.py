"""Servers that send no bill."""

from pipelines.backends.remote.service import Bill, JobStatus
from pipelines.schema.money import Money
from pipelines.schema.request import ClipRequest


class FreeService:
    """What the services of a studio's own servers share: their jobs cost nothing."""

    paid = False

    def price(self, request: ClipRequest) -> Money:
        """Nothing."""
        del request
        return Money.of(0)

    def bill(self, request: ClipRequest, status: JobStatus) -> Bill:
        """Nothing."""
        del status
        return Bill(self.price(request), "billed")
