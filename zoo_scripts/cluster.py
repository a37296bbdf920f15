"""A cluster of processes on this machine."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

_SECONDS_BETWEEN_LOOKS = 0.2


def run_cluster(workers: int, argv: list[str], output: Path) -> int:
    """Run `genzoo` once a worker, each with its TF_CONFIG; return the exit code.

    When a worker ends with an error the others are stopped at once.

    Args:
        workers: Number of processes.
        argv: Arguments of the command, `--workers` and all.
        output: Where the command writes, for all workers the same.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    command = [sys.executable, "-m", "zoo_scripts.main", *_without(argv, "--workers", "--output")]
    processes = []
    for index in range(workers):
        task = {"type": "worker", "index": index}
        config = {"cluster": {"worker": addresses}, "task": task}
        processes.append(
            subprocess.Popen(
                [*command, "--output", str(output)],
                env={**os.environ, "TF_CONFIG": json.dumps(config)},
                # the first worker speaks for all
                stdout=None if index == 0 else subprocess.DEVNULL,
            )
        )
    try:
        return _watch(processes)
    except KeyboardInterrupt:
        # the terminal told the workers too, and they save what was learned
        for process in processes:
            process.wait()
        raise
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def _watch(processes: list[subprocess.Popen]) -> int:
    """Return the exit code when all have ended, or one has failed."""
    while True:
        codes = [process.poll() for process in processes]
        bad = [(i, code) for i, code in enumerate(codes) if code]
        if bad:
            index, code = bad[0]
            print(
                f"genzoo: worker {index} ended with code {code}; the others are stopped. "
                "--resume goes on from the last checkpoint.",
                file=sys.stderr,
            )
            return code if code > 0 else 128 - code
        if all(code == 0 for code in codes):
            return 0
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _without(argv: list[str], *options: str) -> list[str]:
    """Return the arguments without some options and their values."""
    kept, skip = [], False
    for argument in argv:
        if skip:
            skip = False
        elif argument in options:
            skip = True
        elif argument.partition("=")[0] not in options:
            kept.append(argument)
    return kept
