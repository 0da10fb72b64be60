"""docs/contributing.md says how to add a route, and following it in a copy works."""

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

CHECK = """
import json

import pytest

from lambdas.handlers import rest
from tests.builders import business, real, settings
from tests.infra.synthesis import LOCAL, synthesize
from tests.events import rest_event

PATH = "/businesses/{businessId}/last-seen"


def test_the_function_answers(deployed):
    now = deployed.clock()
    deployed.seed(business(real("c1", now=now, seen=40), declared=settings()))
    answer = deployed.invoke(rest.handler, rest_event("GET", PATH))
    assert answer["statusCode"] == 200, answer
    assert json.loads(answer["body"]).keys() == {"businessId", "lastSeenAt"}
    refused = deployed.invoke(rest.handler, rest_event("GET", PATH, businesses=()))
    assert refused["statusCode"] == 403


def test_api_gateway_has_the_route(tmp_path, source):
    stacks = synthesize(tmp_path, source, [LOCAL])
    method = stacks["local"]["Service"].rest_methods()[PATH, "GET"]
    assert method["AuthorizationType"] == "CUSTOM"


def test_the_contract_has_it():
    document = json.loads(open("docs/openapi.json").read())
    assert document["paths"][PATH]["get"]["operationId"] == "getLastSeen"
"""


def test_a_route_can_be_added_as_described(tmp_path: Path) -> None:
    copy = tmp_path / "repository"
    ignored = shutil.ignore_patterns(".*", "node_modules", "build", "cdk.out", "__pycache__", "e2e")
    shutil.copytree(ROOT, copy, ignore=ignored)
    steps = _code_blocks((ROOT / "docs" / "contributing.md").read_text())
    assert 1 <= len(steps) <= 4
    for where, code in steps:
        _insert(copy, where, code)
    (copy / "tests" / "unit" / "handlers" / "test_new_route.py").write_text(CHECK)
    _run(copy, "contracts")
    _run(copy, "pytest", "-q", "tests/unit/handlers/test_new_route.py")


def _code_blocks(document: str) -> list[tuple[str, str]]:
    """Return the blocks of the section on routes: the comment that says where, and the code."""
    section = document.partition("## Add a route")[2].partition("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)\n *```", section, flags=re.DOTALL)
    texts = (textwrap.dedent(block) for block in blocks)
    return [(text.partition("\n")[0], text.partition("\n")[2]) for text in texts]


def _insert(copy: Path, where: str, code: str) -> None:
    """Follow a comment such as `# lambdas/routes.py, in ROUTES`."""
    name, _, table = where.removeprefix("# ").partition(", in ")
    file = copy / name
    text = file.read_text()
    if table:
        begin = text.index(f"\n{table}: Final")
        end = text.index("\n}\n", begin)
        text = f"{text[:end]}\n{textwrap.indent(code, '    ')}{text[end:]}"
    else:
        text = f"{text}\n\n{code}\n"
    file.write_text(text)


def _run(copy: Path, module: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=copy,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout
