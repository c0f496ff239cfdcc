"""Files out of npm packages, at the version and with the checksum of npm.json; each package fetched once, kept under
build/npm/.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
KEPT = HERE.parent / "build" / "npm"


def package_file(name: str, inside: str) -> Path:
    """The path of a file of package ``name``, e.g. ``package_file("axe-core", "axe.min.js")``."""
    return package_files(name, [inside])[0]


def package_files(name: str, inside: list[str]) -> list[Path]:
    """The paths of some files of package ``name``.

    RuntimeError in a sentence if npm is missing or does not get the package, or if the package is not the one that
    npm.json means.
    """
    wanted = json.loads((HERE / "npm.json").read_text(encoding="utf-8"))[name]
    kept = [KEPT / f"{name}-{wanted['version']}" / Path(one).name for one in inside]
    if all(path.exists() for path in kept):
        return kept
    npm = shutil.which("npm")
    if not npm:
        raise RuntimeError(f"npm is missing, which fetches {name}: install Node.js")
    with tempfile.TemporaryDirectory() as folder:
        words = [npm, "pack", f"{name}@{wanted['version']}", "--silent", "--pack-destination", folder]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300)
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or not archives:
            raise RuntimeError(f"npm did not get {name}: {' '.join(done.stderr.split())[:200]}")
        digest = base64.b64encode(hashlib.sha512(archives[0].read_bytes()).digest()).decode()
        if f"sha512-{digest}" != wanted["integrity"]:
            raise RuntimeError(
                f"{name} {wanted['version']} is not the package that npm.json names: its checksum differs"
            )
        with tarfile.open(archives[0]) as archive:
            for one, path in zip(inside, kept, strict=True):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.extractfile(f"package/{one}").read())
    return kept
