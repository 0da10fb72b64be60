"""CloudWatch's dashboard, drawn from its definition."""

import re
from typing import Any
from xml.etree import ElementTree

from console.alarms import Alarms
from console.dashboard import Dashboard
from tests.unit.console.builders import NOW, STACK, MemoryCloudWatch

ARN = (
    "arn:aws:cloudwatch:eu-central-1:123456789012:alarm:"
    f"{STACK}-AlarmsVirtualWithoutReal1D234811-81765F4DEF05"
)


def widget(kind: str, x: int, y: int, width: int, **properties: Any) -> dict[str, Any]:
    return {
        "type": kind, "x": x, "y": y, "width": width, "height": 6, "properties": properties,
    }  # fmt: skip


def _drawn(*widgets: dict[str, Any], **values: dict[int, float]) -> ElementTree.Element:
    """The drawing of these widgets."""
    cloudwatch: Any = MemoryCloudWatch(
        widgets=list(widgets), values={(name, None): points for name, points in values.items()}
    )
    page = Dashboard(cloudwatch, name="dev", alarms=Alarms(cloudwatch, stack=STACK)).page()
    drawing = re.search(r"<svg.*</svg>", page, flags=re.DOTALL)
    assert drawing is not None
    return ElementTree.fromstring(drawing[0])


def _texts(drawing: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in drawing.iter("{http://www.w3.org/2000/svg}text")]


GRAPH = [
    ["BusinessConnections", "RealConnections", "environment", "dev", {"label": "Real & open"}],
    [{"expression": "a / b", "label": "Ratio", "yAxis": "right"}],
]


def test_each_widget_is_at_its_place_with_its_title() -> None:
    drawing = _drawn(
        widget("metric", 0, 0, 12, title="Connections", metrics=GRAPH),
        widget("metric", 12, 0, 12, title="Others", metrics=GRAPH),
        widget("text", 0, 6, 24, markdown="**dev**, deployed: abc"),
    )
    places = [each.get("transform") for each in drawing.iter("{http://www.w3.org/2000/svg}g")]
    assert places == ["translate(0, 0)", "translate(720, 0)", "translate(0, 300)"]
    assert {"Connections", "Others", "dev, deployed: abc"} <= set(_texts(drawing))
    assert (drawing.get("width"), drawing.get("height")) == ("1440", "600")


def test_a_graph_has_its_lines_its_highest_value_and_its_labels() -> None:
    drawing = _drawn(
        widget("metric", 0, 0, 12, title="Connections", metrics=GRAPH),
        RealConnections={NOW: 4.0, NOW + 60: 8.0},
    )
    (line,) = drawing.iter("{http://www.w3.org/2000/svg}polyline")
    (_, low), (_, high) = [
        map(float, point.split(",")) for point in (line.get("points") or "").split()
    ]
    assert low > high, "more is further up"
    assert {"8", "Real & open", "Ratio"} <= set(_texts(drawing))
    assert "No data" not in _texts(drawing)


def test_a_graph_without_data_says_so() -> None:
    assert "No data" in _texts(_drawn(widget("metric", 0, 0, 12, title="t", metrics=GRAPH)))


def test_alarms_are_shown_by_their_names_and_states() -> None:
    drawing = _drawn(widget("alarm", 0, 0, 24, title="Alarms that page", alarms=[ARN]))
    assert "Virtual without real" in _texts(drawing)
    fills = [each.get("fill") for each in drawing.iter("{http://www.w3.org/2000/svg}rect")]
    assert fills == ["#ffffff", "#2ca02c"]


def test_labels_that_do_not_fit_into_one_line_take_another() -> None:
    many = [
        ["N", f"Metric{n}", "environment", "dev", {"label": f"a long label {n}"}] for n in range(9)
    ]
    drawing = _drawn(widget("metric", 0, 0, 8, title="t", metrics=many))
    labels = [
        each for each in drawing.iter("{http://www.w3.org/2000/svg}text")
        if (each.text or "").startswith("a long label")
    ]  # fmt: skip
    assert len(labels) == 9
    assert len({each.get("y") for each in labels}) > 1
    assert max(float(each.get("x") or 0) for each in labels) < 8 * 60


def test_the_lines_of_a_graph_share_its_time_axis() -> None:
    two = [
        ["BusinessConnections", name, "environment", "dev", {"label": name}] for name in ("A", "B")
    ]
    drawing = _drawn(
        widget("metric", 0, 0, 12, title="t", metrics=two),
        A={NOW: 1.0, NOW + 600: 1.0},
        B={NOW + 300: 1.0, NOW + 600: 1.0},
    )
    began, middle = (
        float((line.get("points") or "").split(",")[0])
        for line in drawing.iter("{http://www.w3.org/2000/svg}polyline")
    )
    assert middle - began > 100
