"""Answers questions about the status of businesses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lambdas.domain.identifiers import BusinessId
from lambdas.domain.model import Business, Clock, OutOfTime
from lambdas.domain.rules import Rules
from lambdas.domain.status import BusinessStatus, judge
from lambdas.use_cases.parallel import read_in_parallel
from lambdas.use_cases.ports import Store

_PARALLEL_READS: Final = 25


@dataclass(frozen=True, slots=True)
class StatusReader:
    """Answers questions about businesses, with one read for each business."""

    store: Store
    rules: Rules
    clock: Clock

    def comprehensive_business_status(self, business_id: BusinessId) -> BusinessStatus:
        """The status with all its evidence. Sees every write that came before."""
        return judge(self.store.load(business_id), self.clock(), self.rules)

    def is_business_online(self, business_id: BusinessId) -> bool | None:
        """Whether customers can order at this moment; None if the business is unknown.

        Costs half as much as the comprehensive status, and may lag behind the last write.
        """
        business = self.store.load(business_id, consistent=False)
        return judge(business, self.clock(), self.rules).online

    def are_businesses_online(
        self, business_ids: Sequence[BusinessId], *, out_of_time: OutOfTime
    ) -> Mapping[BusinessId, bool | None]:
        """The same for many businesses, read in parallel. Each of them is read once."""
        unique = list(dict.fromkeys(business_ids))
        online = read_in_parallel(
            self.is_business_online, unique, threads=_PARALLEL_READS, out_of_time=out_of_time
        )
        return dict(zip(unique, online, strict=True))

    def stored_business(self, business_id: BusinessId) -> Business:
        """Everything that is stored about a business, including connections that have expired."""
        return self.store.load(business_id)
