"""Answers a question from an index and prints the answer, for ``footage search`` and ``footage demo``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from footage.commands.composition import SearchServices
from footage.commands.errors import UsageError
from footage.commands.output import local_time, position, print_columns
from footage.query.http.schemas import AnswerOut, MomentOut
from footage.query.search.question import Question
from footage.query.values.names import describe_unknown
from footage.stream.frame import Kind, Media

MAX_GAPS = 5
"""Gaps that are described one by one."""


async def answer_question(services: SearchServices, question: Question) -> tuple[AnswerOut, dict[str, Media]]:
    """The answer, and the media that shows the best frame of each moment, by the moment's id.

    Raises:
        UsageError: there is no such camera.
    """
    known = {c.camera for c in await services.catalog.cameras()}
    requested = (*question.cameras, *question.postprocessing.then_cameras)
    if message := describe_unknown("camera", requested, known):
        raise UsageError(message)
    found = await services.engine.search(question)
    moments = [*found.moments, *(m for pair in found.pairs for m in (pair.first, pair.then))]
    entries = await services.catalog.media([m.media for m in moments])
    media = {MomentOut.of(m).id: entries[m.media].media for m in moments if m.media in entries}
    return AnswerOut.of(question, found), media


def print_moments(answer: AnswerOut, media: Mapping[str, Media]) -> None:
    """Print moments on standard output, one a line, in columns.

    Args:
        media: by moment, the media that shows its best frame, to tell the position in the file.
    """
    folded = any(m.count > 1 for m in answer.moments)
    rows = [("score", "camera", "start", "length", *(["times"] if folded else []), "in the file", "moment")]
    for m in answer.moments:
        times = [str(m.count)] if folded else []
        place = file_position(m, media.get(m.id))
        rows.append((f"{m.score:.2f}", m.camera, local_time(m.start), moment_length(m), *times, place, m.id))
    print_columns(rows)


def print_pairs(answer: AnswerOut, media: Mapping[str, Media]) -> None:
    """Print pairs of moments on standard output, two lines each; the arguments are those of ``print_moments``."""
    rows = [("score", "gap", "clocks", "camera", "start", "length", "in the file", "moment")]
    for pair in answer.pairs:
        cells = (f"{pair.score:.2f}", f"{pair.gap:.1f} s", pair.clocks)
        for m, lead in ((pair.first, cells), (pair.then, ("", "", ""))):
            place = file_position(m, media.get(m.id))
            rows.append((*lead, m.camera, local_time(m.start), moment_length(m), place, m.id))
    print_columns(rows)


def moment_length(m: MomentOut) -> str:
    """How long a moment lasts; that of a photograph is none."""
    seconds = (m.end - m.start).total_seconds()
    return f"{seconds:.1f} s" if seconds else "picture"


def file_position(m: MomentOut, media: Media | None) -> str:
    """File and position of a moment: ``bikes.mp4 0:03-0:08``; empty for footage that the recorder keeps."""
    if media is None or media.kind not in (Kind.VIDEO, Kind.PHOTO):
        return ""
    name = Path(media.path).name + ("" if Path(media.path).exists() else " (gone)")
    if not media.duration:
        return name
    start, end = ((t - media.start).total_seconds() for t in (m.start, m.end))
    return f"{name} {position(start)}-{position(end)}"


def describe_no_match(answer: AnswerOut) -> str:
    """One sentence for an empty answer, with its nearest miss."""
    if not answer.near_misses:
        return "nothing found"
    near = answer.near_misses[0]
    nearest = f"camera {near.camera} at {local_time(near.best.time)} (score {near.score:.2f}), moment {near.id}"
    return f"nothing found; nearest was {nearest}"


def describe_gaps(answer: AnswerOut) -> list[str]:
    """Sentences on when the searched cameras were not watched, or by a wrong clock, and why; the latest five."""
    lines = [
        f"camera {c.camera} was {'not watched' if c.state == 'gap' else 'watched'} from {local_time(c.start)} to "
        f"{local_time(c.end)}{':' if c.state == 'gap' else ''} {c.cause}"
        for c in answer.coverage
        if c.state == "gap" or c.cause
    ]
    more = len(lines) - MAX_GAPS
    return [*lines[-MAX_GAPS:], f"and {more} earlier gaps"] if more > 0 else lines
