"""Scans codes for the rows nearest to questions, and ranks these again with their exact vectors.

Questions that wait at the same time share one pass: a block of codes is brought into the cache once and compared with
each of them. The products of int8 codes come from SimSIMD, which uses what the processor has for them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from math import inf
from typing import NamedTuple, TypeVar

import numpy as np
import simsimd
from numpy.typing import NDArray

from footage.indexer.embed.base import Vectors
from footage.indexer.store.base import Vector
from footage.indexer.store.column.codes import Codes, quantize
from footage.indexer.store.column.column import Column, Snapshot
from footage.indexer.store.column.run_file import ColumnDamaged
from footage.indexer.store.column.slices import (
    Filter,
    Picked,
    Range,
    Segment,
    pick,
    places,
    ranges_of_places,
    read_rows,
)
from footage.indexer.store.row_arrays import RowArrays
from footage.stream.processors import available_processors

log = logging.getLogger(__name__)

T = TypeVar("T")

BLOCK_ROWS = 16_384
"""Rows that are compared at once; 8 MB of codes, which stay in the processor's cache for the next question. Smaller
ones save a twentieth for several questions, but after each block a thread must wait for the interpreter again."""
MIN_EXTRA = 64
"""Candidates beyond ``k`` that are ranked again: as many as ``k``, and at least this many (decision 0032)."""
CODE_ERROR = 0.02
"""By how much the score of a code may be wrong: six to ten standard deviations, which are 0.002 to 0.003."""
MIN_BLOCKS = 4
"""Blocks from which on another thread takes its share: a millisecond of comparing."""
LARGE_RANGE = 1024
"""Rows from which on a range is compared where it lies; smaller ones are copied together first."""


class Ranked(NamedTuple):
    """Rows without vectors, best first, their exact scores, and from when on the column has records (None: all)."""

    rows: RowArrays
    scores: NDArray[np.float32]
    since: int | None


@dataclass(slots=True)
class _Job:
    """A question that waits."""

    vector: Vector
    k: int
    wanted: Filter
    least: float
    future: Future[Ranked | None]
    picked: Picked = field(default_factory=list)
    since: int | None = None


class Scanner:
    """Reads the column in threads of its own; any thread may ask.

    One thread takes all questions that wait, and shares out their blocks among one thread for each processor. Every
    method returns a future, of None where the table must answer.
    """

    def __init__(self, column: Column, threads: int = 0) -> None:
        self._column = column
        self._threads = threads or available_processors()
        self._leader = ThreadPoolExecutor(1, thread_name_prefix="scan")
        self._workers = ThreadPoolExecutor(self._threads, thread_name_prefix="scan-part")
        self._waiting: list[_Job] = []
        self._turn = threading.Lock()

    def nearest(self, vector: Vector, k: int, wanted: Filter, least: float = -inf) -> Future[Ranked | None]:
        """Find the ``k`` rows nearest to a unit vector; of equal scores the first by time, camera and region.

        Rows that score less than ``least`` are left out.
        """
        job = _Job(vector, k, wanted, least, Future())
        with self._turn:
            self._waiting.append(job)
        self._leader.submit(self._work)
        return job.future

    def read(self, work: Callable[[Snapshot], T]) -> Future[T | None]:
        """Read something from the rows as they are now."""
        return self._workers.submit(self._guard, lambda: self._read(work))

    def close(self) -> None:
        """Answer the questions that wait, and end the threads."""
        self._leader.shutdown()
        self._workers.shutdown()

    def _read(self, work: Callable[[Snapshot], T]) -> T | None:
        snapshot = self._column.snapshot()
        return None if snapshot is None else work(snapshot)

    def _guard(self, work: Callable[[], T]) -> T | None:
        """Run something that reads the column; what is wrong with its files is not the question's concern."""
        try:
            return work()
        except (ColumnDamaged, OSError) as error:
            log.warning("the scan column in %s is damaged, and will be made again: %s", self._column.folder, error)
            self._column.distrust()
            return None

    def _work(self) -> None:
        with self._turn:
            waiting, self._waiting = self._waiting, []
        jobs = [job for job in waiting if job.future.set_running_or_notify_cancel()]
        if not jobs:
            return
        try:
            candidates = self._guard(lambda: self._read(lambda snapshot: self._scan(jobs, snapshot)))
        except BaseException as error:
            for job in jobs:
                job.future.set_exception(error)
            return
        for number, job in enumerate(jobs):
            if candidates is None:
                job.future.set_result(None)
            elif number < len(jobs) - 1:
                self._workers.submit(self._finish, job, candidates[number])
            else:  # a hand-over to another thread costs more than most of these take
                self._finish(job, candidates[number])

    def _finish(self, job: _Job, candidates: Picked) -> None:
        """Rank candidates with their exact vectors, and answer."""
        try:
            job.future.set_result(self._guard(lambda: _rank(job, candidates)))
        except BaseException as error:
            job.future.set_exception(error)

    def _scan(self, jobs: Sequence[_Job], snapshot: Snapshot) -> list[Picked]:
        """Find the candidates of each question."""
        picked = {job.wanted: pick(snapshot.segments, job.wanted) for job in jobs}
        for job in jobs:
            job.picked, job.since = picked[job.wanted], snapshot.since
        codes, _ = quantize(np.stack([job.vector for job in jobs]))
        wants = [job.k + max(job.k, MIN_EXTRA) for job in jobs]
        blocks = _blocks(jobs)
        threads = max(1, min(self._threads, len(blocks) // MIN_BLOCKS))
        shares = [blocks[i::threads] for i in range(threads)] if blocks else []
        others = [self._workers.submit(_scan_blocks, share, codes, wants) for share in shares[1:]]
        parts = [_scan_blocks(shares[0], codes, wants), *(other.result() for other in others)] if shares else []
        return [_best([part[i] for part in parts], wants[i], jobs[i].least - CODE_ERROR) for i in range(len(jobs))]


ScoredRows = list[tuple[Segment, NDArray[np.intp], NDArray[np.float32]]]
"""Segments with places of rows and their scores."""


@dataclass(slots=True)
class _Block:
    """Rows of a segment that are compared at once, and the numbers of the questions that ask for them."""

    segment: Segment
    ranges: list[Range]
    jobs: list[int]

    def load(self) -> tuple[Codes, NDArray[np.float32], NDArray[np.intp] | int]:
        """Return codes, scales, and the places of the rows, or the first of them where they are in a row."""
        if len(self.ranges) == 1:
            first, last = self.ranges[0]
            return self.segment.codes(first, last), self.segment.scale[first:last], first
        at = places(self.ranges)
        codes = np.concatenate([self.segment.codes(first, last) for first, last in self.ranges])
        return codes, self.segment.scale[at], at


def _blocks(jobs: Sequence[_Job]) -> list[_Block]:
    """Cut what the questions ask for into blocks; questions about the same rows share them."""
    shared: dict[tuple[int, tuple[Range, ...]], tuple[Segment, list[int]]] = {}
    for number, job in enumerate(jobs):
        for segment, ranges in job.picked:
            shared.setdefault((id(segment), tuple(ranges)), (segment, []))[1].append(number)
    return [_Block(s, part, asked) for (_, ranges), (s, asked) in shared.items() for part in _parts(ranges)]


def _parts(ranges: Sequence[Range]) -> list[list[Range]]:
    """Cut large ranges, and put small ones together, to about ``BLOCK_ROWS`` rows each."""
    parts: list[list[Range]] = []
    small: list[Range] = []
    rows = 0
    for first, last in ranges:
        if last - first >= LARGE_RANGE:
            parts += [[(low, min(low + BLOCK_ROWS, last))] for low in range(first, last, BLOCK_ROWS)]
            continue
        small.append((first, last))
        rows += last - first
        if rows >= BLOCK_ROWS:
            parts.append(small)
            small, rows = [], 0
    return [*parts, small] if small else parts


def _scan_blocks(blocks: Sequence[_Block], questions: Codes, wants: Sequence[int]) -> list[_Top]:
    """Compare blocks with the questions; return the best rows of each."""
    tops = [_Top(want) for want in wants]
    for block in blocks:
        codes, scale, at = block.load()
        asked = np.ascontiguousarray(questions[block.jobs])
        products = np.asarray(simsimd.cdist(asked, codes, metric="dot", out_dtype="float32"))
        products = products.reshape(len(asked), len(codes)) * scale
        for number, scores in zip(block.jobs, products, strict=True):
            tops[number].add(block.segment, scores, at)
    return tops


class _Top:
    """The best rows of one question, kept while blocks pass."""

    def __init__(self, want: int) -> None:
        self._want, self._count, self._least = want, 0, -np.inf
        self._parts: ScoredRows = []

    def add(self, segment: Segment, scores: NDArray[np.float32], at: NDArray[np.intp] | int) -> None:
        """Add the rows of a block."""
        better = np.flatnonzero(scores > self._least) if self._count >= self._want else np.arange(len(scores))
        if not len(better):
            return
        found = scores[better]
        if len(better) > self._want:
            kept = np.argpartition(found, -self._want)[-self._want :]
            better, found = better[kept], found[kept]
        self._parts.append((segment, better + at if isinstance(at, int) else at[better], found))
        self._count += len(better)
        if self._count >= 4 * self._want or self._least == -np.inf:
            self._shrink()

    def found(self) -> ScoredRows:
        """Return the rows; some more than were asked for."""
        return self._parts

    def _shrink(self) -> None:
        if self._count < self._want:
            return
        scores = np.concatenate([part[2] for part in self._parts])
        self._least = float(np.partition(scores, -self._want)[-self._want])
        kept = [(segment, at[s >= self._least], s[s >= self._least]) for segment, at, s in self._parts]
        self._parts = [part for part in kept if len(part[1])]
        self._count = sum(len(part[1]) for part in self._parts)


def _best(tops: Sequence[_Top], want: int, floor: float) -> Picked:
    """Return the best rows of all threads, of those that score at least ``floor``, as ranges, by segment."""
    parts = [part for top in tops for part in top.found()]
    if not parts:
        return []
    scores = np.concatenate([part[2] for part in parts])
    least = max(floor, float(np.partition(scores, -want)[-want])) if len(scores) > want else floor
    rows: dict[int, tuple[Segment, list[NDArray[np.intp]]]] = {}
    for segment, at, found in parts:
        rows.setdefault(id(segment), (segment, []))[1].append(at[found >= least])
    best = [(segment, np.sort(np.concatenate(at))) for segment, at in rows.values()]
    return [(segment, ranges_of_places(at)) for segment, at in best if len(at)]


def _rank(job: _Job, candidates: Picked) -> Ranked:
    rows = read_rows(candidates, len(job.vector))
    scores = exact_scores(rows.vectors, job.vector)
    order = rows.time_order()
    order = order[np.argsort(-scores[order], kind="stable")][: job.k]
    order = order[scores[order] >= job.least]
    keys = replace(rows, vectors=rows.vectors[:, :0])
    return Ranked(keys.take(order), scores[order], job.since)


def exact_scores(vectors: Vectors, vector: Vector) -> NDArray[np.float32]:
    """Return the inner product of each row with a vector; equal rows have equal scores, wherever they stand."""
    return np.asarray(np.einsum("ij,j->i", vectors, vector), np.float32)
