"""Run solved lessons with the instructions of other kinds of processor, which round differently: ``python
tests/processors.py [LESSON ...]``.

Exit code 1 if a lesson fails on one of them: then a claim leans on what one training happened to give.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from setup_course import STEADY  # noqa: E402

KINDS = {  # what torch and the library that multiplies matrices are told to use
    "as it is": {},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AVX2"},
    "its own, products as anywhere": {"MKL_CBWR": "COMPATIBLE"},
    "no AVX": {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"},
}


def main(lessons: list[str]) -> int:
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, "lessons/build.py", *lessons, "--solved", "--no-execute", "--out", folder]
        subprocess.run(build, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        run = [sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=short", "-p", "no:cacheprovider"]
        run += ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout", "1200", folder]
        for name, told in KINDS.items():
            code = subprocess.run(run, cwd=ROOT, env=os.environ | STEADY | told).returncode
            print(f"{name}: {'failed' if code else 'passed'}", flush=True)
            failed += [name] * (code != 0)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
