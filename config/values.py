"""Defines the types of settings' values, reads settings files, and describes what is wrong with them."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from footage.query.values.times import parse_duration, parse_size
from footage.stream.errors import USAGE, FootageError


class SettingsError(FootageError):
    """A setting is wrong; the message names it and what is allowed."""

    exit_code = USAGE


LONGEST = 100 * 365 * 86400.0
"""Seconds, a century: longer ones reach beyond the calendar."""
Seconds = Annotated[float, BeforeValidator(parse_duration), Field(ge=0, le=LONGEST, allow_inf_nan=False)]
PositiveSeconds = Annotated[Seconds, Field(gt=0)]
Size = Annotated[int, BeforeValidator(parse_size), Field(ge=0)]


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a settings file.

    Raises:
        SettingsError: it does not exist, or is not YAML of names and values.
    """
    if not path.exists():
        raise SettingsError(f"{path}: this settings file does not exist")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.MarkedYAMLError as error:  # its text quotes the line, which may hold a password
        mark = error.problem_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise SettingsError(f"{path}: cannot be read as YAML: {error.problem}{place}") from None
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SettingsError(f"{path}: cannot be read as YAML: {reason}") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: the file must consist of 'name: value' lines")
    return {str(k): v for k, v in content.items()}


def describe_errors(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Describe each fault that was found in a ``model``: where it is and what is allowed, without the value."""
    return [_describe(fault, model) for fault in error.errors(include_url=False, include_input=False)]


def _describe(fault: Any, model: type[BaseModel]) -> str:
    place = ".".join(str(p) for p in fault["loc"])
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(fault["loc"][-1]), _allowed_names(fault["loc"], model), n=1, cutoff=0.5)
        return f"{place}: there is no such setting" + (f"; did you mean '{near[0]}'?" if near else "")
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def _allowed_names(place: tuple[int | str, ...], model: type[BaseModel]) -> list[str]:
    """Names that are allowed at ``place``."""
    for step in place[:-1]:
        if isinstance(step, str):
            inner = [
                a
                for a in _nested_types(model.model_fields[step].annotation)
                if isinstance(a, type) and issubclass(a, BaseModel)
            ]
            if not inner:
                return []
            model = inner[0]
    return list(model.model_fields)


def _nested_types(annotation: Any) -> list[Any]:
    args = get_args(annotation)
    return [annotation] + [p for a in args for p in _nested_types(a)]
