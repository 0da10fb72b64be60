"""A test of these tests: guards of the code are broken on purpose, and each time it is noticed."""

import importlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Final, NamedTuple

import pytest

from tests.interleavings.explorer import explore
from tests.interleavings.operations import together
from tests.interleavings.states import STATES
from tests.promises import PromiseBroken


class Break(NamedTuple):
    """A change of the code, and where it is noticed."""

    module: str
    guard: str
    instead: str
    state: str
    operations: tuple[str, ...]
    promise: int
    """Which promise is broken then."""
    may_die: bool = False
    may_lose: bool = False


BREAKS: Final = {
    "a young socket is believed gone": Break(
        "lambdas.use_cases.removal",
        "if rules.is_young(connection, now):",
        "if False:",
        "a device that has just connected",
        ("push", "time passes"),
        1,
    ),
    "no answer means gone": Break(
        "lambdas.use_cases.removal",
        "    return Removal.KEPT\n\n\ndef remove_gone",
        "    return _remove(connection, store)\n\n\ndef remove_gone",
        "a silent device, and the gateway cannot tell",
        ("close by an operator", "ping"),
        1,
    ),
    "the cleanup closes without a claim": Break(
        "lambdas.use_cases.cleanup",
        "if not self.cleanup.store.claim_real(connection, self.cleanup.clock()):",
        "if False:",
        "a silent device, its socket open",
        ("cleanup of all", "ping"),
        6,
    ),
    "a claim does not ask who was heard from": Break(
        "tests.fakes",
        "found.last_seen_at != connection.last_seen_at",
        "False",
        "a silent device, its socket open",
        ("cleanup of one", "ping"),
        1,
    ),
    "a ping does not respect a claim": Break(
        "tests.fakes",
        "found.closing_at > now - CLAIM_HOLDS",
        "False",
        "a silent device, its socket open",
        ("cleanup of all", "ping"),
        6,
    ),
    "a ping restores what was removed": Break(
        "tests.fakes",
        "found = self.real.get((business_id, connection_id))\n            if found is None or (",
        "found = self.real.get((business_id, connection_id)) or RealConnection("
        "business_id, connection_id, UserId('u1'), now, now, now + 7200)\n"
        "            if found is None or (",
        "online",
        ("unavailable", "ping"),
        3,
    ),
    "unavailable leaves virtual connections": Break(
        "lambdas.use_cases.availability",
        "write_settings(self.store, before, settings, remove=before.virtual)",
        "write_settings(self.store, before, settings)",
        "virtual only",
        ("unavailable", "record"),
        5,
    ),
    "an import leaves virtual connections": Break(
        "operations.data.import_businesses",
        "remove = () if after.available else before.virtual",
        "remove = ()",
        "online",
        ("import as not accepting", "ping"),
        5,
    ),
    "settings are written whatever their version": Break(
        "tests.fakes",
        "if (stored and stored.version) != (before.settings and before.settings.version):",
        "if False:",
        "virtual only",
        ("available", "expect no socket"),
        6,
    ),
    "a member ends an operator's pause": Break(
        "lambdas.domain.model",
        "return self.pause if self.is_held_by_operator(at) else None",
        "return None",
        "paused by an operator",
        ("available", "ping"),
        7,
    ),
    "an expired lease is removed although it was renewed": Break(
        "tests.fakes",
        "if found is None or found.expires_at > now:\n"
        "                return False\n            del",
        "if found is None:\n                return False\n            del",
        "unreachable, with expired leases",
        ("cleanup of all", "available"),
        6,
    ),
    "a mark outlives its episode": Break(
        "lambdas.domain.model",
        "return not self.needs_device(self.updated_at) or (had_one and self.episode is None)",
        "return False",
        "reported",
        ("unavailable", "available"),
        9,
    ),
    "a mark is set before its report": Break(
        "lambdas.use_cases.attention",
        "            if report is not None and is_new and not reported:\n"
        "                self.report_attention(report)\n"
        "                reported = True\n"
        "            # Never create settings here.\n"
        "            is_marked = settings is None or settings.episode == after\n"
        "            written = is_marked or self._mark(business, after)\n",
        "            # Never create settings here.\n"
        "            is_marked = settings is None or settings.episode == after\n"
        "            written = is_marked or self._mark(business, after)\n"
        "            if report is not None and is_new and not reported:\n"
        "                self.report_attention(report)\n"
        "                reported = True\n",
        "due to be reported",
        ("cleanup of all", "record"),
        9,
        may_die=True,
    ),
    "a mark is set whatever the version of the settings": Break(
        "tests.fakes",
        "or (stored.version, _identity(stored.episode))\n"
        "                != (read.version, _identity(read.episode))",
        "",
        "due to be reported",
        ("cleanup of all", "unavailable", "available"),
        9,
    ),
    "a transition is recorded whatever the last one was": Break(
        "tests.fakes",
        "if last is not None and last.sequence >= transition.sequence:",
        "if False:",
        "virtual only, nothing recorded",
        ("record", "cleanup of all"),
        10,
    ),
    "a recorder follows another one with what it read before": Break(
        "lambdas.use_cases.recorder",
        "                business, found = self._look(business_id, removed)\n",
        "",
        "virtual only, nothing recorded",
        ("record", "record", "connect"),
        10,
    ),
    "a claim is made as of the begin of the run": Break(
        "lambdas.use_cases.cleanup",
        "self.cleanup.store.claim_real(connection, self.cleanup.clock())",
        "self.cleanup.store.claim_real(connection, self.run.now)",
        "a silent device, its socket open",
        ("slow cleanup of all", "ping"),
        1,
    ),
    "the cleanup records after it has removed": Break(
        "lambdas.use_cases.cleanup",
        "        self._record_transition(business)\n        kept,",
        "        for each in business.real:\n"
        "            self._remove_if_stale(each)\n"
        "        self._record_transition(business)\n        kept,",
        "a device that is silent soon",
        ("cleanup of all", "time passes", "time passes"),
        10,
    ),
    "a business is counted as it was before an outage": Break(
        "lambdas.use_cases.cleanup",
        "after = self.cleanup.store.load(business.business_id)",
        "after = after",
        "a device that missed a ping, its socket gone",
        ("cleanup of all",),
        8,
        may_lose=True,
    ),
    "the last look does not bound a date": Break(
        "lambdas.domain.model",
        "return max(self.at, self.unchanged_at or 0)",
        "return self.at",
        "a silent device beside a living one",
        ("cleanup of all", "disconnect"),
        10,
    ),
    "a transition forgets the sums": Break(
        "lambdas.domain.transitions",
        "seconds=seconds_until(last, at) if last else {},",
        "seconds={},",
        "online",
        ("disconnect", "record"),
        10,
    ),
    "the settings do not tell why devices were closed": Break(
        "lambdas.domain.transitions",
        "return settings.declared_by if is_closing else None",
        "return None",
        "online",
        ("unavailable", "record"),
        10,
    ),
    "settings are written before what the time changed is recorded": Break(
        "lambdas.use_cases.availability",
        "self.before_change(before)",
        "pass",
        "a device that fell silent unnoticed",
        ("available", "record"),
        10,
    ),
    "a ticket is read but not removed": Break(
        "tests.fakes",
        "return self.tickets.pop(digest)",
        "return ticket",
        "online",
        ("connect with a ticket", "connect with a ticket"),
        4,
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_guard_is_noticed(name: str) -> None:
    broken = BREAKS[name]
    operations = together(*broken.operations)
    faults = {"may_die": broken.may_die, "may_lose": broken.may_lose}
    explore(STATES[broken.state], operations, **faults)
    with _broken(broken), pytest.raises(PromiseBroken, match=rf"^{broken.promise}\."):
        explore(STATES[broken.state], operations, **faults)


@contextmanager
def _broken(change: Break) -> Iterator[None]:
    """Run the functions of a module as if its source had been changed."""
    module = importlib.import_module(change.module)
    source = inspect.getsource(module)
    assert source.count(change.guard) == 1, "the guard is not where this test looks for it"
    changed = ModuleType(module.__name__)
    exec(compile(source.replace(change.guard, change.instead), "broken", "exec"), changed.__dict__)
    theirs = {function.__qualname__: function for function in _functions(changed)}
    ours = [(each, each.__code__) for each in _functions(module)]
    for function, _ in ours:
        function.__code__ = theirs[function.__qualname__].__code__
    try:
        yield
    finally:
        for function, code in ours:
            function.__code__ = code


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    """The functions and methods that a module defines."""
    for each in vars(module).values():
        if getattr(each, "__module__", None) != module.__name__:
            continue
        for member in vars(each).values() if isinstance(each, type) else [each]:
            function = getattr(member, "fget", getattr(member, "__func__", member))
            if (
                isinstance(function, FunctionType)
                and function.__qualname__
                and not (function.__code__.co_filename.startswith("<string"))
            ):
                yield function
