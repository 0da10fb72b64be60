"""The changes to MiniStack are refused for any version but the one they were written for."""

import pytest

from local import ministack


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: "1.6.0")
    with pytest.raises(SystemExit, match=r"MiniStack 1\.6\.0 is installed"):
        ministack.patch()
