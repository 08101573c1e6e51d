"""Fixture ``tiny_clip``: a model for services whose answers no test judges."""

import asyncio
from pathlib import Path

import pytest

from footage.commands.composition import open_services
from footage.config.settings import Settings
from tests.indexer.embed import tiny


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Lines of a settings file that choose a tiny CLIP with random weights.

    Its frames cost a fiftieth of those of ``lite``, and a service with it starts a second sooner. What runs it fastest
    is measured here, once, and the nouns are embedded.
    """
    folder = tmp_path_factory.mktemp("tiny-clip")
    settings = {"embedder": "clip", "model": str(tiny.xenova(folder / "tiny")), "cache": folder / "cache"}

    async def warm_up(data: Path) -> None:
        async with open_services(Settings(data=data, **settings)):
            pass

    asyncio.run(warm_up(folder / "data"))
    return "".join(f"{key}: {value}\n" for key, value in settings.items())
