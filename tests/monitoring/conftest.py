"""The templates that are tested: those of every environment, and of one with three workers."""

import pytest

from infra.configuration import Environment
from infra.environments import PROD
from tests.infra.conftest import all_templates
from tests.infra.every_option import EVERY_OPTION
from tests.infra.synthesis import ENVIRONMENTS, Templates
from tests.infra.template import Template
from tests.unit.handlers.conftest import (
    account,
    apis,
    deployed,
    feed,
    playing,
    recording,
    unrecorded,
)

__all__ = [
    "account",
    "all_templates",
    "apis",
    "deployed",
    "feed",
    "playing",
    "recording",
    "unrecorded",
]

ALL = {**ENVIRONMENTS, EVERY_OPTION.name: EVERY_OPTION}


@pytest.fixture(params=list(ALL))
def environment(request: pytest.FixtureRequest) -> Environment:
    """Each environment in turn."""
    return ALL[request.param]


@pytest.fixture
def service(all_templates: Templates, environment: Environment) -> Template:
    return all_templates[environment.name]["Service"]


@pytest.fixture
def monitoring(all_templates: Templates, environment: Environment) -> Template:
    return all_templates[environment.name]["Monitoring"]


@pytest.fixture(scope="session")
def prod(all_templates: Templates) -> Template:
    """The monitoring of prod."""
    return all_templates[PROD.name]["Monitoring"]


@pytest.fixture(scope="session")
def three_workers(all_templates: Templates) -> Template:
    """The monitoring of an environment whose table is shared by three workers."""
    return all_templates[EVERY_OPTION.name]["Monitoring"]
