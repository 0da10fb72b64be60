"""CloudWatch's dashboard as a page: its widgets at their places, drawn from the same definition.

So on-call knows the page before the night, and a change of it can be looked at without an account.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape
from typing import TYPE_CHECKING, Any, Final

from console.alarms import Alarms
from console.document import document
from console.recent import Recent

if TYPE_CHECKING:
    from types_boto3_cloudwatch import CloudWatchClient

HOURS: Final = 3
"""What the dashboard shows unless somebody chooses another time."""

_COLUMN: Final = 60
_ROW: Final = 50
_GAP: Final = 6
"""Pixels. A dashboard has 24 columns."""

_COLORS: Final = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2")
"""Those of CloudWatch, in its order."""

_STATES: Final = {"OK": "#2ca02c", "ALARM": "#d13212", "INSUFFICIENT_DATA": "#7d8998"}

_LEGEND_CHARACTER: Final = 6.2
"""Pixels that a character of a legend takes, roughly."""

_FRESH: Final = 15.0
"""Seconds for which a drawing is used."""

Points = Sequence[tuple[float, float]]
"""Moments (epoch seconds) and values."""

_Metric = Sequence[Any]
"""A line of a graph, as the dashboard's definition writes it."""


@dataclass(frozen=True)
class _Series:
    label: str
    points: Points
    on_right_axis: bool


class Dashboard:
    """Draws the dashboard of one environment."""

    def __init__(self, cloudwatch: "CloudWatchClient", *, name: str, alarms: Alarms) -> None:
        self._cloudwatch = cloudwatch
        self._name = name
        self._alarms = alarms
        self._recent = Recent(self._drawn, seconds=_FRESH)

    def page(self) -> str:
        """Return the page with the drawing. Raises `Unanswered`."""
        heading = "<h1>The dashboard in CloudWatch</h1>"
        return document("Dashboard", f"{heading}\n{self._recent.get()}")

    def _drawn(self) -> str:
        body = self._cloudwatch.get_dashboard(DashboardName=self._name)["DashboardBody"]
        widgets: list[Any] = json.loads(body)["widgets"]
        height = max((each["y"] + each["height"] for each in widgets), default=0) * _ROW
        metrics = [
            metric
            for each in widgets
            if each["type"] == "metric"
            for metric in each["properties"]["metrics"]
        ]
        points = self._read(metrics)
        drawn = "".join(self._draw(each, points) for each in widgets)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {24 * _COLUMN} {height}"'
            f' width="{24 * _COLUMN}" height="{height}" role="img" font-family="sans-serif"'
            f' aria-label="The dashboard {escape(self._name)}" font-size="12">{drawn}</svg>'
        )

    def _draw(self, widget: Mapping[str, Any], points: Mapping[str, Points]) -> str:
        width, height = widget["width"] * _COLUMN - _GAP, widget["height"] * _ROW - _GAP
        properties = widget["properties"]
        title = properties.get("title", "")
        match widget["type"]:
            case "metric":
                content = _graph(properties, points, width, height)
            case "alarm":
                content = self._states(properties["alarms"], width)
            case "text":
                content = _paragraph(properties["markdown"], width)
            case _:
                content = _paragraph(f"A query of the logs: {properties['query']}", width, top=44)
        return (
            f'<g transform="translate({widget["x"] * _COLUMN}, {widget["y"] * _ROW})">'
            f'<rect width="{width}" height="{height}" rx="4" fill="#ffffff" stroke="#d5dbdb"/>'
            f'<text x="12" y="22" font-size="14" font-weight="bold" fill="#16191f">'
            f"{escape(title)}</text>{content}</g>"
        )

    def _states(self, names: Sequence[str], width: int) -> str:
        """Draw alarms, four in a line."""
        states = {each["name"]: each for each in self._alarms.document()["alarms"]}
        cell = (width - 24) // 4
        drawn = []
        for number, arn in enumerate(names):
            alarm = states.get(arn.rpartition(":alarm:")[2], {})
            x, y = 12 + number % 4 * cell, 36 + number // 4 * 44
            color = _STATES.get(alarm.get("state", ""), "#7d8998")
            drawn.append(
                f'<rect x="{x}" y="{y}" width="{cell - 8}" height="36" rx="3" fill="{color}"/>'
                f'<text x="{x + 10}" y="{y + 22}" fill="#ffffff">'
                f"{escape(alarm.get('title', arn))}</text>"
            )
        return "".join(drawn)

    def _read(self, metrics: Sequence[_Metric]) -> Mapping[str, Points]:
        """Read the values of all metrics at once. An expression has none here."""
        asked = {f"m{number}": each for number, each in enumerate(metrics) if _parts(each)[0]}
        found: dict[str, list[tuple[float, float]]] = {_key(each): [] for each in asked.values()}
        if not asked:
            return found
        end = datetime.now(UTC)
        pages = self._cloudwatch.get_paginator("get_metric_data").paginate(
            MetricDataQueries=[
                {"Id": query, "MetricStat": _stat(each)} for query, each in asked.items()
            ],
            StartTime=end - timedelta(hours=HOURS),
            EndTime=end,
        )
        for page in pages:
            for result in page["MetricDataResults"]:
                moments = (each.timestamp() for each in result["Timestamps"])
                found[_key(asked[result["Id"]])].extend(zip(moments, result["Values"], strict=True))
        return {key: sorted(values) for key, values in found.items()}


def _key(metric: _Metric) -> str:
    return json.dumps(metric)


def _parts(metric: _Metric) -> tuple[list[str], Mapping[str, Any]]:
    """Return the namespace, the name and the dimensions of a metric, and its options.

    An expression has only options.
    """
    options = metric[-1] if isinstance(metric[-1], dict) else {}
    return [each for each in metric if isinstance(each, str)], options


def _stat(metric: _Metric) -> Any:
    (namespace, name, *dimensions), options = _parts(metric)
    pairs = zip(dimensions[::2], dimensions[1::2], strict=True)
    return {
        "Metric": {
            "Namespace": namespace,
            "MetricName": name,
            "Dimensions": [{"Name": key, "Value": value} for key, value in pairs],
        },
        "Period": options.get("period", 300),
        "Stat": options.get("stat", "Average"),
    }


def _graph(
    properties: Mapping[str, Any], points: Mapping[str, Points], width: int, height: int
) -> str:
    series = _series(properties["metrics"], points)
    lines = _legend([each.label for each in series], width)
    bottom = height - 20 - 16 * len(lines)
    moments = [moment for each in series for moment, _ in each.points]
    window = min(moments, default=0.0), max(moments, default=0.0)
    top, left, right = 40, 44, width - (44 if any(s.on_right_axis for s in series) else 16)
    drawn = [
        f'<line x1="{left}" x2="{right}" y1="{y}" y2="{y}" stroke="#eaeded"/>'
        for y in (top, (top + bottom) // 2, bottom)
    ]
    for on_right_axis, axis in ((False, left - 6), (True, right + 6)):
        of_axis = [each for each in series if each.on_right_axis is on_right_axis]
        highest = max((v for each in of_axis for _, v in each.points), default=0.0)
        if of_axis:
            anchor = "start" if on_right_axis else "end"
            for value, y in ((highest, top), (0, bottom)):
                drawn.append(
                    f'<text x="{axis}" y="{y + 4}" text-anchor="{anchor}" fill="#545b64"'
                    f' font-size="11">{value:g}</text>'
                )
        for each in of_axis:
            color = _COLORS[series.index(each) % len(_COLORS)]
            frame = (left, top, right, bottom)
            drawn.append(_line(each.points, window, highest, frame, color))
    if not any(each.points for each in series):
        drawn.append(
            f'<text x="{(left + right) // 2}" y="{(top + bottom) // 2 - 8}" fill="#545b64"'
            ' text-anchor="middle">No data</text>'
        )
    for row, labels in enumerate(lines):
        x, y = 16.0, bottom + 22 + 16 * row
        for number, label in labels:
            color = _COLORS[number % len(_COLORS)]
            drawn.append(
                f'<rect x="{x:.0f}" y="{y - 9}" width="10" height="10" fill="{color}"/>'
                f'<text x="{x + 14:.0f}" y="{y}" font-size="11" fill="#16191f">'
                f"{escape(label)}</text>"
            )
            x += _legend_width(label)
    return "".join(drawn)


def _series(metrics: Sequence[_Metric], points: Mapping[str, Points]) -> list[_Series]:
    """Read the lines of a graph. An expression has no points here, only its label."""
    found = []
    for metric in metrics:
        names, options = _parts(metric)
        label = options.get("label") or (names[1] if names else options.get("id", ""))
        of_metric = points.get(_key(metric), ())
        found.append(_Series(label, of_metric, options.get("yAxis") == "right"))
    return [each for each in found if each.label]


def _line(
    points: Points,
    window: tuple[float, float],
    highest: float,
    frame: tuple[int, int, int, int],
    color: str,
) -> str:
    if not points:
        return ""
    left, top, right, bottom = frame
    first, last = window
    across = max(last - first, 1)
    placed = " ".join(
        f"{left + (right - left) * (moment - first) / across:.1f},"
        f"{bottom - (bottom - top) * (value / highest if highest else 0):.1f}"
        for moment, value in points
    )
    return f'<polyline points="{placed}" fill="none" stroke="{color}" stroke-width="1.5"/>'


def _legend_width(label: str) -> float:
    return 30 + len(label) * _LEGEND_CHARACTER


def _legend(labels: Sequence[str], width: int) -> list[list[tuple[int, str]]]:
    """Put the labels into lines, each with its number."""
    lines: list[list[tuple[int, str]]] = [[]]
    used = 0.0
    for number, label in enumerate(labels):
        if used + _legend_width(label) > width - 24 and lines[-1]:
            lines.append([])
            used = 0.0
        lines[-1].append((number, label))
        used += _legend_width(label)
    return lines


def _paragraph(text: str, width: int, *, top: int = 24) -> str:
    """Draw text in lines that fit."""
    most = int((width - 24) / 6.4)
    lines, line = [], ""
    for word in text.replace("**", "").split():
        if line and len(line) + 1 + len(word) > most:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    lines.append(line)
    return "".join(
        f'<text x="12" y="{top + 18 * number}" fill="#16191f">{escape(each)}</text>'
        for number, each in enumerate(lines)
    )
