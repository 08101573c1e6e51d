"""``footage status``: shows what is indexed of each camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

from footage.commands.errors import print_message, reports_errors
from footage.commands.options import Config, Data, JsonOption, resolve_settings, warn_about_cameras
from footage.commands.output import describe_load, format_size, local_time, print_columns

if TYPE_CHECKING:
    from footage.config.settings import Settings
    from footage.query.http.schemas import CameraOut, CamerasOut


@reports_errors
async def status(as_json: JsonOption = False, data: Data = None, config: Config = None) -> None:
    """Show what is indexed of each camera."""
    settings = resolve_settings(config, data=data)
    warn_about_cameras(settings)
    from footage.commands.composition import recordings_folder
    from footage.indexer.disk import find_full_folder
    from footage.indexer.store.errors import StoreDamaged
    from footage.query.http.schemas import CamerasOut

    try:
        cameras, model = await _read_cameras(settings)
    except StoreDamaged as error:
        cameras, model = CamerasOut(cameras=[], problem=str(error)), ""
    if not cameras.problem:
        folders = dict.fromkeys((settings.data, recordings_folder(settings)))
        cameras = cameras.model_copy(update={"problem": find_full_folder(tuple(folders))})
    if as_json:
        print(cameras.model_dump_json(indent=2))
        return
    _print_cameras(cameras)
    used = sum(p.stat().st_size for p in settings.data.rglob("*") if p.is_file()) if settings.data.exists() else 0
    print_message(
        f"index {settings.data}, {format_size(used)}, model {model or ('not known' if cameras.problem else 'none yet')}"
    )


async def _read_cameras(settings: Settings) -> tuple[CamerasOut, str]:
    """The cameras, and the name of the index's model; nothing where there is no index."""
    from footage.commands.composition import find_index
    from footage.indexer.pipeline.refused import RefusedRecords
    from footage.query.http.camera_status import list_cameras
    from footage.query.http.schemas import CamerasOut

    index = await find_index(settings)
    if index is None:
        return CamerasOut(cameras=[]), ""
    wrong = {problem.name or "unnamed": problem.text for problem in settings.camera_problems}
    try:
        records = RefusedRecords(settings.data, index.store.space)
        refused = await records.summary()
        listed = await list_cameras(index.store, index.catalog, misconfigured=wrong, refused=refused.cameras)
        problem = await index.find_damage()
        if refused.total and not problem:
            problem = f"{refused.total} records were refused and are set aside in {records.path}: {refused.reason}"
            problem += "; when its cause is removed, give them to the store again: footage store replay"
        return listed.model_copy(update={"problem": problem}), index.store.space.name
    finally:
        await index.close()


def _print_cameras(cameras: CamerasOut) -> None:
    rows = [("camera", "files", "records", "from", "to", "clock", "now")]
    for c in cameras.cameras:
        start, end = (local_time(t) if t else "" for t in (c.start, c.end))
        rows.append((c.camera, str(c.media), str(c.records), start, end, ", ".join(c.clocks), _describe_live(c)))
    print_columns(rows)
    if cameras.problem:
        print_message(cameras.problem)
    for stage in cameras.failing:
        print_message(
            f"{stage.stage} {stage.camera}".strip() + f" {stage.state} since {local_time(stage.since)}: {stage.error}"
        )
    if cameras.load:
        print(describe_load(cameras.load))


def _describe_live(c: CameraOut) -> str:
    if c.live is None:
        return ""
    now = f"{c.live.state}, {c.live.recording}" + (f" on {c.live.worker}" if c.live.worker else "")
    if c.live.reconnects or c.live.dropped:
        now += f", {c.live.reconnects} reconnects, {c.live.dropped} frames dropped"
    return f"{now}: {c.live.error}" if c.live.error else now
