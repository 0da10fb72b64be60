"""Makes JSON schemas of Pydantic easy to read for people and code generators."""

import inspect
import json
import re
import tomllib
from pathlib import Path
from typing import Any, Final

from lambdas.domain import identifiers

Json = dict[str, Any]
"""A JSON object."""

BUSINESS_ID: Final[Json] = {
    "type": "string",
    "pattern": f"^{identifiers.BUSINESS_ID.pattern}$",
    "examples": ["b1"],
}
CONNECTION_ID: Final[Json] = {
    "type": "string",
    "pattern": f"^{identifiers.CONNECTION_ID.pattern}$",
    "examples": ["O9oRTfeAoAMCK6g="],
}

_MOMENT: Final = re.compile(r"\w+(At|Until|Since)|asOf|at|from|since|serverTime|to|until")
"""Names of properties that hold a time in RFC 3339, if they are texts."""


def version() -> str:
    """The version of this software, which its contracts have too."""
    file = Path(__file__).resolve().parent.parent / "pyproject.toml"
    found: str = tomllib.loads(file.read_text(encoding="utf-8"))["project"]["version"]
    return found


def paragraph(kind: Any) -> str:
    """The docstring of a class as one paragraph."""
    return " ".join((inspect.getdoc(kind) or "").split())


def plain(document: object) -> Any:
    """A document as it is after a round trip through JSON."""
    return json.loads(json.dumps(document))


def tidy(schema: Any) -> Any:
    """A schema of Pydantic without noise, and with the format of times.

    It removes titles that repeat a name, turns ``anyOf`` a type and null into a list of types,
    writes bounds of integers as integers, and makes one paragraph of a docstring.
    """
    if isinstance(schema, list):
        return [tidy(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    tidied: Json = {
        name: {key: _property(key, tidy(value)) for key, value in part.items()}
        if name == "properties"
        else tidy(part)
        for name, part in schema.items()
        if not (name == "title" and isinstance(part, str))
    }
    for bound in ("minimum", "maximum"):
        if bound in tidied and tidied[bound] == int(tidied[bound]):
            tidied[bound] = int(tidied[bound])
    if isinstance(tidied.get("description"), str):
        tidied["description"] = " ".join(tidied["description"].split())
    return _nullable(tidied)


def _nullable(schema: Json) -> Json:
    match schema:
        case {"anyOf": [{"type": str(kind)}, {"type": "null"}], **others}:
            bounds: Json = schema["anyOf"][0]
            return {**bounds, "type": [kind, "null"], **others}
    return schema


def _property(name: str, schema: Any) -> Any:
    kinds = schema.get("type")
    if _MOMENT.fullmatch(name) and "string" in ([kinds] if isinstance(kinds, str) else kinds or []):
        return {**schema, "format": "date-time"}
    if name in {"businessId", "connectionId"}:
        return {**schema, **(BUSINESS_ID if name == "businessId" else CONNECTION_ID)}
    return schema
