"""Supervises the background stages of a service: each death is logged, shown, and answered."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import Enum
from types import TracebackType
from typing import Any, NoReturn, Self

from footage.stream.errors import FootageError

log = logging.getLogger(__name__)

PAUSES = (1.0, 60.0)
"""Seconds before a stage that died is started again: the first time, and at most."""

Work = Callable[[], Coroutine[Any, Any, None]]
"""What a stage does, from its start to its end; called again for a restart."""


class StageFailed(FootageError):
    """A stage died that cannot be restarted, so the service must end."""


class StageState(Enum):
    """What a stage does: it runs, waits to be restarted or has been just now, or is dead for good."""

    RUNNING = "running"
    RESTARTING = "restarting"
    FAILED = "failed"


class Stage:
    """One background stage: a task, and what is known of its deaths.

    Attributes:
        name: what it does; several stages may have the same name.
        camera: the camera that it is about; empty for all.
        state: what it does now. After a restart it is ``RESTARTING`` until it has run as long as it had paused.
        since: when that began.
        error: why it died last, for people and without details; empty while it runs.
    """

    def __init__(self, name: str, camera: str = "") -> None:
        self.name, self.camera, self.error = name, camera, ""
        self.state, self.since = StageState.RUNNING, datetime.now(UTC)
        self.task: asyncio.Task[None]
        self._finishing = asyncio.Event()

    def __str__(self) -> str:
        return f"'{self.name}'" + (f" of camera '{self.camera}'" if self.camera else "")

    def change(self, state: StageState, error: str = "") -> None:
        """Note what it does from now on."""
        self.state, self.error, self.since = state, error, datetime.now(UTC)

    async def pause(self, seconds: float) -> None:
        """Wait before a restart, but not once it shall finish."""
        try:
            async with asyncio.timeout(seconds):
                await self._finishing.wait()
        except TimeoutError:
            return

    @property
    def finishing(self) -> bool:
        """Whether it was told to finish."""
        return self._finishing.is_set()

    async def finish(self, within: float) -> bool:
        """Wait until it has ended by itself; what is left of it then is cancelled.

        Returns:
            Whether it came to its end within so many seconds, and did not die.
        """
        self._finishing.set()
        done, _ = await asyncio.wait([self.task], timeout=within)
        await self.cancel()
        return bool(done) and self.state is not StageState.FAILED

    async def cancel(self) -> None:
        """Cancel it, and wait for its end."""
        self.task.cancel()
        await asyncio.wait([self.task])


class Supervisor:
    """Runs the background stages of a service while its ``async with`` block runs, then cancels them.

    A stage that raises is logged with its trace and shown by ``stages`` (and so by ``/readyz``, ``/api/cameras`` and
    the metrics). Then it is started again after a pause, which doubles from death to death; or, where what it held is
    lost with it, it stays dead, and ``wait_failed`` raises: the service leaves its blocks in order. Repeated deaths
    from the same cause are one line each. A stage that returns is done and is forgotten.

    Threads: none; everything happens in the event loop. The tasks belong to one ``TaskGroup``.

    Args:
        pauses: seconds before the first restart, and at most.

    Attributes:
        failures: how often stages have died, by name.
    """

    def __init__(self, pauses: tuple[float, float] = PAUSES) -> None:
        self.failures: Counter[str] = Counter()
        self._pauses = pauses
        self._group = asyncio.TaskGroup()
        self._stages: list[Stage] = []
        self._known: dict[str, None] = {}
        self._failed: asyncio.Future[StageFailed]

    async def __aenter__(self) -> Self:
        self._failed = asyncio.get_running_loop().create_future()
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stage in self._stages:
            stage.task.cancel()
        await self._group.__aexit__(None, None, None)

    def start(
        self,
        name: str,
        work: Work,
        *,
        camera: str = "",
        restart: bool = True,
        max_pause: float | None = None,
        on_failed: Callable[[str], None] = lambda _: None,
    ) -> Stage:
        """Run ``work`` as a stage.

        Args:
            camera: that it is about; empty for all.
            restart: start it again when it dies; else its death ends the service.
            max_pause: seconds before a restart at most, for a stage that cannot be away for long.
            on_failed: called with the cause when it is dead for good.
        """
        stage = Stage(name, camera)
        pauses = self._pauses if max_pause is None else (min(self._pauses[0], max_pause), max_pause)
        stage.task = self._group.create_task(self._run(stage, work, pauses if restart else None, on_failed), name=name)
        stage.task.add_done_callback(lambda _: self._forget(stage))
        self._stages.append(stage)
        self._known[name] = None
        return stage

    @asynccontextmanager
    async def running(self, **works: Work) -> AsyncIterator[None]:
        """Run stages, named by the keywords, that can be restarted while the block runs, then cancel them."""
        stages = [self.start(name, work) for name, work in works.items()]
        try:
            yield
        finally:
            for stage in stages:
                await stage.cancel()

    @property
    def stages(self) -> list[Stage]:
        """The stages that have not ended."""
        return list(self._stages)

    def health(self) -> dict[str, bool]:
        """Whether all stages of a name are well, by the name of every stage that was ever started."""
        unwell = {stage.name for stage in self._stages if stage.state is not StageState.RUNNING}
        return {name: name not in unwell for name in self._known}

    async def wait_failed(self) -> NoReturn:
        """Wait until a stage is dead for good.

        Raises:
            StageFailed: says which and why.
        """
        raise await asyncio.shield(self._failed)

    async def _run(
        self, stage: Stage, work: Work, pauses: tuple[float, float] | None, on_failed: Callable[[str], None]
    ) -> None:
        error = await (self._run_once(stage, work) if pauses is None else self._repeat(stage, work, pauses))
        if error is not None:
            self._fail(stage, error, on_failed)

    def _forget(self, stage: Stage) -> None:
        """Forget a stage that has ended, unless it is dead."""
        if stage.state is not StageState.FAILED:
            self._stages.remove(stage)

    async def _repeat(self, stage: Stage, work: Work, pauses: tuple[float, float]) -> BaseException | None:
        """Run it until it comes to its end; returns what ended it, when it died while it should finish."""
        loop, pause, told = asyncio.get_running_loop(), pauses[0], ""
        while True:
            started = loop.time()
            recovery = loop.call_later(pause, stage.change, StageState.RUNNING) if stage.error else None
            try:
                error = await self._run_once(stage, work)
            finally:
                if recovery:
                    recovery.cancel()
            if error is None or stage.finishing:
                return error
            if loop.time() - started > pauses[1]:
                pause = pauses[0]
            told = _log_death(stage, error, told, pause)
            stage.change(StageState.RESTARTING, _describe(error))
            await stage.pause(pause)
            pause = min(pauses[1], 2 * pause)

    async def _run_once(self, stage: Stage, work: Work) -> BaseException | None:
        """Run it once; returns what ended it before its end."""
        error = await _death(work)
        self.failures[stage.name] += error is not None
        return error

    def _fail(self, stage: Stage, error: BaseException, on_failed: Callable[[str], None]) -> None:
        log.error("the stage %s died and cannot be restarted", stage, exc_info=error)
        stage.change(StageState.FAILED, _describe(error))
        on_failed(stage.error)
        if not self._failed.done():
            text = f"the stage '{stage.name}' died ({_summary(error)}) and cannot be restarted; the log has its trace"
            self._failed.set_result(StageFailed(text))


async def _death(work: Work) -> BaseException | None:
    """What ended ``work`` before its end; None when it came to its end."""
    try:
        await work()
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        return error  # something that it awaited was cancelled by others
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        return error
    return None


def _log_death(stage: Stage, error: BaseException, told: str, pause: float) -> str:
    """Log a death, with its trace unless that was logged for the death before; returns what was logged."""
    text = _summary(error)
    if text == told and stage.error:
        log.error("the stage %s died again (%s); it is started again in %.3g s", stage, text, pause)
    else:
        log.error("the stage %s died; it is started again in %.3g s", stage, pause, exc_info=error)
    return text


def _summary(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _describe(error: BaseException) -> str:
    """Why a stage died, for whoever asks over HTTP: what an unknown error holds stays in the log."""
    return f"{type(error).__name__}; see the service's log"
