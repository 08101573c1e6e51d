"""Prepares images for a CLIP image tower: resizes, crops, scales, normalizes."""

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
"""How an image that is not square is fitted: crop its edges, pad it with borders, or squash its shape."""

Color = tuple[float, float, float]
"""A number for red, green and blue."""
OPENAI_MEAN, OPENAI_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""From github.com/openai/CLIP ``clip.py``; Roboflow's layout implies them, because it has no preprocessing file."""
OPENCLIP_FITS: dict[str, Fit] = {"shortest": "crop", "longest": "pad", "squash": "squash"}
RESAMPLING_FILTERS = {filter.name.lower(): filter for filter in Pillow.Resampling}


@dataclass(frozen=True, slots=True)
class ImagePreprocessor:
    """Prepares images as a model needs them.

    Attributes:
        side: height and width of the network's input in pixels.
        short_side: length the short side is resized to before a crop; more than ``side`` for some models.
        mean, std: of each color channel, in units of 0 to 1.
        fit: how an image that is not square is fitted.
        filter: how pixels are resampled.
        fill: color of the borders when ``fit`` is ``pad``, 0 to 255.
    """

    side: int
    short_side: int
    mean: tuple[float, float, float] = OPENAI_MEAN
    std: tuple[float, float, float] = OPENAI_STD
    fit: Fit = "crop"
    filter: Pillow.Resampling = Pillow.Resampling.BICUBIC
    fill: tuple[int, int, int] = (0, 0, 0)

    @classmethod
    def from_config(cls, config: dict[str, Any] | None, side: int | None, fit: Fit | None = None) -> ImagePreprocessor:
        """Create a preprocessor from OpenCLIP's ``preprocess_cfg.json`` or transformers' ``preprocessor_config.json``.

        Args:
            config: content of the file; None means OpenAI's preprocessing, which Roboflow's layout implies.
            side: input size of the network's graph, None when it takes any size.
            fit: chosen by the user; None is the model's default.

        Raises:
            EmbedderError: a number is missing, or file and network disagree.
        """
        if fit is not None and fit not in get_args(Fit):
            raise EmbedderError(f"fit: '{fit}' is not one of {', '.join(get_args(Fit))}")
        if config is None:
            if side is None:
                raise EmbedderError("the image network takes any size and no file says which; add preprocess_cfg.json")
            preprocessor = cls(side, side)
        else:
            preprocessor = (
                _from_openclip(config)
                if "interpolation" in config or "resize_mode" in config
                else _from_transformers(config)
            )
        if side is not None and preprocessor.side != side:
            raise EmbedderError(
                f"the preprocessing file says {preprocessor.side} pixels but the network takes {side}; "
                "they are of two models: fetch the model again"
            )
        return replace(preprocessor, fit=fit) if fit else preprocessor

    def to_square(self, image: Image) -> Image:
        """Fit an image, (h, w, 3) uint8, into the square that the network sees, (side, side, 3) uint8."""
        source = Pillow.fromarray(np.ascontiguousarray(image))
        if self.fit == "crop":
            return self._crop(source)
        if self.fit == "squash":
            return np.asarray(source.resize((self.side, self.side), self.filter))
        return self._pad(source)

    def _crop(self, source: Pillow.Image) -> Image:
        side, (width, height) = self.side, source.size
        scale = self.short_side / min(width, height)
        new_width, new_height = (max(self.short_side, int(length * scale)) for length in (width, height))
        left, top = round((new_width - side) / 2), round((new_height - side) / 2)
        if scale >= 1:
            whole = np.asarray(source.resize((new_width, new_height), self.filter))
            return whole[top : top + side, left : left + side]
        # Only the part inside the crop is resampled, on the grid of the whole resized image.
        x, y = width / new_width, height / new_height
        box = (left * x, top * y, min(width, (left + side) * x), min(height, (top + side) * y))
        return np.asarray(source.resize((side, side), self.filter, box))

    def _pad(self, source: Pillow.Image) -> Image:
        side = self.side
        scale = side / max(source.size)
        width, height = (max(1, round(length * scale)) for length in source.size)
        canvas = np.empty((side, side, 3), np.uint8)
        canvas[:] = self.fill
        left, top = (side - width) // 2, (side - height) // 2
        canvas[top : top + height, left : left + width] = np.asarray(source.resize((width, height), self.filter))
        return canvas

    def normalize(self, squares: Sequence[Image]) -> NDArray[np.float32]:
        """Normalize squares to the network's input, (n, 3, side, side) float32."""
        pixels = np.empty((len(squares), 3, self.side, self.side), np.float32)
        for channel, (mean, std) in enumerate(zip(self.mean, self.std, strict=True)):
            for row, square in zip(pixels, squares, strict=True):
                np.multiply(square[:, :, channel], np.float32(1 / (255 * std)), out=row[channel])
            pixels[:, channel] -= np.float32(mean / std)
        return pixels


def _from_openclip(config: dict[str, Any]) -> ImagePreprocessor:
    """open_clip ``transform.py``: ``size``, ``mean``, ``std``, ``interpolation``, ``resize_mode``, ``fill_color``."""
    side = _square_side(_require(config, "size"))
    mode = config.get("resize_mode", "shortest")
    if mode not in OPENCLIP_FITS:
        raise EmbedderError(f"preprocess_cfg.json: resize_mode '{mode}' is not one of {', '.join(OPENCLIP_FITS)}")
    resampling = RESAMPLING_FILTERS.get(str(config.get("interpolation", "bicubic")), Pillow.Resampling.BICUBIC)
    mean, std = _rgb(_require(config, "mean")), _rgb(_require(config, "std"))
    return ImagePreprocessor(
        side, side, mean, std, OPENCLIP_FITS[mode], resampling, _fill_color(config.get("fill_color", 0))
    )


def _from_transformers(config: dict[str, Any]) -> ImagePreprocessor:
    """transformers' image processors: ``size``, ``crop_size``, ``image_mean``, ``image_std``, ``resample``."""
    size = _require(config, "size")
    crops = config.get("do_center_crop", "crop_size" in config)
    shortest = size if isinstance(size, int) else size.get("shortest_edge")
    side = _square_side(_require(config, "crop_size")) if crops else _square_side(size)
    squashes = shortest is None and not crops
    short_side = int(shortest) if shortest else _square_side(size)
    rescale = 255 * float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 255.0
    plain = ((0.0,) * 3, (1.0,) * 3)
    normalizes = config.get("do_normalize", True)
    mean, std = (_require(config, "image_mean"), _require(config, "image_std")) if normalizes else plain
    # Pixels are always scaled by 1/255 here; another factor is folded into mean and deviation.
    mean, std = (_rgb([value / rescale for value in values]) for values in (mean, std))
    resampling = Pillow.Resampling(int(config.get("resample", Pillow.Resampling.BICUBIC)))
    return ImagePreprocessor(side, short_side, mean, std, "squash" if squashes else "crop", resampling)


def _require(config: dict[str, Any], key: str) -> Any:
    if config.get(key) is None:
        raise EmbedderError(f"the model's preprocessing file lacks '{key}'; fetch the model again")
    return config[key]


def _square_side(size: Any) -> int:
    sides = [size, size] if isinstance(size, int) else size
    if isinstance(sides, dict):
        edge = sides.get("shortest_edge")
        sides = [sides.get("height", edge), sides.get("width", edge)]
    if len(sides) == 1:
        sides = [sides[0]] * 2
    if sides[0] != sides[1] or not sides[0]:
        raise EmbedderError(f"only models of square images are supported, not {size}")
    return int(sides[0])


def _rgb(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _fill_color(value: Any) -> tuple[int, int, int]:
    red, green, blue = [int(value)] * 3 if isinstance(value, int | float) else (int(v) for v in value)
    return red, green, blue
