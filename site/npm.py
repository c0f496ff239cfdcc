"""One file out of an npm package, at the version and checksum of npm.json; fetched once, kept under build/npm/."""

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
    """The path of a file of package ``name``, e.g. ``package_file("axe-core", "axe.min.js")``.

    RuntimeError in a sentence if npm is missing or does not get the package, or if the package is not the one that
    npm.json means.
    """
    wanted = json.loads((HERE / "npm.json").read_text(encoding="utf-8"))[name]
    kept = KEPT / f"{name}-{wanted['version']}" / Path(inside).name
    if kept.exists():
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
            data = archive.extractfile(f"package/{inside}").read()
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(data)
    return kept
