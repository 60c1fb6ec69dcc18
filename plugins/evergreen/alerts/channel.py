"""What a channel is: one way in which alerts reach people, or another system."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from ml.records import Alert, DeliveryReceipt
    from ml.wiring import Services


class NotTaken(Exception):
    """Say that one alert was not taken, though the channel works: it waits, and the others go on."""


class Channel:
    """One way to deliver alerts; a subclass is made without arguments, anew for each time that the outbox is emptied.

    Attributes
    ----------
    name
        What ``notify.channels`` of ``params.yaml`` calls it.
    """

    name: ClassVar[str]

    def wants(self, alert: Alert, services: Services) -> bool:
        """Return whether the channel delivers an alert at all; asked once, when the alert comes."""
        return True

    def deliver(self, alert: Alert, services: Services, receipt: DeliveryReceipt | None) -> DeliveryReceipt:
        """Deliver an alert, and return what was done.

        Parameters
        ----------
        receipt
            What this channel returned for the same alert before, if some recipients still waited then; else None.

        Raises
        ------
        NotTaken
            If this alert was not taken, and another one may be. Any other error says that the channel itself does
            not work: after two in a row it is left alone until the next run that has an alert.
        """
        raise NotImplementedError
