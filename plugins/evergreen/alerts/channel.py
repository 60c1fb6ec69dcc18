"""What a channel is: one way in which alerts reach people, or another system."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from ml.records import Alert, DeliveryReceipt
    from ml.wiring import Services


class NotTaken(Exception):
    """Say that one alert was not taken, though the channel works: it waits, and the others go on."""


class Unanswered(Exception):
    """Say that an alert went out and no answer came: the other side may have it."""


class Busy(Exception):
    """Say that the other side asks to be left alone for a while: everything waits for so many ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the other side asks to wait for {seconds:.0f} s")
        self.seconds = seconds


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

    def examine(self, services: Services) -> tuple[str, str]:
        """Look whether the channel could deliver, without sending anything.

        Returns
        -------
        tuple of str
            ``works``, ``wrong`` or ``unseen`` (it cannot be judged from here), and what was found, with the next move.
        """
        return "unseen", f"it can only be tried by sending: run 'evergreen notify {self.name}'"

    def deliver(self, alert: Alert, services: Services, receipt: DeliveryReceipt | None) -> DeliveryReceipt:
        """Deliver an alert, and return what was done.

        Parameters
        ----------
        receipt
            What this channel returned for the same alert before, if some recipients still waited then, or what was
            written down when it raised `Unanswered`; else None.

        Raises
        ------
        NotTaken
            If this alert was not taken, and another one may be.
        Unanswered
            If the other side may have it: how often that happened is handed on the next time. Like any error that is
            not named here, it says that the channel itself does not work: after two in a row it is left alone until
            the next run that has an alert.
        Busy
            If it is to be left alone for a time that the other side names.
        """
        raise NotImplementedError
