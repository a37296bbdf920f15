"""EM and scores of Gaussian mixtures: genzoo, scikit-learn and pomegranate side by side.

    python benchmarks/gaussian_mixture.py --work full --compare        # 200,000 x 32, K = 16
    python benchmarks/gaussian_mixture.py --work diag --compare        # 200,000 x 32, K = 64
    python benchmarks/gaussian_mixture.py --work full                  # genzoo alone
    python benchmarks/gaussian_mixture.py --work missing               # 30% of the values missing
    python benchmarks/gaussian_mixture.py --work stream --rows 20000000  # from a generator

Rows a second of an EM iteration (from the same start, through `fit`) and of `log_prob`, by the
clock and by a second of one core's work (which says more where others use the machine), with the
peak memory of the process. With --compare each round runs each contender once in a process of its
own; --peer-python names the Python that has pomegranate. `stream` fits 20 million rows of 16
values that a generator makes, in constant memory.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings

import numpy as np

K = {"full": 16, "diag": 64, "missing": 16, "stream": 16}
D = {"full": 32, "diag": 32, "missing": 32, "stream": 16}
ITERATIONS = 5
CONTENDERS = ["genzoo", "genzoo-float64", "sklearn", "sklearn-float64", "pomegranate"]


def make_rows(n: int, d: int, k: int, seed: int) -> np.ndarray:
    """Return rows of k clusters of different shapes, float32."""
    shapes = np.random.default_rng(0)
    centers = shapes.normal(size=(k, d)) * 2
    mixing = (np.eye(d) + 0.2 * shapes.normal(size=(k, d, d))).astype("float32")
    random = np.random.default_rng(seed)
    label = random.integers(0, k, n)
    x = random.normal(size=(n, d)).astype("float32")
    for i in range(k):
        x[label == i] = x[label == i] @ mixing[i] + centers[i].astype("float32")
    return x


def covariance_type(work: str) -> str:
    return "diag" if work == "diag" else "full"


def start(x: np.ndarray, work: str) -> dict:
    k = K[work]
    variance = np.nanvar(x[:10_000].astype(np.float64), axis=0)
    wide = np.tile(variance, (k, 1)) if work == "diag" else np.stack([np.diag(variance)] * k)
    means = np.nan_to_num(x[:k].astype(np.float64))
    return {"weights": np.full(k, 1 / k), "means": means, "covariances": wide}


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def now() -> np.ndarray:
    """Return the clock and the work of all cores so far, in seconds."""
    return np.array([time.perf_counter(), time.process_time()])


def rates(name: str, rows: int, spent: list[np.ndarray]) -> dict:
    by_clock, by_core = rows / np.median(np.array(spent), axis=0)
    return {name: float(by_clock), f"{name}_core": float(by_core)}


def time_scores(function, x: np.ndarray, repeats: int) -> dict:
    function(x)
    spent = []
    for _ in range(repeats):
        began = now()
        function(x)
        spent.append(now() - began)
    return rates("log_prob", len(x), spent)


def clock_epochs():
    import keras

    class Clock(keras.callbacks.Callback):
        spent: list[np.ndarray]

        def on_train_begin(self, logs=None):
            self.spent = []

        def on_epoch_begin(self, epoch, logs=None):
            if epoch:
                # from begin to begin, so that the M step counts
                self.spent.append(now() - self.began)
            self.began = now()

    return Clock()


def run_genzoo(x: np.ndarray, work: str, dtype: str, repeats: int) -> dict:
    import genzoo

    given = {f"{name}_init": value for name, value in start(x, work).items()}
    model = genzoo.GaussianMixture(
        (x.shape[1],), num_components=K[work], covariance_type=covariance_type(work),
        tol=0.0, seed=0, dtype=dtype, **given,
    )  # fmt: skip
    x = x.astype(dtype)
    clock = clock_epochs()
    model.fit(x, epochs=ITERATIONS + 2, verbose=0, callbacks=[clock])
    return {
        **rates("em", len(x), clock.spent[1:]),
        **time_scores(model.log_prob, x, repeats),
        "score": model.score(x),
    }


def run_sklearn(x: np.ndarray, work: str, dtype: str, repeats: int) -> dict:
    from sklearn.mixture import GaussianMixture

    begin = start(x, work)
    wide = begin["covariances"]
    precisions = 1 / wide if work == "diag" else np.linalg.inv(wide)
    x = x.astype(dtype)

    def fit(iterations):
        model = GaussianMixture(
            K[work], covariance_type=covariance_type(work), tol=0.0, max_iter=iterations,
            weights_init=begin["weights"], means_init=begin["means"], precisions_init=precisions,
            init_params="random_from_data",
        )  # fmt: skip
        began = now()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(x)
        return model, now() - began

    # the difference leaves out the start and the labels at the end
    _, short = fit(2)
    # as many iterations as genzoo
    model, long = fit(2 + ITERATIONS)
    return {
        **rates("em", len(x), [(long - short) / ITERATIONS]),
        **time_scores(model.score_samples, x, repeats),
        "score": model.score(x),
    }


def run_pomegranate(x: np.ndarray, work: str, repeats: int) -> dict:
    import torch
    from pomegranate.distributions import Normal
    from pomegranate.gmm import GeneralMixtureModel

    begin = start(x, work)
    normals = [
        Normal(
            means=torch.tensor(mean, dtype=torch.float32),
            covs=torch.tensor(cov, dtype=torch.float32),
            covariance_type=covariance_type(work),
        )
        for mean, cov in zip(begin["means"], begin["covariances"], strict=True)
    ]
    priors = torch.tensor(begin["weights"], dtype=torch.float32)
    model = GeneralMixtureModel(normals, priors=priors)
    rows = torch.from_numpy(x)
    spent = []
    with torch.no_grad():
        for _ in range(ITERATIONS + 2):
            began = now()
            model.summarize(rows)
            model.from_summaries()
            spent.append(now() - began)
        return {
            **rates("em", len(x), spent[2:]),
            **time_scores(lambda _: model.log_probability(rows), x, repeats),
            "score": float(model.log_probability(rows).double().mean()),
        }


def run(contender: str, work: str, n: int, repeats: int) -> dict:
    x = make_rows(n, D[work], K[work], seed=1)
    if work == "missing":
        x[np.random.default_rng(2).random(x.shape) < 0.3] = np.nan
    before = peak_mib()
    name, _, dtype = contender.partition("-")
    if name == "pomegranate":
        result = run_pomegranate(x, work, repeats)
    else:
        result = {"genzoo": run_genzoo, "sklearn": run_sklearn}[name](
            x, work, dtype or "float32", repeats
        )
    return {**result, "data_mib": before, "peak_mib": peak_mib()}


def run_stream(rows: int, epochs: int) -> None:
    import tensorflow as tf

    import genzoo

    batch = 65_536
    pool = make_rows(4 * batch, D["stream"], K["stream"], seed=1)

    def generate():
        for i in range(-(-rows // batch)):
            at = i % 4 * batch
            # a shift of each batch, so that no two are the same
            shift = np.float32(0.01 * np.sin(i))
            yield pool[at : at + min(batch, rows - i * batch)] + shift

    signature = tf.TensorSpec([None, D["stream"]], tf.float32)
    stream = tf.data.Dataset.from_generator(generate, output_signature=signature)
    model = genzoo.GaussianMixture((D["stream"],), num_components=K["stream"], tol=0.0, seed=0)
    clock = clock_epochs()
    model.fit(stream.take(2), epochs=1, verbose=0)
    before = peak_mib()
    print(f"after {2 * batch:,} rows: peak memory {before:,.0f} MiB")
    model.fit(stream, epochs=epochs + 1, verbose=2, callbacks=[clock])
    print(
        f"{rows:,} rows x {D['stream']}, K = {K['stream']}: "
        f"{rates('em', rows, clock.spent)['em']:,.0f} rows/s an iteration "
        f"({rates('em', rows, clock.spent)['em_core']:,.0f} a core-second), "
        f"peak memory {peak_mib():,.0f} MiB"
    )


def compare(work: str, n: int, rounds: int, repeats: int, peer_python: str) -> None:
    found = {contender: [] for contender in CONTENDERS}
    for _ in range(rounds):
        for contender in CONTENDERS:
            python = peer_python if contender == "pomegranate" else sys.executable
            command = [python, __file__, "--work", work, "--contender", contender,
                       "--rows", str(n), "--repeats", str(repeats)]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                found[contender].append(json.loads(done.stdout.strip().splitlines()[-1]))
                print(contender, found[contender][-1], file=sys.stderr, flush=True)
    for key in ("em", "log_prob"):
        print(f"{key:18}{'rows/s':>32}{'genzoo is':>11}{'rows/core-s':>14}{'genzoo is':>11}")
        for contender, results in found.items():
            if not results:
                print(f"{contender:18} did not run")
                continue
            line = f"{contender:18}"
            for name, width in ((key, 32), (f"{key}_core", 14)):
                rate = np.array([r[name] for r in results])
                ours = np.array([r[name] for r in found["genzoo"]])[: len(rate)]
                shown = f"{np.median(rate):,.0f}"
                if name == key:
                    shown += f" ({rate.min():,.0f}-{rate.max():,.0f})"
                line += f"{shown:>{width}}{np.median(ours / rate):>9.2f} x"
            print(line)
    print(f"{'':18}{'peak MiB':>10}{'of data':>10}{'score, nats':>14}")
    for contender, results in found.items():
        if results:
            peak, data = (np.median([r[n] for r in results]) for n in ("peak_mib", "data_mib"))
            print(f"{contender:18}{peak:>10,.0f}{data:>10,.0f}{results[0]['score']:>14.5f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", choices=list(K), default="full")
    parser.add_argument("--contender", choices=CONTENDERS, default="genzoo")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--epochs", type=int, default=2, help="iterations timed by stream")
    parser.add_argument("--repeats", type=int, default=3, help="calls of log_prob timed")
    parser.add_argument("--compare", action="store_true", help="run all contenders by turns")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of --compare")
    parser.add_argument("--peer-python", default=sys.executable, metavar="PYTHON")
    arguments = parser.parse_args()
    if arguments.work == "stream":
        run_stream(arguments.rows, arguments.epochs)
    elif arguments.compare:
        compare(
            arguments.work, arguments.rows, arguments.rounds, arguments.repeats,
            arguments.peer_python,
        )  # fmt: skip
    else:
        result = run(arguments.contender, arguments.work, arguments.rows, arguments.repeats)
        print(json.dumps(result))


if __name__ == "__main__":
    main()
