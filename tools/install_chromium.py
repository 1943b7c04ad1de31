"""Give the browser tests a Chromium: the one that is there, else Debian's where this is root.

    .venv/bin/python tools/install_chromium.py

Without one nothing fails: the tests that need it say so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from rich.console import Console

PACKAGE = "chromium"

console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def main() -> int:
    """Exit status: always 0; the suite runs without a browser, too."""
    found = shutil.which(PACKAGE)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        console.print("Installing Chromium with apt-get ...")
        found = installed()
    console.print(
        f"Chromium {found} is ready"
        if found
        else "no Chromium: browser tests will be skipped (install the package chromium)",
    )
    return 0


def installed() -> str | None:
    """Debian's Chromium; None where it can't be had."""
    apt_get = shutil.which("apt-get")
    assert apt_get is not None
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (
        ("update", "--quiet"),
        ("install", "--quiet", "--yes", "--no-install-recommends", PACKAGE),
    ):
        done = subprocess.run(
            [apt_get, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["it said nothing"]
            console.print(f"apt-get {arguments[0]}: {lines[-1]}")
    return shutil.which(PACKAGE)


if __name__ == "__main__":
    sys.exit(main())
