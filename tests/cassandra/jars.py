"""The jars of the server, copied from Maven Central once into the user's cache folder."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from platformdirs import user_cache_path

HERE = Path(__file__).parent


class Unavailable(Exception):
    """A server cannot be run on this machine; the message says how to get what it lacks."""


@cache
def java() -> str:
    """The path of a Java 17, from ``JAVA_HOME`` or ``PATH``: the newest that Cassandra 5.0 runs on."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if found:
        told = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
        if re.search(r'version "17\b', told):
            return found
    raise Unavailable(
        "install Java 17 (openjdk-17-jre-headless) or point JAVA_HOME at it, or set FOOTAGE_TEST_CASSANDRA"
    )


@cache
def jars() -> Path:
    """The folder with the server's jars; Maven fills it the first time.

    Raises:
        Unavailable: they are not there, and Maven is missing or failed.
    """
    pom = HERE / "pom.xml"
    version = ElementTree.parse(pom).findtext(".//{*}cassandra.version")
    folder = user_cache_path("footage-tests") / f"cassandra-{version}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs that start together fetch once
        if not folder.exists():
            _fetch(pom, folder)
    return folder


def _fetch(pom: Path, folder: Path) -> None:
    maven = shutil.which("mvn")
    if not maven:
        raise Unavailable("install Maven (apt-get install maven), or set FOOTAGE_TEST_CASSANDRA=host:port")
    partial = Path(f"{folder}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    done = subprocess.run(
        [maven, "-q", "-B", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={partial}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unavailable(f"Maven could not fetch Cassandra's jars: {done.stdout.strip()[:500]}")
    partial.rename(folder)  # so a folder of that name is always complete
