"""Train the models that ship, each by the command that its card names.

GENZOO_DATA=folder python saved_models/make.py
python saved_models/make.py --only realnvp-digits vae-digits --output somewhere
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

COMMANDS = {
    "realnvp-digits": "realnvp --data digits --epochs 60",
    "vae-digits": "vae --data digits --epochs 100 --option latent_dim=16"
    " --option likelihood=discretized_logistic",
    "dcgan-digits": "dcgan --data digits --epochs 250 --option filters=32 --option latent_dim=32",
    "gaussian_mixture-digits": "gaussian_mixture --data digits --option num_components=50"
    " --option covariance_type=diag --option reg_covar=0.1",
    # a digit as the sequence of its eight rows
    "hidden_markov_model-digits": "hidden_markov_model --data digits --option event_shape=(8,1)"
    " --option num_states=40 --option covariance_type=diag --option reg_covar=0.1",
    "realnvp-mnist": "realnvp --data mnist --epochs 10 --option num_levels=2 --option filters=16"
    " --option num_blocks=2",
    "gaussian_mixture-mnist": "gaussian_mixture --data mnist --option num_components=50"
    " --option covariance_type=diag --option reg_covar=0.01",
    "vae-mnist": "vae --data mnist --epochs 20 --option latent_dim=16"
    " --option hidden_units=(256,256)"
    " --option likelihood=discretized_logistic",
    "dcgan-mnist": "dcgan --data mnist --epochs 8 --option filters=16 --option latent_dim=32",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(COMMANDS), default=list(COMMANDS))
    parser.add_argument("--output", default=str(Path(__file__).parent))
    arguments = parser.parse_args()
    for name in arguments.only:
        command = f"train {COMMANDS[name]} --output {shlex.quote(name)}"
        print(f"genzoo {command}", flush=True)
        subprocess.run(
            [sys.executable, "-m", "zoo_scripts.main", *shlex.split(command), "--quiet"],
            cwd=arguments.output,
            check=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
