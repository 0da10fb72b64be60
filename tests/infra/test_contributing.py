"""docs/contributing.md says how to add a route and a metric, and following it in a copy works."""

import ast
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

from infra.environments import DEV
from lambdas.handlers import rest, websocket
from tests.builders import business, real, settings
from tests.events import DEVICE, rest_event, socket_event
from tests.infra.synthesis import synthesize
from tests.infra.test_runbook import _description
from tests.monitoring.alarm_tables import play
from tests.monitoring.template_reader import alarms_in, graphs_in, options_in
from tests.monitoring.test_alarms import TABLES
from tests.runbook import SEVERITIES, alarm_sections

PATH = "/businesses/{businessId}/last-seen"


@pytest.fixture(scope="module")
def stacks(tmp_path_factory, source):
    return synthesize(tmp_path_factory.mktemp("cdk.out"), source, [DEV])["dev"]


def test_the_function_answers(deployed):
    now = deployed.clock()
    deployed.seed(business(real("c1", now=now, seen=40), declared=settings()))
    answer = deployed.invoke(rest.handler, rest_event("GET", PATH))
    assert answer["statusCode"] == 200, answer
    assert json.loads(answer["body"]).keys() == {"businessId", "lastSeenAt"}
    refused = deployed.invoke(rest.handler, rest_event("GET", PATH, businesses=()))
    assert refused["statusCode"] == 403


def test_api_gateway_has_the_route(stacks):
    method = stacks["Service"].rest_methods()[PATH, "GET"]
    assert method["AuthorizationType"] == "CUSTOM"


def test_the_contract_has_it():
    document = json.loads(open("docs/openapi.json").read())
    assert document["paths"][PATH]["get"]["operationId"] == "getLastSeen"


def test_the_metric_is_counted(deployed, capsys):
    deployed.seed(business(real(DEVICE), declared=settings()))
    deployed.invoke(websocket.on_default, socket_event('{"action":"dance"}'))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "UnknownMessages" in line]
    assert json.loads(line)["UnknownMessages"] == [1]


def test_the_alarm_goes_off_as_its_tables_say(stacks):
    alarm = alarms_in(stacks["Monitoring"])["UnknownMessages"]
    assert TABLES["UnknownMessages"]
    for table in TABLES["UnknownMessages"]:
        expected, actual = play(alarm, table)
        assert actual == expected, table.title


def test_the_alarm_leads_to_its_section_of_the_runbook(stacks):
    alarms = stacks["Monitoring"].properties("AWS::CloudWatch::Alarm")
    (alarm,) = (each for name, each in alarms.items() if "UnknownMessages" in name)
    _, severity, section = _description(alarm)
    assert alarm_sections()[section].lstrip().startswith(SEVERITIES[severity])


def test_the_dashboard_shows_the_metric(stacks):
    graphs = [options_in(lines) for _, lines in graphs_in(stacks["Monitoring"])]
    assert "Unknown messages" in [line.get("label") for graph in graphs for line in graph]
"""


def test_a_route_and_a_metric_can_be_added_as_described(tmp_path: Path) -> None:
    copy = tmp_path / "repository"
    ignored = shutil.ignore_patterns(".*", "node_modules", "build", "cdk.out", "__pycache__", "e2e")
    shutil.copytree(ROOT, copy, ignore=ignored)
    steps = _code_blocks((ROOT / "docs" / "contributing.md").read_text())
    assert 8 <= len(steps) <= 10
    for where, code in steps:
        _insert(copy, where, code)
    (copy / "tests" / "unit" / "handlers" / "test_new.py").write_text(CHECK)
    _run(copy, "contracts")
    runbook = ("tests/unit/test_runbook.py", "-k", "section or metric or test_new")
    _run(copy, "pytest", "-q", "tests/unit/handlers/test_new.py", *runbook)


def _code_blocks(document: str) -> list[tuple[str, str]]:
    """The blocks of the document: the comment that says where, and the code."""
    blocks = re.findall(
        r"^ *(````?)(?:python|markdown)\n(.*?)\n *\1$", document, flags=re.MULTILINE | re.DOTALL
    )
    texts = (textwrap.dedent(block) for _, block in blocks)
    return [(text.partition("\n")[0], text.partition("\n")[2]) for text in texts]


def _insert(copy: Path, where: str, code: str) -> None:
    """Follow a comment such as `# lambdas/routes.py, in ROUTES`."""
    name, _, place = where.strip("#<>!- ").partition(", ")
    file = copy / name
    lines = file.read_text().splitlines()
    end = ""
    if place == "at the top":
        line, indent = _line_of_first_import(lines), 0
    elif place:
        line, indent, end = _place("\n".join(lines), place.removeprefix("in "))
    else:
        line, indent, code = len(lines), 0, f"\n\n{code}"
    lines[line:line] = textwrap.indent(code + end, " " * indent).splitlines()
    file.write_text("\n".join(lines) + "\n")


def _line_of_first_import(lines: list[str]) -> int:
    return next(i for i, line in enumerate(lines) if line.startswith(("import ", "from ")))


def _place(source: str, name: str) -> tuple[int, int, str]:
    """The line, the indentation, and what must follow the code: at the end of a table, of a
    class, or of the list that a function returns, or before the last statement of a function.
    """
    for node in ast.parse(source).body:
        target = getattr(node, "target", None)
        if name not in (getattr(node, "name", ""), getattr(target, "id", "")):
            continue
        match node:
            case ast.ClassDef():
                return node.end_lineno or 0, 4, ""
            case ast.FunctionDef(body=[*_, ast.Return(value=ast.List() as made)]):
                return (made.end_lineno or 0) - 1, made.elts[0].col_offset, ","
            case ast.FunctionDef(body=[*_, last]):
                return last.lineno - 1, last.col_offset, ""
            case ast.AnnAssign(value=ast.Dict() as table):
                return (table.end_lineno or 0) - 1, 4, ""
    raise AssertionError(f"there is no {name}")


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
