"""Curves through few points: what a search knows, and where it looks next."""

from __future__ import annotations

from bisect import bisect_left


class Curve:
    """A rising curve over the qualities 0 … 100: linear between the points added, and beyond them as steep as
    between the last two, but at least a third of ``slope``; as steep as ``slope`` where there is only one."""

    def __init__(self, slope: float) -> None:
        self._slope = slope
        self._points: dict[int, float] = {}

    def __contains__(self, quality: int) -> bool:
        return quality in self._points

    def add(self, quality: int, value: float) -> None:
        """Add a point."""
        self._points[quality] = value

    def _piece(self, x: list[int], right: int) -> tuple[int, float]:
        """The piece that ends at point ``right`` of ``x``: a point of it, and its slope."""
        if len(x) == 1:
            return x[0], self._slope
        b = min(max(right, 1), len(x) - 1)
        rise = (self._points[x[b]] - self._points[x[b - 1]]) / (x[b] - x[b - 1])
        inside = b == right
        return x[min(max(right - 1, 0), b)], max(rise, self._slope / (100.0 if inside else 3.0))

    def at(self, quality: float) -> float:
        """The value at a quality."""
        x = sorted(self._points)
        origin, slope = self._piece(x, bisect_left(x, quality))
        return self._points[origin] + slope * (quality - origin)

    def where(self, value: float) -> float:
        """The quality 0 … 100 of a value."""
        x = sorted(self._points)
        above = next((i for i, q in enumerate(x) if self._points[q] >= value), len(x))
        origin, slope = self._piece(x, above)
        return min(max(origin + (value - self._points[origin]) / slope, 0.0), 100.0)


def crossing(
    points: dict[float, float], value: float, slope: float, bounds: tuple[float, float]
) -> tuple[float, float]:
    """Where a falling line through ``points`` (x to y) takes ``value``, and how steeply it falls there.

    Between two points it is interpolated, but never close to either, as in a safe secant method. Beyond them the
    slope of the nearest two counts, within ``bounds``; with one point ``slope`` does.
    """
    x = sorted(points)
    left = max((p for p in x if points[p] >= value), default=None)
    right = min((p for p in x if points[p] < value), default=None)
    if left is not None and right is not None and left < right:
        fall = (points[left] - points[right]) / (right - left)
        share = (points[left] - value) / (points[left] - points[right])
        return left + min(max(share, 0.1), 0.9) * (right - left), min(max(fall, bounds[0]), bounds[1])
    nearest = sorted(x, key=lambda p: abs(points[p] - value))[:2]
    if len(nearest) == 2:
        a, b = nearest
        slope = min(max(-(points[a] - points[b]) / (a - b), bounds[0]), bounds[1])
    return nearest[0] + (points[nearest[0]] - value) / slope, slope
