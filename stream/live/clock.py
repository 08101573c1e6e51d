"""Converts a live stream's time stamps to UTC, by RTCP sender reports where plausible, else by arrival."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

from footage.stream.frame import Clock

FIT_WINDOW = 30  # seconds of observations that the line is fitted to
BIN_SECONDS = 1.0  # seconds of which the least delayed observation is kept
MIN_OBSERVED = 3.0  # seconds of observations needed to estimate a rate
MIN_TIMESTAMP_SPAN = 1.0  # seconds of time stamps needed for it, too: a burst of packets tells nothing about the rate
EDGE_POSITION = 0.75  # of the window: the line follows its newer part, so that a change of rate is noticed soon
RATE_LIMITS = (0.1, 10.0)  # real seconds that pass for a stamped one, at least and at most
MAX_SKEW = 2.0  # seconds; a camera's clock that differs more from arrival is not used
CORRECTION_SECONDS = 5.0  # seconds in which an error is corrected
MAX_SLEW = 0.2  # at most this much faster or slower during the correction
MAX_STEP = 5.0  # seconds; a larger error is not corrected: a new timeline must begin
MAX_STEP_BACK = 120.0  # seconds; after a larger step back of this machine's clock, times run back, too
MIN_SEPARATION = 1e-3  # seconds between two connections' times
MAX_JITTER = 0.5  # seconds by which observations may lie off a trend,
TREND_SCATTER = 0.3  # or as a part of what it rises
TREND_POINTS = 4  # observations that make a trend

Point: TypeAlias = tuple[float, float]  # timestamp, delay


class MinimumDelayFit:
    """Fits the line below a cloud of points (timestamp, delay) and nearest to it: the minimum delay of a network.

    Every observation is later than the truth by a delay that varies but is never negative. So the truth is the edge
    of the cloud's lower convex hull; which edge decides the place whose trend counts. Moon, Skelly and Towsley,
    "Estimation and removal of clock skew from network delay measurements", INFOCOM 1999.

    The newest second counts in a trend once it is over: its first packets may have waited while this process, or the
    network, was held up, and they come just before those that show it.
    """

    def __init__(self) -> None:
        self._bins: deque[tuple[float, float, float]] = deque()  # arrival that began the bin, timestamp, delay
        self._newest = (float("-inf"), 0.0)  # timestamp, delay

    def add(self, timestamp: float, utc: float, arrival: float) -> None:
        """Add an observation: at ``arrival``, ``timestamp`` was reported or observed to be ``utc``; all in seconds."""
        delay = utc - timestamp
        self._newest = max(self._newest, (timestamp, delay))
        if self._bins and abs(arrival - self._bins[-1][0]) < BIN_SECONDS:
            if delay < self._bins[-1][2]:
                self._bins[-1] = (self._bins[-1][0], timestamp, delay)
        else:
            self._bins.append((arrival, timestamp, delay))
            while arrival - self._bins[0][0] > FIT_WINDOW:
                self._bins.popleft()

    def fit(self, timestamp: float) -> tuple[float, float] | None:
        """UTC of ``timestamp`` and real seconds per stamped second; None without an observation."""
        if not self._bins:
            return None
        over = list(self._bins)[:-1]
        points = sorted((s, d) for _, s, d in over)
        if not over or over[-1][0] - over[0][0] < MIN_OBSERVED or points[-1][0] - points[0][0] < MIN_TIMESTAMP_SPAN:
            return timestamp + min(d for _, _, d in self._bins), 1.0
        first, last = _edge(_lower_hull(points))
        if _is_trend(points, first, last):
            rate = min(max(1.0 + (last[1] - first[1]) / (last[0] - first[0]), RATE_LIMITS[0]), RATE_LIMITS[1])
            delay = first[1] + (rate - 1.0) * (timestamp - first[0])
        else:
            rate, delay = 1.0, min(d for s, d in points if s >= points[-1][0] - MIN_OBSERVED)
        if timestamp >= self._newest[0]:
            delay = min(delay, self._newest[1])  # it was observed, so the truth is no later
        return timestamp + delay, rate


def is_new_timeline(step: float) -> bool:
    """Whether a clock of this machine that was set, by so many seconds, ends the timeline; else it is worked off."""
    return not -MAX_STEP_BACK <= step <= MAX_STEP


class LiveClock:
    """Gives the UTC of one timeline's time stamps; it rises with them, without steps. Used by one thread.

    A new timeline is needed where the clock of this machine was set (``is_new_timeline``), or where ``jumped`` says so.

    Attributes:
        clock: where times come from at present.
        skew: seconds by which the sender's clock is ahead of arrival; None before its first report.
        rate: real seconds for each stamped second.
        jumped: whether the time is so far off that a new timeline must begin.
    """

    def __init__(self, after: float | None = None) -> None:
        """Args:
        after: UTC seconds that every time must be above: the last one given for this camera. One that is more
            than ``MAX_STEP_BACK`` ahead was given by a clock that was wrong, and does not count.
        """
        self._after = after
        self._arrivals = MinimumDelayFit()
        self._sender = MinimumDelayFit()
        self._line: tuple[float, float, float] | None = None  # timestamp, its UTC, real seconds per stamped second
        self._latest = float("-inf")
        self._checked = float("-inf")
        self.clock = Clock.ARRIVAL
        self.skew: float | None = None
        self.rate = 1.0
        self.jumped = False

    def observe(self, timestamp: float, arrival: float, sender: float | None = None) -> None:
        """Add an observed packet.

        Args:
            timestamp: its time stamp.
            arrival: UTC seconds at which it arrived.
            sender: UTC seconds at which its sender says that it was taken.
        """
        self._arrivals.add(timestamp, arrival, arrival)
        if sender is not None:
            self._sender.add(timestamp, sender, arrival)
        self._latest = max(self._latest, timestamp)
        if self._line is not None and self._is_due(self._line, arrival):
            self._checked = arrival
            self._correct(self._line)

    def time(self, timestamp: float) -> float:
        """UTC of a time stamp, in seconds; the first call fixes where the timeline begins.

        Raises:
            ValueError: nothing has been observed yet.
        """
        if self._line is None:
            utc = self._target(timestamp)
            if self._after is not None and self._after - utc <= MAX_STEP_BACK:
                utc = max(utc, self._after + MIN_SEPARATION)
            self._line = (timestamp, utc, self.rate)
        begin, utc, rate = self._line
        return utc + (timestamp - begin) * rate

    def _is_due(self, line: tuple[float, float, float], arrival: float) -> bool:
        """Whether a second has passed since the last correction, or a second of time stamps has come at once."""
        return abs(arrival - self._checked) >= BIN_SECONDS or self._latest - line[0] >= BIN_SECONDS

    def _correct(self, line: tuple[float, float, float]) -> None:
        """Bend the line at its newest time stamp, so that it meets the best known UTC some seconds later."""
        begin, utc, rate = line
        now = utc + (self._latest - begin) * rate
        error = self._target(self._latest) - now
        self.jumped = error > MAX_STEP
        correction = min(max(error / CORRECTION_SECONDS, -MAX_SLEW), MAX_SLEW)
        self._line = (self._latest, now, self.rate * (1 + correction))

    def _target(self, timestamp: float) -> float:
        """The best known UTC of a time stamp; sets ``clock``, ``skew`` and ``rate``."""
        arrival = self._arrivals.fit(timestamp)
        if arrival is None:
            raise ValueError("no packet has been observed")
        sender = self._sender.fit(timestamp)
        self.skew = None if sender is None else sender[0] - arrival[0]
        if sender is not None and self.skew is not None and abs(self.skew) <= MAX_SKEW:
            self.clock, (utc, self.rate) = Clock.RTCP, sender
        else:
            self.clock, (utc, self.rate) = Clock.ARRIVAL, arrival
        return utc


def _lower_hull(points: list[Point]) -> list[Point]:
    """The lower convex hull of points in order of x (Andrew's monotone chain)."""
    hull: list[Point] = []
    for x, y in points:
        if hull and hull[-1][0] == x:
            continue  # in order, so this one is above
        while len(hull) > 1 and _turns_down(hull[-2], hull[-1], (x, y)):
            hull.pop()
        hull.append((x, y))
    return hull


def _turns_down(a: Point, b: Point, c: Point) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) <= (b[1] - a[1]) * (c[0] - a[0])


def _is_trend(points: list[Point], first: Point, last: Point) -> bool:
    """Whether the points between two lie near their line; else delay rose or fell at once, as when a reader waited."""
    rise = last[1] - first[1]
    slope, most = rise / (last[0] - first[0]), max(MAX_JITTER, TREND_SCATTER * abs(rise))
    off = [abs(d - first[1] - slope * (s - first[0])) for s, d in points if first[0] <= s <= last[0]]
    return len(off) >= TREND_POINTS and max(off) <= most


def _edge(hull: list[Point]) -> tuple[Point, Point]:
    """The edge whose trend counts; several as one where it is short."""
    place = hull[0][0] + EDGE_POSITION * (hull[-1][0] - hull[0][0])
    last = next(i for i in range(1, len(hull)) if hull[i][0] >= place)
    first = next((i for i in reversed(range(last)) if hull[last][0] - hull[i][0] >= MIN_OBSERVED), 0)
    return hull[first], hull[last]
