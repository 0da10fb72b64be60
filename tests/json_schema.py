"""Checks JSON documents against the schemas of a contract (OpenAPI or AsyncAPI)."""

from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

Json = dict[str, Any]


def validator(contract: Json, schema: Json) -> Validator:
    """A validator for one schema, which may refer to the components of its contract."""
    whole = {"components": contract["components"], **schema}
    return Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)


def problems(contract: Json, schema: Json, document: Any) -> list[str]:
    """What is wrong with a document. A field that the schema does not name is wrong too."""
    found = [error.message for error in validator(contract, schema).iter_errors(document)]
    if "$ref" in schema:
        schema = component(contract, schema["$ref"])
    if isinstance(document, dict) and "properties" in schema:
        unknown = document.keys() - schema["properties"].keys()
        found += [f"{name!r} is not in the contract" for name in sorted(unknown)]
    return found


def component(contract: Json, reference: str) -> Json:
    """What a reference within the contract refers to."""
    found = contract
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found
