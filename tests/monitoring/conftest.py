"""The environments whose monitoring is proved: all that are deployed, and one with many workers."""

from pathlib import Path

import pytest

from infra.configuration import Environment
from infra.environments import PROD
from local.alarms import Alarm
from local.composite_alarms import CompositeAlarm
from tests.infra.every_option import EVERY_OPTION, every_option_templates
from tests.infra.synthesis import ENVIRONMENTS, Templates
from tests.infra.template import Template
from tests.monitoring.reading import alarms_in, composites_in
from tests.unit.handlers.conftest import deployed, recording, unrecorded

__all__ = ["deployed", "recording", "unrecorded"]

ALL = {**ENVIRONMENTS, EVERY_OPTION.name: EVERY_OPTION}


@pytest.fixture(scope="session")
def all_templates(
    templates: Templates, tmp_path_factory: pytest.TempPathFactory, source: Path
) -> Templates:
    return {**templates, EVERY_OPTION.name: every_option_templates(tmp_path_factory, source)}


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
def prod_alarms(all_templates: Templates) -> dict[str, Alarm]:
    """The metric alarms of prod, by construct id."""
    return alarms_in(all_templates[PROD.name]["Monitoring"])


@pytest.fixture(scope="session")
def crowd_alarms(all_templates: Templates) -> dict[str, Alarm]:
    """The metric alarms where three workers share the table, by construct id."""
    return alarms_in(all_templates[EVERY_OPTION.name]["Monitoring"])


@pytest.fixture(scope="session")
def impaired(all_templates: Templates) -> CompositeAlarm:
    """The composite alarm of prod."""
    return composites_in(all_templates[PROD.name]["Monitoring"])["ServiceImpaired"]


@pytest.fixture(scope="session")
def crowd_impaired(all_templates: Templates) -> CompositeAlarm:
    """The composite alarm where three workers share the table."""
    return composites_in(all_templates[EVERY_OPTION.name]["Monitoring"])["ServiceImpaired"]
