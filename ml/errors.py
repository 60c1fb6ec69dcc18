"""The few ways in which Evergreen fails, each with what the caller should do about it."""

from __future__ import annotations

from ml.next_moves import NextMove, moves_in
from ml.urls import redact


class EvergreenError(Exception):
    """Carry a message that says what failed, where, and the reader's next move; no URL in it shows a secret."""

    exit_code = 1
    retryable = False

    def __init__(self, *parts: object) -> None:
        super().__init__(*(redact(part) if isinstance(part, str) else part for part in parts))

    @property
    def next_moves(self) -> tuple[NextMove, ...]:
        """Return what the reader can do next, of the moves that have a name; the place of reading words them."""
        return moves_in(str(self))


class SettingsError(EvergreenError):
    """``params.yaml`` or the environment is wrong: correct it, do not retry."""

    exit_code = 2


class AccessDenied(EvergreenError):
    """A store answers, and says that this is not for us: correct its policy or the credentials, do not retry."""


class DataRejected(EvergreenError):
    """Data broke their contract: fix the source, do not retry.

    Parameters
    ----------
    message
        What broke, in which data, and the next move.
    report_uri
        Where the validation report is kept, or None if data could not even be read.
    failures
        One plain dict an unmet expectation (``expectation``, ``column``, ``unexpected_rows``,
        ``examples``), ready for an e-mail.
    about
        Which data, as "labels of 2013-04-01"; empty if the task that failed says it well enough.
    identity
        Names this very rejection: the same content, rejected again for the same reason, has the same. Empty if
        nobody compares.
    reasons
        One sentence for each delivery, where several were rejected; else empty.
    reports
        The report of each delivery that has one, with which data it is of; else empty.
    """

    exit_code = 3

    def __init__(
        self,
        message: str,
        *,
        report_uri: str | None = None,
        failures: tuple[dict[str, object], ...] = (),
        about: str = "",
        identity: str = "",
        reasons: tuple[str, ...] = (),
        reports: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.report_uri = report_uri
        self.failures = failures
        self.about = about
        self.identity = identity
        self.reasons = reasons
        self.reports = reports


class LabelsInDoubt(DataRejected):
    """Labels keep their contract, and are so unlike their past that nothing may learn from them yet."""


class EmptyDelivery(DataRejected):
    """A file without any content, not even a header."""


class MissingArtifact(EvergreenError):
    """A referenced version, run, day or file is not there: do not retry."""


class UntrustedModel(EvergreenError):
    """MLflow names a model, a lineage or a decision that the storage does not record: do not retry, look who did it."""


class NoDataExpected(MissingArtifact):
    """Nothing is there because nothing is expected on that day: no fault, and nothing to do."""

    exit_code = 3


class Unavailable(EvergreenError):
    """A remote did not answer, or answered that it is busy: retry."""

    retryable = True
