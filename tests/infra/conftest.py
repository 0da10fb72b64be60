"""Synthesizes every environment once. Importing the CDK alone takes seconds."""

import json
from collections.abc import Iterator
from pathlib import Path

import aws_cdk as cdk
import pytest

from infra.bundle import build_bundle
from infra.environments import Environment, all_environments
from infra.stage import BusinessConnectionsStage
from tests.infra.template import Template

LOCAL_ENDPOINT = "http://127.0.0.1:4599"
_CDK_JSON = Path(__file__).resolve().parents[2] / "cdk.json"

ENVIRONMENTS = {
    environment.name: environment for environment in all_environments(local_endpoint=LOCAL_ENDPOINT)
}

Templates = dict[str, dict[str, Template]]
"""Of each environment: its templates by stack (`Data`, `Service`, `Monitoring`)."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep these tests in one worker process, so that a parallel run too synthesizes once."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("infra"))


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle without dependencies: what is in it does not matter to a template."""
    return build_bundle(dependencies=False, build=tmp_path_factory.mktemp("build"))


def synthesize(outdir: Path, source: Path, environments: Iterator[Environment]) -> Templates:
    """Synthesize into `outdir`, with the feature flags of cdk.json."""
    app = cdk.App(outdir=str(outdir), context=json.loads(_CDK_JSON.read_text())["context"])
    stages = {
        environment.name: BusinessConnectionsStage(app, environment=environment, bundle=source)
        for environment in environments
    }
    app.synth()
    return {
        name: {
            part: Template(stage.synth().get_stack_artifact(stack.artifact_id).template_full_path)
            for part, stack in {
                "Data": stage.data,
                "Service": stage.service,
                "Monitoring": stage.monitoring,
            }.items()
        }
        for name, stage in stages.items()
    }


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Templates:
    return synthesize(tmp_path_factory.mktemp("cdk.out"), source, iter(ENVIRONMENTS.values()))


@pytest.fixture(params=list(ENVIRONMENTS))
def environment(request: pytest.FixtureRequest) -> Environment:
    """Each environment in turn."""
    return ENVIRONMENTS[request.param]


@pytest.fixture
def data(templates: Templates, environment: Environment) -> Template:
    return templates[environment.name]["Data"]


@pytest.fixture
def service(templates: Templates, environment: Environment) -> Template:
    return templates[environment.name]["Service"]


@pytest.fixture
def monitoring(templates: Templates, environment: Environment) -> Template:
    return templates[environment.name]["Monitoring"]
