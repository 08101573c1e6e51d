"""The command line: gathers the commands of ``footage.commands``."""

from __future__ import annotations

import gc
import os

import typer

from footage.commands import (
    audit,
    cameras,
    clip,
    demo,
    doctor,
    export,
    forget,
    index,
    model,
    search,
    serve,
    status,
    store,
    token,
    watch,
)

app = typer.Typer(
    help="Search camera footage in words.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(index.index)
app.command()(search.search)
app.command()(clip.clip)
app.command()(export.export)
app.command()(serve.serve)
app.command()(status.status)
app.command()(audit.audit)
app.command()(doctor.doctor)
app.command()(forget.forget)
app.command()(demo.demo)
app.add_typer(cameras.app, name="cameras")
app.add_typer(watch.app, name="watch")
app.add_typer(model.app, name="model")
app.add_typer(store.app, name="store")
app.add_typer(token.app, name="token")


def main() -> None:
    """Entry point of the ``footage`` command."""
    gc.set_threshold(10_000, 20, 20)  # imports make no garbage: looking for it takes a twentieth of a short command
    # NumPy reads it when it is imported. Batches are shared out among threads already, and those of OpenBLAS wait for
    # work by spinning: a full scan took three times the processor time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    app()


if __name__ == "__main__":
    main()
