"""Looks the installed packages up among known vulnerabilities with pip-audit; exit code 1 for one that is not excused.

Where no service of vulnerabilities can be reached, it says that nothing was audited, and does not fail.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

EXCUSED: dict[str, str] = {}
"""Ids of vulnerabilities that do not matter here, each with the reason."""
SERVICES = ("pypi", "osv")
KNOWN_VULNERABLE = "aiohttp==3.8.0"
"""A package with known vulnerabilities: a service that finds none in it does not answer."""
TIMEOUT = 15


def main() -> int:
    """Audit by the first service that answers."""
    for service in SERVICES:
        if find_problems(run_pip_audit(service, KNOWN_VULNERABLE), {})[0]:
            problems, unknown = find_problems(run_pip_audit(service), EXCUSED)
            print(
                f"audited by {service}: {len(problems)} vulnerabilities; not known there: {' '.join(unknown) or 'none'}"
            )
            print(*problems, sep="\n")
            return 1 if problems else 0
    print("NOT audited: no service of vulnerabilities can be reached from here; run it where one can be")
    return 0


def run_pip_audit(service: str, requirement: str = "") -> dict[str, Any]:
    """The report on one requirement, or on what is installed; an empty one if the service does not answer."""
    command = [sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off", f"--timeout={TIMEOUT}"]
    one, all_installed = ["--requirement=/dev/stdin", "--no-deps", "--disable-pip"], ["--local", "--skip-editable"]
    done = subprocess.run(
        [*command, f"--vulnerability-service={service}", *(one if requirement else all_installed)],
        input=requirement,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        return {}
    return report


def find_problems(report: dict[str, Any], excused: dict[str, str]) -> tuple[list[str], list[str]]:
    """A line for each vulnerability that is not excused, and the packages that the service does not know."""
    packages = report.get("dependencies", [])
    problems = [
        f"{p['name']} {p['version']}: {v['id']}; fixed in {', '.join(v['fix_versions']) or 'no version'}"
        for p in packages
        for v in p.get("vulns", [])
        if not excused.keys() & {v["id"], *v.get("aliases", [])}
    ]
    return problems, [p["name"] for p in packages if "skip_reason" in p]


if __name__ == "__main__":
    sys.exit(main())
