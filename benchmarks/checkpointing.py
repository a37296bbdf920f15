"""What gradient checkpointing saves in memory and costs in time: a Glow of growing depth.

    python benchmarks/checkpointing.py [--steps 4 8 16] [--size 32] [--rounds 3]

Images of SIZE x SIZE x 3, 3 levels, 64 filters, batch 128. Each contender runs by turns in a
process of its own: peak memory of the process beyond that before the first step, and the median
seconds of 3 training steps after 2 others. Median and range over the rounds.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

BATCH, LEVELS, FILTERS = 128, 3, 64


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(steps: int, size: int, checkpointing: bool) -> dict[str, float]:
    import keras

    import genzoo

    x = np.random.default_rng(0).integers(0, 256, (BATCH * 5, size, size, 3), np.uint8)
    model = genzoo.Glow(
        (size, size, 3), num_levels=LEVELS, num_steps=steps, filters=FILTERS, seed=0,
        gradient_checkpointing=checkpointing,
    )  # fmt: skip
    model.adapt(x)
    before, ends = peak_mib(), []
    tick = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter())
    )
    model.fit(x, batch_size=BATCH, epochs=1, callbacks=[tick], verbose=0)
    return {"mib": peak_mib() - before, "seconds": float(np.median(np.diff(ends)[1:]))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 8, 16], help="a level")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(run(*json.loads(arguments.one))))
        return
    cases = [(steps, arguments.size, kept) for steps in arguments.steps for kept in (False, True)]
    results: dict[tuple, list[dict[str, float]]] = {case: [] for case in cases}
    for _ in range(arguments.rounds):
        for case in cases:
            command = [sys.executable, __file__, "--one", json.dumps(case)]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            results[case].append(json.loads(output.splitlines()[-1]))
    print(f"{'steps a level':>14}{'checkpointing':>15}{'MiB':>22}{'seconds a step':>26}")
    for (steps, _, kept), runs in results.items():
        mib, seconds = (np.array([r[name] for r in runs]) for name in ("mib", "seconds"))
        print(
            f"{steps:>14}{'yes' if kept else 'no':>15}"
            + f"{np.median(mib):,.0f} ({mib.min():,.0f}-{mib.max():,.0f})".rjust(22)
            + f"{np.median(seconds):.3f} ({seconds.min():.3f}-{seconds.max():.3f})".rjust(26)
        )


if __name__ == "__main__":
    main()
