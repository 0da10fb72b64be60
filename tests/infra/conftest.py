"""The templates of each environment in turn. They are synthesized once, in `tests/conftest.py`."""

from pathlib import Path

import pytest

from infra.configuration import Environment
from tests.infra.every_option import EVERY_OPTION, every_option_templates
from tests.infra.synthesis import ENVIRONMENTS, LOCAL_ENDPOINT, Templates, synthesize
from tests.infra.template import Template

__all__ = ["ENVIRONMENTS", "LOCAL_ENDPOINT", "Templates", "synthesize"]


@pytest.fixture(params=list(ENVIRONMENTS))
def environment(request: pytest.FixtureRequest) -> Environment:
    """Each environment in turn."""
    return ENVIRONMENTS[request.param]


@pytest.fixture
def every_option(tmp_path_factory: pytest.TempPathFactory, source: Path) -> dict[str, Template]:
    """The stacks of the environment that uses every option."""
    return every_option_templates(tmp_path_factory, source)


@pytest.fixture(scope="session")
def all_templates(
    templates: Templates, tmp_path_factory: pytest.TempPathFactory, source: Path
) -> Templates:
    """The templates of every environment, and of the one that uses every option."""
    return {**templates, EVERY_OPTION.name: every_option_templates(tmp_path_factory, source)}


@pytest.fixture
def stacks(
    templates: Templates, environment: Environment, request: pytest.FixtureRequest
) -> dict[str, Template]:
    """The stacks of `environment`."""
    if environment is EVERY_OPTION:
        found: dict[str, Template] = request.getfixturevalue("every_option")
        return found
    return templates[environment.name]


@pytest.fixture
def data(stacks: dict[str, Template]) -> Template:
    return stacks["Data"]


@pytest.fixture
def service(stacks: dict[str, Template]) -> Template:
    return stacks["Service"]


@pytest.fixture
def monitoring(stacks: dict[str, Template]) -> Template:
    return stacks["Monitoring"]
