"""The smoke test, which the canary plays too, against APIs in which one part is broken."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.sync.client import connect

from lambdas.observability import CanaryStep as Step
from lambdas.smoke_test import SmokeTest, SmokeTestFailed
from tests.fake_apis import ISSUED, FakeApis, fake_apis

TIMEOUT = 0.3
STORY: list[Step] = [step for step in Step if step is not Step.SIGN_IN]


@pytest.fixture
def apis() -> Iterator[FakeApis]:
    with fake_apis() as running:
        yield running


def tell(
    apis: FakeApis, *, token: str = ISSUED, may_push: bool = True, timeout: float = TIMEOUT
) -> tuple[list[Step], Step | None, str]:
    """The steps that were done, the one that failed, and why."""
    done: list[Step] = []

    def note(step: Step, seconds: float) -> None:
        assert 0 <= seconds < 10 * timeout
        done.append(step)

    test = SmokeTest(
        rest_url=apis.rest_url,
        websocket_url=apis.websocket_url,
        business="b1",
        token=token,
        timeout=timeout,
        may_push=may_push,
        done=note,
    )
    try:
        test.run()
    except SmokeTestFailed as failure:
        return done, test.step, str(failure)
    return done, None, ""


def test_working_apis_play_every_step_in_order_and_nothing_is_left(apis: FakeApis) -> None:
    assert tell(apis, timeout=10) == (STORY, None, "")
    assert not apis.available
    assert apis.has_no_device()


def test_who_may_not_push_plays_all_other_steps(apis: FakeApis) -> None:
    done, failed, _ = tell(apis, may_push=False, timeout=10)
    assert failed is None
    assert done == [step for step in STORY if step is not Step.PUSH]
    assert not [request for request, _ in apis.requests if request.startswith("POST")]


@pytest.mark.parametrize(
    ("broken", "step", "reason"),
    [
        ("health", Step.BEGIN, "GET /health answered 500"),
        ("routes", Step.BEGIN, "GET /health answered 403: .*Authorization=Bearer <token>"),
        ("declare", Step.BEGIN, "PUT availability false: not within 0.3 s"),
        ("connect", Step.CONNECT, "a device connects to ws://.*401"),
        ("online", Step.ONLINE, "the business is ONLINE: .*overallStatus is OFFLINE"),
        ("pong", Step.PING, "did not receive .*pong.*, but nothing"),
        ("push", Step.PUSH, "did not receive .*message"),
        ("told", Step.UNAVAILABLE, "did not receive .*availability.changed"),
        ("close", Step.UNAVAILABLE, "the socket was not closed within 0.3 s"),
        ("offline", Step.OFFLINE, "the business is OFFLINE: .*overallStatus is UNREACHABLE"),
    ],
)
def test_a_broken_part_fails_its_step_and_says_what_was_seen(
    apis: FakeApis, broken: str, step: Step, reason: str
) -> None:
    apis.broken = {broken}
    done, failed, why = tell(apis)
    assert failed is step
    assert done == STORY[: STORY.index(step)]
    assert re.search(reason, why), why
    assert ISSUED not in why


def test_a_token_that_is_not_accepted_fails_the_first_step(apis: FakeApis) -> None:
    done, failed, why = tell(apis, token="another")
    assert (done, failed) == ([], Step.BEGIN)
    assert "401" in why


@pytest.mark.parametrize("broken", ["online", "pong", "push", "told"])
def test_a_story_that_breaks_off_ends_what_it_began(apis: FakeApis, broken: str) -> None:
    apis.broken = {broken}
    tell(apis)
    assert not apis.available
    assert apis.has_no_device()


def test_a_story_begins_by_ending_what_an_earlier_one_left(apis: FakeApis) -> None:
    """One that was killed: the business is available, and its device is connected."""
    headers = {"Authorization": f"Bearer {ISSUED}"}
    with connect(apis.websocket_url, additional_headers=headers) as left:
        left.send('{"id": "the API knows this device"}')
        left.recv()
        apis.available = True
        assert tell(apis, timeout=10) == (STORY, None, "")
        assert list(left) == ['{"type": "availability.changed", "available": false}']


def test_apis_that_cannot_be_reached_fail_the_first_step(apis: FakeApis) -> None:
    apis.rest_url = "http://127.0.0.1:1"
    done, failed, why = tell(apis)
    assert (done, failed) == ([], Step.BEGIN)
    assert "GET /health" in why


def test_two_stories_of_one_business_at_once_leave_nothing_behind(apis: FakeApis) -> None:
    """They end each other's sockets, so one of them or both fail. The next one is not disturbed."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: tell(apis), range(2)))
    assert tell(apis, timeout=10) == (STORY, None, "")
