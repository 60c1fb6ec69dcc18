"""Build a part of the settings: closed, frozen, checked by the class that its kind names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError, PydanticKnownError

from ml import conditions
from ml.extensions import ExtensionPoint

Share = Annotated[float, Field(ge=0.0, le=1.0)]


Name = Annotated[str, Field(min_length=1)]


def _term(value: str) -> str:
    conditions.parse_term(value)
    return value


Term = Annotated[Name, AfterValidator(_term)]
"""A column, or a condition on columns; see `ml.conditions`."""


class Section(BaseModel):
    """A closed, frozen part of the settings: unknown keys are errors, and so are infinite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


S = TypeVar("S", bound=Section)


def of_kind(point: ExtensionPoint[type[S]], base: type[S], value: object) -> S:
    """Check settings by the class that their ``kind`` names, as a member of a union would be.

    Raises
    ------
    ValueError
        If no such kind is known or its package is broken; a ValidationError if its settings are wrong.
    """
    if isinstance(value, base):
        return value
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if kind is None:
        raise PydanticKnownError("union_tag_not_found", {"discriminator": "'kind'"})
    if kind not in point.names():
        expected = ", ".join(map(repr, point.names()))
        raise PydanticKnownError(
            "union_tag_invalid", {"discriminator": "'kind'", "tag": str(kind), "expected_tags": expected}
        )
    model = point.of_settings(kind)
    try:
        return model.model_validate(value)
    except ValidationError as err:
        problems: list[Any] = [
            {
                "type": PydanticCustomError(problem["type"], problem["msg"]),
                "loc": (kind, *problem["loc"]),
                "input": problem["input"],
            }
            for problem in err.errors(include_url=False)
        ]
        raise ValidationError.from_exception_data(err.title, problems) from err
