"""A live stream's time stamps to UTC, from sender reports where they are sane, else from arrival."""

from __future__ import annotations

from collections import deque

from footage.stream.frame import Clock

WINDOW = 30  # seconds of observations that a line is laid under
BIN = 1.0  # seconds of which the least delayed observation is kept
TREND = 3.0  # seconds of observations from which a rate can be told
SPAN = 1.0  # seconds of stamps likewise: what comes in bursts says nothing between them
PLACE = 0.75  # of the window: the line follows its newer part, so that a change of rate is noticed soon
RATES = (0.1, 10.0)  # real seconds that pass for a stamped one, at least and at most
SANE = 2.0  # seconds; a camera's clock that differs more from arrival is not believed
SETTLE = 5.0  # seconds in which an error is worked off
SLEW = 0.2  # at most this much faster or slower while it is
STEP = 5.0  # seconds; what is further off is not worked off: a new timeline must begin
LEAST = 1e-3  # seconds between two connections' times


class Floor:
    """The line below a cloud of points (stamp, delay) and nearest to it: the least delayed way through a network.

    Every observation is later than the truth by a delay that varies but is never negative. So the truth is the edge
    of the cloud's lower convex hull; which edge decides the place whose trend counts. Moon, Skelly and Towsley,
    "Estimation and removal of clock skew from network delay measurements", INFOCOM 1999.
    """

    def __init__(self) -> None:
        self._bins: deque[tuple[float, float, float]] = deque()  # arrival that began the bin, stamp, delay

    def add(self, stamp: float, utc: float, arrival: float) -> None:
        """Take an observation: at ``arrival``, ``stamp`` was said or found to be ``utc``; all in seconds."""
        delay = utc - stamp
        if self._bins and 0 <= arrival - self._bins[-1][0] < BIN:
            if delay < self._bins[-1][2]:
                self._bins[-1] = (self._bins[-1][0], stamp, delay)
        else:
            self._bins.append((arrival, stamp, delay))
            while arrival - self._bins[0][0] > WINDOW:
                self._bins.popleft()

    def line(self, stamp: float) -> tuple[float, float] | None:
        """UTC of ``stamp`` and real seconds for each stamped one; None without an observation."""
        if not self._bins:
            return None
        points = sorted((s, d) for _, s, d in self._bins)
        if self._bins[-1][0] - self._bins[0][0] < TREND or points[-1][0] - points[0][0] < SPAN:
            return stamp + min(d for _, d in points), 1.0
        (x0, y0), (x1, y1) = _edge(_lower_hull(points))
        slope = (y1 - y0) / (x1 - x0)
        rate = min(max(1.0 + slope, RATES[0]), RATES[1])
        return stamp + y0 + (rate - 1.0) * (stamp - x0), rate


class LiveClock:
    """UTC of one timeline's stamps; what it gives rises with them, without steps. Used by one thread.

    Attributes:
        clock: where times come from now.
        skew: seconds that the sender's clock is ahead of arrival; None until it has said so.
        rate: real seconds for each stamped second.
        jumped: true when the time is so far off that a new timeline must begin.
    """

    def __init__(self, floor: float | None = None) -> None:
        """Args:
        floor: UTC seconds that every time must be above: the last one given for this camera.
        """
        self._floor = floor
        self._arrivals = Floor()
        self._sender = Floor()
        self._line: tuple[float, float, float] | None = None  # stamp, its UTC, seconds a stamped second
        self._latest = float("-inf")
        self._checked = float("-inf")
        self.clock = Clock.ARRIVAL
        self.skew: float | None = None
        self.rate = 1.0
        self.jumped = False

    def observe(self, stamp: float, arrival: float, sender: float | None = None) -> None:
        """Take what is known of a packet.

        Args:
            stamp: its time stamp.
            arrival: UTC at which it came.
            sender: UTC at which its sender says that it was taken.
        """
        self._arrivals.add(stamp, arrival, arrival)
        if sender is not None:
            self._sender.add(stamp, sender, arrival)
        self._latest = max(self._latest, stamp)
        if self._line is not None and not 0 <= arrival - self._checked < BIN:
            self._checked = arrival
            self._steer(self._line)

    def time(self, stamp: float) -> float:
        """UTC of a stamp, in seconds; the first call fixes where the timeline begins.

        Raises:
            ValueError: nothing has been observed yet.
        """
        if self._line is None:
            utc = self._target(stamp)
            if self._floor is not None:
                utc = max(utc, self._floor + LEAST)
            self._line = (stamp, utc, self.rate)
        begin, utc, rate = self._line
        return utc + (stamp - begin) * rate

    def _steer(self, line: tuple[float, float, float]) -> None:
        """Bend the line at its newest stamp, so that it meets what is known some seconds later."""
        begin, utc, rate = line
        now = utc + (self._latest - begin) * rate
        error = self._target(self._latest) - now
        self.jumped = error > STEP
        correction = min(max(error / SETTLE, -SLEW), SLEW)
        self._line = (self._latest, now, self.rate * (1 + correction))

    def _target(self, stamp: float) -> float:
        """The best known UTC of a stamp; sets ``clock``, ``skew`` and ``rate``."""
        arrival = self._arrivals.line(stamp)
        if arrival is None:
            raise ValueError("no packet has been observed")
        sender = self._sender.line(stamp)
        self.skew = None if sender is None else sender[0] - arrival[0]
        if sender is not None and self.skew is not None and abs(self.skew) <= SANE:
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
    place = hull[0][0] + PLACE * (hull[-1][0] - hull[0][0])
    i = next(i for i in range(1, len(hull)) if hull[i][0] >= place)
    return hull[i - 1], hull[i]
