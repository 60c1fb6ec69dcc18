"""Report what of a partition's labels was kept out: once, by the first partition that found it so.

It comes after *commit*, so that inputs wait for no labels. Later partitions ask for what was rejected again
(``land.catch_up_days``) and say nothing of the same content; what has changed is judged, and reported, anew.
"""

from __future__ import annotations

import logging

from ml.errors import EvergreenError
from ml.records import Screening
from ml.settings import Settings
from ml.steps.ingest import deliveries, label_doubts
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(screening: Screening, *, settings: Settings, services: Services) -> Screening:
    """Return the screening as it is if nothing has to be reported.

    Raises
    ------
    DataRejected
        If labels were rejected, and this is the partition that reports it.
    EvergreenError
        If the source of labels could not be read: each partition says so, until it can.
    """
    del settings
    reported = [rejection for rejection in screening.rejected if rejection.partition != screening.day]
    for rejection in reported:
        logger.info("report_rejected: as reported with partition %s: %s", rejection.partition, rejection.reason)
    for day in screening.lost_label_days:
        logger.warning("report_rejected: %s", label_doubts.why_without_labels(day, services))
    new = deliveries.new_labels(screening.day, screening)
    if new:
        raise deliveries.rejected_error(new)
    if screening.unread:
        raise deliveries.unread_error(screening.unread, kind=EvergreenError)
    return screening
