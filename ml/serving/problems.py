"""The ways in which a request is refused, each with the HTTP status that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class UnfitValue:
    """What is wrong with a request, where, and what was expected; None is all columns, or all rows."""

    column: str | None
    row: int | None
    expected: str


class Refused(Exception):
    """A request that is answered with an error.

    Parameters
    ----------
    status
        The HTTP status.
    message
        What is wrong, and the next move.
    retry_after
        After how many seconds the same request may be tried again; None if that is of no use.
    values
        What is wrong with which value.
    """

    def __init__(
        self, status: int, message: str, *, retry_after: float | None = None, values: Sequence[UnfitValue] = ()
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after, self.values = status, message, retry_after, tuple(values)

    def body(self) -> dict[str, Any]:
        """Return the answer's body."""
        problems = [asdict(value) for value in self.values]
        return {"error": self.message, **({"problems": problems} if problems else {})}

    def headers(self) -> Mapping[str, str]:
        """Return the answer's headers."""
        if self.status == 401:
            return {"WWW-Authenticate": "Bearer"}
        return {} if self.retry_after is None else {"Retry-After": str(max(1, round(self.retry_after)))}


def unfit(values: Sequence[UnfitValue]) -> Refused:
    """Build the refusal of a request whose values cannot be scored."""
    first = values[0]
    where = ", ".join(
        [
            *([f"column '{first.column}'"] if first.column is not None else []),
            *([f"row {first.row}"] if first.row is not None else []),
        ]
    )
    more = f" (and {len(values) - 1} more)" if len(values) > 1 else ""
    return Refused(422, f"{where or 'the request'}: expected {first.expected}{more}", values=values)
