"""The parts of the builders that are written in C: compiled once, into the cache folder."""

import ctypes
import hashlib
import random
import shutil
import subprocess
from functools import cache as once
from pathlib import Path


@once
def library(name: str, cache: Path, *flags: str) -> ctypes.CDLL:
    """``data/{name}.c`` as a library. SystemExit without a C compiler."""
    source = Path(__file__).with_name(f"{name}.c")
    path = cache / f"{name}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}.so"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise SystemExit(f"{source.name} needs a C compiler: on Debian and Ubuntu, apt-get install gcc")
        unfinished = path.with_suffix(f".{random.randrange(10**9)}.part")
        subprocess.run([compiler, "-O3", *flags, "-shared", "-fPIC", "-o", unfinished, source], check=True)
        unfinished.rename(path)
    return ctypes.CDLL(str(path.resolve()))
