"""Seconds and memory that `import genzoo` adds to `import tensorflow, keras`.

python benchmarks/import_time.py
"""

import json
import statistics
import subprocess
import sys

CHILD = """
import json, resource, time

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

import tensorflow, keras
before, began = peak(), time.perf_counter()
import genzoo
after_genzoo = time.perf_counter() - began, peak() - before
genzoo.RealNVP((2,)).distribution()
first_model = time.perf_counter() - began, peak() - before
print(json.dumps([*after_genzoo, *first_model]))
"""
NAMES = (
    "import genzoo, s",
    "import genzoo, MiB",
    "and a first RealNVP with its distribution (imports TFP), s",
    "and a first RealNVP with its distribution (imports TFP), MiB",
)


def main() -> None:
    runs = []
    for _ in range(7):
        done = subprocess.run(
            [sys.executable, "-c", CHILD], capture_output=True, text=True, check=True
        )
        runs.append(json.loads(done.stdout.strip().splitlines()[-1]))
    for name, values in zip(NAMES, zip(*runs, strict=True), strict=True):
        print(f"{name}: {statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})")


if __name__ == "__main__":
    main()
