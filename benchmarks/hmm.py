"""Hidden Markov models beside hmmlearn: Baum-Welch iterations and the score of a long sequence.

    python benchmarks/hmm.py [--rounds 5]

Both are asked through their public methods, by turns in one process, data checks included. Gaussian
emissions, 8 states, 8 dimensions. An iteration is a share of a `fit` of 10 epochs (genzoo) or 3
iterations (hmmlearn, in its faster implementation, scaling), all that `fit` does included.
"""

import argparse
import os
import time
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from hmmlearn.hmm import GaussianHMM

import genzoo

STATES, FEATURES = 8, 8


def truth(seed: int) -> dict[str, np.ndarray]:
    """Return the parameters that the data are drawn from."""
    random = np.random.default_rng(seed)
    return {
        "startprob": np.full(STATES, 1 / STATES),
        "transmat": 0.9 * np.eye(STATES) + 0.1 * random.dirichlet(np.ones(STATES), STATES),
        "means": 2 * random.normal(size=(STATES, FEATURES)),
        "covariances": random.uniform(0.5, 2, (STATES, FEATURES)),
    }


def peer(parameters: dict[str, np.ndarray], covariance_type: str, iterations: int) -> GaussianHMM:
    """Return hmmlearn's model with the parameters."""
    model = GaussianHMM(
        STATES, covariance_type, n_iter=iterations, tol=-np.inf, init_params="",
        implementation="scaling",
    )  # fmt: skip
    model.startprob_, model.transmat_ = parameters["startprob"], parameters["transmat"]
    model.means_, model.covars_ = parameters["means"], parameters["covariances"]
    return model


def seconds(call) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def median(values) -> str:
    """Return the median in milliseconds, and the range."""
    low, middle, high = 1e3 * np.quantile(values, [0, 0.5, 1])
    return f"{middle:.0f} ms ({low:.0f}-{high:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--covariance-type", choices=["diag", "full"], default="diag")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    kind = arguments.covariance_type
    parameters = truth(0)
    if kind == "full":
        parameters["covariances"] = np.stack([np.diag(row) for row in parameters["covariances"]])
    source = genzoo.HiddenMarkovModel(FEATURES, num_states=STATES, covariance_type=kind)
    source.set_parameters(**parameters)
    x = source.sample(100, length=1000, seed=0)
    long = source.sample(1, length=1_000_000, seed=1)[0]
    flat, lengths = x.reshape(-1, FEATURES).astype(float), np.full(100, 1000)
    begin = {**parameters, "means": parameters["means"] + 0.5}

    model = genzoo.HiddenMarkovModel(
        FEATURES, num_states=STATES, covariance_type=kind, parameters_init=begin, tol=0, seed=0
    )

    def ours(epochs):
        return seconds(lambda: model.fit(x, epochs=epochs, verbose=0))

    def theirs(iterations):
        return seconds(lambda: peer(begin, kind, iterations).fit(flat, lengths))

    ours(1)  # traces and compiles
    rows = {"genzoo": [], "hmmlearn": []}
    for _ in range(arguments.rounds):
        rows["genzoo"].append(ours(10) / 10)
        rows["hmmlearn"].append(theirs(3) / 3)
    print("Baum-Welch iteration, 100 x 1,000 steps")
    for name, values in rows.items():
        print(f"  {name:10} {median(values)}")

    model.set_parameters(**parameters)
    theirs_model, wide = peer(parameters, kind, 1), long.astype(float)
    theirs_model._check()
    first = model.score(long)
    rows = {"genzoo": [], "hmmlearn": []}
    for _ in range(arguments.rounds):
        rows["genzoo"].append(seconds(lambda: model.score(long)))
        rows["hmmlearn"].append(seconds(lambda: theirs_model.score(wide)))
    print("Score of a sequence of 1,000,000 steps")
    for name, values in rows.items():
        print(f"  {name:10} {median(values)}")
    reference = theirs_model.score(wide)
    print(f"  relative difference {abs(first - reference) / abs(reference):.1e}")


if __name__ == "__main__":
    main()
