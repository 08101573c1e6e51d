"""Pictures as a picture tower wants them: resized, cropped, scaled, normalised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from footage.indexer.embed.base import EmbedderError
from footage.stream.frame import Image

Fit = Literal["crop", "pad", "squash"]
"""What happens to a picture that is not square: lose its edges, gain borders, or lose its shape."""

OPENAI_MEAN, OPENAI_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""github.com/openai/CLIP ``clip.py``; what Roboflow's layout means, which has no file to say so."""
OPENCLIP_FITS: dict[str, Fit] = {"shortest": "crop", "longest": "pad", "squash": "squash"}
FILTERS = {filter.name.lower(): filter for filter in Pillow.Resampling}


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model wants its pictures.

    Attributes:
        side: height and width in pixels of what the network takes.
        short: length the short side is resized to before a crop; more than ``side`` for some models.
        mean, std: of each colour, in units of 0 to 1.
        fit: what happens to a picture that is not square.
        filter: how pixels are resampled.
        fill: colour of the borders when ``fit`` is ``pad``, 0 to 255.
    """

    side: int
    short: int
    mean: tuple[float, float, float] = OPENAI_MEAN
    std: tuple[float, float, float] = OPENAI_STD
    fit: Fit = "crop"
    filter: Pillow.Resampling = Pillow.Resampling.BICUBIC
    fill: tuple[int, int, int] = (0, 0, 0)

    @classmethod
    def read(cls, config: dict[str, Any] | None, side: int | None, fit: Fit | None = None) -> Recipe:
        """A recipe from OpenCLIP's ``preprocess_cfg.json`` or transformers' ``preprocessor_config.json``.

        Args:
            config: content of the file; None means OpenAI's recipe, which Roboflow's layout implies.
            side: what the network's graph says, None when it takes any size.
            fit: chosen by the person; None keeps the model's own.

        Raises:
            EmbedderError: a number is missing, or file and network disagree.
        """
        if fit is not None and fit not in get_args(Fit):
            raise EmbedderError(f"fit: '{fit}' is not one of {', '.join(get_args(Fit))}")
        if config is None:
            if side is None:
                raise EmbedderError(
                    "the picture network takes any size and no file says which; add preprocess_cfg.json"
                )
            recipe = cls(side, side)
        else:
            recipe = (
                _openclip(config) if "interpolation" in config or "resize_mode" in config else _transformers(config)
            )
        if side is not None and recipe.side != side:
            raise EmbedderError(
                f"the preprocessing file says {recipe.side} pixels but the network takes {side}; "
                "they are of two models: fetch the model again"
            )
        return replace(recipe, fit=fit) if fit else recipe

    def square(self, image: Image) -> Image:
        """One picture, (h, w, 3) uint8, as the (side, side, 3) uint8 that the network sees."""
        picture = Pillow.fromarray(np.ascontiguousarray(image))
        if self.fit == "crop":
            return self._cropped(picture)
        if self.fit == "squash":
            return np.asarray(picture.resize((self.side, self.side), self.filter))
        return self._padded(picture)

    def _cropped(self, picture: Pillow.Image) -> Image:
        side, (width, height) = self.side, picture.size
        scale = self.short / min(width, height)
        new_width, new_height = (max(self.short, int(length * scale)) for length in (width, height))
        left, top = round((new_width - side) / 2), round((new_height - side) / 2)
        if scale >= 1:
            whole = np.asarray(picture.resize((new_width, new_height), self.filter))
            return whole[top : top + side, left : left + side]
        # Only what survives the crop is resampled, on the grid that the whole picture would have.
        x, y = width / new_width, height / new_height
        box = (left * x, top * y, min(width, (left + side) * x), min(height, (top + side) * y))
        return np.asarray(picture.resize((side, side), self.filter, box))

    def _padded(self, picture: Pillow.Image) -> Image:
        side = self.side
        scale = side / max(picture.size)
        width, height = (max(1, round(length * scale)) for length in picture.size)
        canvas = np.empty((side, side, 3), np.uint8)
        canvas[:] = self.fill
        left, top = (side - width) // 2, (side - height) // 2
        canvas[top : top + height, left : left + width] = np.asarray(picture.resize((width, height), self.filter))
        return canvas

    def normal(self, squares: Sequence[Image]) -> NDArray[np.float32]:
        """Squares as the (n, 3, side, side) float32 that the network takes."""
        pixels = np.empty((len(squares), 3, self.side, self.side), np.float32)
        for colour, (mean, std) in enumerate(zip(self.mean, self.std, strict=True)):
            for row, square in zip(pixels, squares, strict=True):
                np.multiply(square[:, :, colour], np.float32(1 / (255 * std)), out=row[colour])
            pixels[:, colour] -= np.float32(mean / std)
        return pixels


def _openclip(config: dict[str, Any]) -> Recipe:
    """open_clip ``transform.py``: ``size``, ``mean``, ``std``, ``interpolation``, ``resize_mode``, ``fill_color``."""
    side = _square(_needed(config, "size"))
    mode = config.get("resize_mode", "shortest")
    if mode not in OPENCLIP_FITS:
        raise EmbedderError(f"preprocess_cfg.json: resize_mode '{mode}' is not one of {', '.join(OPENCLIP_FITS)}")
    resampling = FILTERS.get(str(config.get("interpolation", "bicubic")), Pillow.Resampling.BICUBIC)
    mean, std = _colours(_needed(config, "mean")), _colours(_needed(config, "std"))
    return Recipe(side, side, mean, std, OPENCLIP_FITS[mode], resampling, _fill(config.get("fill_color", 0)))


def _transformers(config: dict[str, Any]) -> Recipe:
    """transformers' image processors: ``size``, ``crop_size``, ``image_mean``, ``image_std``, ``resample``."""
    size = _needed(config, "size")
    crops = config.get("do_center_crop", "crop_size" in config)
    shortest = size if isinstance(size, int) else size.get("shortest_edge")
    side = _square(_needed(config, "crop_size")) if crops else _square(size)
    squashes = shortest is None and not crops
    short = int(shortest) if shortest else _square(size)
    rescale = 255 * float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 255.0
    plain = ((0.0,) * 3, (1.0,) * 3)
    normalises = config.get("do_normalize", True)
    mean, std = (_needed(config, "image_mean"), _needed(config, "image_std")) if normalises else plain
    # Pictures are always scaled by 1/255 here; another factor is folded into mean and deviation.
    mean, std = (_colours([value / rescale for value in values]) for values in (mean, std))
    resampling = Pillow.Resampling(int(config.get("resample", Pillow.Resampling.BICUBIC)))
    return Recipe(side, short, mean, std, "squash" if squashes else "crop", resampling)


def _needed(config: dict[str, Any], key: str) -> Any:
    if config.get(key) is None:
        raise EmbedderError(f"the model's preprocessing file lacks '{key}'; fetch the model again")
    return config[key]


def _square(size: Any) -> int:
    sides = [size, size] if isinstance(size, int) else size
    if isinstance(sides, dict):
        edge = sides.get("shortest_edge")
        sides = [sides.get("height", edge), sides.get("width", edge)]
    if len(sides) == 1:
        sides = [sides[0]] * 2
    if sides[0] != sides[1] or not sides[0]:
        raise EmbedderError(f"only models of square pictures are understood, not {size}")
    return int(sides[0])


def _colours(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _fill(value: Any) -> tuple[int, int, int]:
    red, green, blue = [int(value)] * 3 if isinstance(value, int | float) else (int(v) for v in value)
    return red, green, blue
