"""The token bucket."""

from lambdas.adapters.pacing import TokenBucket


def test_a_burst_goes_through_at_once_and_then_the_rate_holds() -> None:
    clock = [100.0]
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(round(seconds, 6))
        clock[0] += seconds

    bucket = TokenBucket(10, burst=3, monotonic=lambda: clock[0], sleep=sleep)
    for _ in range(6):
        bucket.take()
    assert waits == [0.1, 0.1, 0.1]


def test_what_was_not_used_is_saved_up_to_the_burst() -> None:
    clock = [0.0]
    waits: list[float] = []
    bucket = TokenBucket(10, burst=2, monotonic=lambda: clock[0], sleep=waits.append)
    clock[0] = 1000.0
    for _ in range(3):
        bucket.take()
    assert len(waits) == 1
