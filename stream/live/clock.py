"""Converts a live stream's time stamps to UTC, by RTCP sender reports where plausible, else by arrival."""

from __future__ import annotations

from collections import deque

from footage.stream.frame import Clock

WINDOW = 30  # seconds of observations that the line is fitted to
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


class MinimumDelayFit:
    """Fits the line below a cloud of points (timestamp, delay) and nearest to it: the minimum delay of a network.

    Every observation is later than the truth by a delay that varies but is never negative. So the truth is the edge
    of the cloud's lower convex hull; which edge decides the place whose trend counts. Moon, Skelly and Towsley,
    "Estimation and removal of clock skew from network delay measurements", INFOCOM 1999.
    """

    def __init__(self) -> None:
        self._bins: deque[tuple[float, float, float]] = deque()  # arrival that began the bin, timestamp, delay

    def add(self, timestamp: float, utc: float, arrival: float) -> None:
        """Add an observation: at ``arrival``, ``timestamp`` was reported or observed to be ``utc``; all in seconds."""
        delay = utc - timestamp
        if self._bins and 0 <= arrival - self._bins[-1][0] < BIN_SECONDS:
            if delay < self._bins[-1][2]:
                self._bins[-1] = (self._bins[-1][0], timestamp, delay)
        else:
            self._bins.append((arrival, timestamp, delay))
            while arrival - self._bins[0][0] > WINDOW:
                self._bins.popleft()

    def fit(self, timestamp: float) -> tuple[float, float] | None:
        """UTC of ``timestamp`` and real seconds per stamped second; None without an observation."""
        if not self._bins:
            return None
        points = sorted((s, d) for _, s, d in self._bins)
        if self._bins[-1][0] - self._bins[0][0] < MIN_OBSERVED or points[-1][0] - points[0][0] < MIN_TIMESTAMP_SPAN:
            return timestamp + min(d for _, d in points), 1.0
        (x0, y0), (x1, y1) = _edge(_lower_hull(points))
        slope = (y1 - y0) / (x1 - x0)
        rate = min(max(1.0 + slope, RATE_LIMITS[0]), RATE_LIMITS[1])
        return timestamp + y0 + (rate - 1.0) * (timestamp - x0), rate


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
        if self._line is not None and not 0 <= arrival - self._checked < BIN_SECONDS:
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


def _lower_hull(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The lower convex hull of points in order of x (Andrew's monotone chain)."""
    hull: list[tuple[float, float]] = []
    for x, y in points:
        if hull and hull[-1][0] == x:
            continue  # in order, so this one is above
        while len(hull) > 1 and _turns_down(hull[-2], hull[-1], (x, y)):
            hull.pop()
        hull.append((x, y))
    return hull


def _turns_down(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) <= (b[1] - a[1]) * (c[0] - a[0])


def _edge(hull: list[tuple[float, float]]) -> tuple[tuple[float, float], tuple[float, float]]:
    place = hull[0][0] + EDGE_POSITION * (hull[-1][0] - hull[0][0])
    i = next(i for i in range(1, len(hull)) if hull[i][0] >= place)
    return hull[i - 1], hull[i]
