"""The templates of each environment in turn. They are synthesized once, in `tests/conftest.py`."""

import pytest

from infra.configuration import Environment
from tests.infra.every_option import EVERY_OPTION
from tests.infra.synthesis import ENVIRONMENTS, LOCAL_ENDPOINT, Templates, synthesize
from tests.infra.template import Template

__all__ = ["ENVIRONMENTS", "LOCAL_ENDPOINT", "Templates", "synthesize"]


@pytest.fixture(params=list(ENVIRONMENTS))
def environment(request: pytest.FixtureRequest) -> Environment:
    """Each environment in turn."""
    return ENVIRONMENTS[request.param]


@pytest.fixture
def every_option(templates: Templates) -> dict[str, Template]:
    """The stacks of the environment that uses every option."""
    return templates[EVERY_OPTION.name]


@pytest.fixture
def stacks(templates: Templates, environment: Environment) -> dict[str, Template]:
    """The stacks of `environment`."""
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
