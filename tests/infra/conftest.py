"""The templates of each environment in turn. They are synthesized once, in `tests/conftest.py`."""

import pytest

from infra.configuration import Environment
from tests.infra.synthesis import ENVIRONMENTS, LOCAL_ENDPOINT, Templates, synthesize
from tests.infra.template import Template

__all__ = ["ENVIRONMENTS", "LOCAL_ENDPOINT", "Templates", "synthesize"]


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
