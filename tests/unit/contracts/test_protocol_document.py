"""The tables of docs/protocol.md are those of the code."""

import json
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from contracts import asyncapi
from lambdas import problems, protocol
from lambdas.domain.authorization import ALLOWED, Operation
from lambdas.domain.status import OverallStatus, ReasonCode
from lambdas.problems import ProblemType
from lambdas.routes import ROUTES
from tests.json_schema import problems as wrong_with
from tests.protocol_document import DOCUMENT, Snippet, problem_types, snippets, table


def test_who_may_do_what_is_what_the_code_allows() -> None:
    (_, _, *kinds), *rows = table("operation")
    documented = {
        Operation(operation.strip("`")): {
            kind for kind, mark in zip(kinds, marks, strict=True) if mark == "yes"
        }
        for operation, _, *marks in rows
    }
    everybody = set(kinds)
    assert documented == {
        operation: everybody if "anyone" in allowed else allowed
        for operation, allowed in ALLOWED.items()
    }


def test_every_call_of_the_rest_api_is_in_the_table_of_who_may_do_what() -> None:
    _, *rows = table("operation")
    documented = {call.strip("` ") for row in rows for call in row[1].split(",")}
    calls = {f"{route.method} {route.path}" for route in ROUTES.values()}
    assert documented == (calls - {"GET /health"}) | {"the WebSocket handshake"}


def test_the_types_of_problems_are_those_of_the_code() -> None:
    kinds = [kind for kind in vars(problems).values() if isinstance(kind, ProblemType)]
    assert problem_types() == {kind.name: kind.status for kind in kinds}


def test_the_codes_of_errors_on_a_socket_are_those_of_the_code() -> None:
    _, *rows = table("error code")
    assert {code.strip("`") for code, *_ in rows} == set(get_args(protocol.ErrorCode))


def test_the_overall_statuses_and_reasons_are_those_of_the_code() -> None:
    _, *statuses = table("`overallStatus`")
    assert {row[0].strip("`") for row in statuses} == set(OverallStatus)
    _, *reasons = table("reason code")
    assert {row[0].strip("`") for row in reasons} == set(ReasonCode)


def test_every_link_within_the_repository_leads_somewhere() -> None:
    folder = DOCUMENT.parent
    for name in ("openapi.json", "asyncapi.json"):
        assert f"({name})" in DOCUMENT.read_text()
        assert (folder / name).exists()


def test_the_status_document_that_is_shown_is_one() -> None:
    (shown,) = [s for s in snippets() if s.language == "json" and "overallStatus" in s.code]
    contract = asyncapi.document()
    schema = {"$ref": "#/components/schemas/StatusDocument"}
    assert wrong_with(contract, schema, json.loads(shown.code)) == []


@pytest.mark.parametrize("snippet", [s for s in snippets() if s.language == "json"], ids=str)
def test_json_that_is_shown_is_json(snippet: Snippet) -> None:
    json.loads(snippet.code)


@pytest.mark.parametrize(
    "snippet", [s for s in snippets() if s.language == "js"], ids=lambda s: s.name
)
def test_javascript_that_is_shown_can_be_parsed(snippet: Snippet, tmp_path: Path) -> None:
    file = tmp_path / "snippet.mjs"
    file.write_text(snippet.code)
    done = subprocess.run(
        ["node", "--check", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
