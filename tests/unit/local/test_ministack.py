"""The patch of MiniStack is for one version of it."""

import pytest

from local import ministack


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: "1.6.0")
    with pytest.raises(SystemExit, match=r"MiniStack 1\.6\.0 is installed"):
        ministack.patch()
