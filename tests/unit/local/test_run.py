"""What `make run` refuses before it starts anything."""

import pytest

from local.run import CannotStart, _free_port


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_a_wrong_port_is_refused(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("LOCAL_PORT", port)
    with pytest.raises(CannotStart, match=f"LOCAL_PORT .* is '{port}'"):
        _free_port()
