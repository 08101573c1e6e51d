"""Imports LanceDB without its HTTP client, whose classes take a second to build and are not used.

LanceDB imports the models of a generated client (``lance_namespace_urllib3_client``) of a service that could hold its
tables. Python runs the package's ``__init__`` first, and that imports every call of the service as well: more than half
of the time that ``import lancedb`` takes. Here it runs only if somebody asks the package for one of those names.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from typing import Any

CLIENT = "lance_namespace_urllib3_client"


def postpone(name: str) -> None:
    """Let a package be imported, with any of its modules, without running its ``__init__``.

    It runs when an attribute is asked for that is no module imported until then. Nothing happens where the package is
    imported already or is not installed.
    """
    spec = None if name in sys.modules else find_spec(name)
    if spec is None or spec.loader is None:
        return
    loader, package = spec.loader, module_from_spec(spec)

    def run_init(attribute: str) -> Any:
        if attribute.startswith("__"):  # asked of any module by debuggers and importers
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}")
        vars(package).pop("__getattr__", None)
        loader.exec_module(package)
        return getattr(package, attribute)

    vars(package)["__getattr__"] = run_init  # PEP 562
    sys.modules[name] = package


postpone(CLIENT)

import lancedb  # noqa: E402
from lancedb.index import Bitmap, BTree, IvfSq  # noqa: E402

__all__ = ["BTree", "Bitmap", "IvfSq", "lancedb"]
