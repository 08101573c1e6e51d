"""Checks on the user's machine whether a model's answers can be trusted, and keeps the result with its space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from footage.commands.composition import model_cache, noun_progress

if TYPE_CHECKING:
    from footage.config.settings import Settings
    from footage.indexer.embed.base import Embedder
    from footage.indexer.store.base import Catalog
    from footage.query.scoring.model_check import ModelCheck

KIND = "model-checks"
"""Documents of the catalog: by name of the space, its check and its cutoff."""


async def check_and_keep(
    settings: Settings, embedder: Embedder, catalog: Catalog | None, *, set_cutoff: bool = False
) -> tuple[ModelCheck, list[str]]:
    """Run the check, keep it in the catalog, if there is one, and return it and what to say of it.

    Args:
        set_cutoff: also keep the cutoff that separates right from false best, and use it from the next search on.
    """
    from footage.indexer.embed.base import EmbedderError
    from footage.query.scoring.model_check import Cutoff, ModelCheck, check_model
    from footage.query.scoring.noun_bank import NounBank

    space = embedder.space.name
    kept = (await catalog.documents(KIND)).get(space, {}) if catalog else {}
    cutoff = Cutoff.from_document(kept["cutoff"]) if kept.get("cutoff") else None
    lines = []
    try:
        bank = await NounBank.build(embedder, model_cache(settings), noun_progress(space))
        check, best = await check_model(embedder, bank, cutoff)
        if set_cutoff and best:
            kept["cutoff"] = best.to_document()
            check, _ = await check_model(embedder, bank, best)
            lines = [f"cutoff set to {best}"]
    except EmbedderError as error:
        check = ModelCheck(space, problem=str(error))
    if catalog is not None:
        await catalog.put_document(KIND, space, kept | {"check": check.to_document()})
    return check, [*lines, *([] if check.problem else [check.figures()]), check.sentence()]


async def kept_check(catalog: Catalog, space: str) -> ModelCheck | None:
    """The last check of a space; None when there was none."""
    from footage.query.scoring.model_check import ModelCheck

    kept = (await catalog.documents(KIND)).get(space, {}).get("check")
    return ModelCheck.from_document(kept) if kept else None
