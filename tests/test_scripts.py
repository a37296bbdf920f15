"""The commands, the way a user runs them."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import genzoo
from zoo_scripts import train as train_command
from zoo_scripts.main import main

ROOT = Path(__file__).parent.parent
TINY = ["--option", "num_couplings=2", "--option", "hidden_units=(8,)", "--epochs", "2", "--quiet"]


def run_alone(*arguments, cwd, script=None):
    """Run a command as a process of its own."""
    program = ["-m", "zoo_scripts.main", *arguments]
    if script:
        program = [str(ROOT / "zoo_scripts" / f"{script}.py"), *arguments]
    environment = {name: v for name, v in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, *map(str, program)],
        cwd=cwd, capture_output=True, text=True, timeout=240, check=False, env=environment,
    )  # fmt: skip


def run(*arguments, cwd):
    """Run a command in this process, on one device: TensorFlow is imported already."""
    said, errors = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(errors),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(genzoo.training, "strategy", tf.distribute.get_strategy)
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as left:
            code = left.code
    return SimpleNamespace(returncode=code, stdout=said.getvalue(), stderr=errors.getvalue())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("work")
    result = run_alone("train", "nice", "--data", "digits", "--seed", 3, *TINY, cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder, result


def test_train_writes_everything(trained):
    folder, result = trained
    output = folder / "saved_models" / "nice-digits"
    assert sorted(p.name for p in output.iterdir()) == [
        "history.png", "metrics.json", "model.keras", "samples.png", "saved_model", "training",
    ]  # fmt: skip
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["test"]["likelihood_kind"] == "lower_bound"
    assert metrics["test"]["likelihood_unit"] == "mass"
    assert 1 < metrics["test"]["bits_per_dim"] < 6
    assert metrics["seed"] == 3
    assert metrics["options"] == {"num_couplings": 2, "hidden_units": [8]}
    assert metrics["command"].startswith("genzoo train nice --data digits --seed 3 --option")
    assert metrics["parameters"] > 0
    assert metrics["seconds_training"] > 0
    assert set(metrics["versions"]) >= {"genzoo", "tensorflow", "keras", "python"}
    for picture in ("samples.png", "history.png"):
        with Image.open(output / picture) as image:
            assert len(np.unique(np.asarray(image.convert("L")))) > 10
    assert "bits/dim" in result.stdout
    assert str(output.relative_to(folder)) in result.stdout
    assert result.stderr == ""


def test_train_never_overwrites_unasked(trained):
    folder, _ = trained
    output = folder / "saved_models" / "nice-digits"
    before = (output / "model.keras").read_bytes()
    refused = run("train", "nice", *TINY, "--output", output, cwd=folder)
    assert refused.returncode == 2
    assert "--overwrite" in refused.stderr
    assert (output / "model.keras").read_bytes() == before
    again = run("train", "nice", "--data", "moons", *TINY, cwd=folder)
    assert again.returncode == 0, again.stderr
    numbered = run("train", "nice", "--data", "moons", *TINY, cwd=folder)
    assert "saved_models/nice-moons-2" in numbered.stdout
    replaced = run(
        "train", "nice", "--data", "moons", *TINY, "--overwrite",
        "--output", "saved_models/nice-moons", cwd=folder,
    )  # fmt: skip
    assert replaced.returncode == 0, replaced.stderr
    names = {p.name for p in (folder / "saved_models").iterdir()}
    assert names == {"nice-digits", "nice-moons", "nice-moons-2"}


def test_sample_evaluate_export_and_list(trained):
    folder, _ = trained
    model = "saved_models/nice-digits"
    for seed, name in [(1, "a.npy"), (1, "b.npy"), (2, "c.npy")]:
        made = run("sample", model, "--n", 5, "--seed", seed, "--output", name, cwd=folder)
        assert made.returncode == 0, made.stderr
    a, b, c = (np.load(folder / f"{name}.npy") for name in "abc")
    assert a.shape == (5, 8, 8, 1)
    assert (a == b).all()
    assert (a != c).any()
    assert run("sample", model, "--output", "a.npy", cwd=folder).returncode == 2
    picture = run_alone(model, "--output", "new/grid.png", cwd=folder, script="sample")
    assert picture.returncode == 0, picture.stderr
    assert (folder / "new" / "grid.png").stat().st_size > 1000
    scored = run("evaluate", model, cwd=folder)
    metrics = json.loads((folder / model / "metrics.json").read_text())
    assert json.loads(scored.stdout)["nll_nats"] == pytest.approx(metrics["test"]["nll_nats"])
    exported = run("export", model, "--output", "served/1", cwd=folder)
    assert "log_prob(x uint8[None, 8, 8, 1])" in exported.stdout
    assert (folder / "served" / "1" / "saved_model.pb").exists()
    assert "nice-digits" in run("list", "--saved", cwd=folder).stdout
    assert "num_couplings" in run("list", "realnvp", cwd=folder).stdout
    assert "digits" in run("list", "--data", cwd=folder).stdout
    assert "gaussian_mixture" in run_alone(cwd=folder, script="list").stdout


def test_train_takes_tables_images_and_labels(tmp_path):
    random = np.random.default_rng(0)
    rows = np.c_[random.normal(size=(80, 3)), random.integers(0, 2, 80)]
    np.savetxt(tmp_path / "t.csv", rows, delimiter=",", header="a,b,c,kind", comments="")
    (tmp_path / "images").mkdir()
    for i in range(20):
        pixels = random.integers(0, 256, (10, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    mixture = run(
        "train", "gaussian_mixture", "--data", "t.csv", "--label", "kind", "--quiet",
        "--option", "num_components=2", "--output", "mixture", cwd=tmp_path,
    )  # fmt: skip
    assert mixture.returncode == 0, mixture.stderr
    assert "exact on density" in mixture.stdout
    conditional = run(
        "train", "nice", "--data", "t.csv", "--label", "kind", *TINY,
        "--option", "num_classes=2", "--output", "flow", cwd=tmp_path,
    )  # fmt: skip
    assert conditional.returncode == 0, conditional.stderr
    scored = run("evaluate", "flow", cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    drawn = run("sample", "flow", "--class", 1, "--output", "one.npy", cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    photos = run(
        "train", "vae", "--data", "images", "--image-size", 8, "--epochs", 2, "--quiet",
        "--option", "hidden_units=8", "--output", "vae", cwd=tmp_path,
    )  # fmt: skip
    assert photos.returncode == 0, photos.stderr
    adversarial = run(
        "train", "dcgan", "--data", "images", "--image-size", 8, "--epochs", 2, "--quiet",
        "--option", "filters=4", "--output", "gan", cwd=tmp_path,
    )  # fmt: skip
    assert adversarial.returncode == 0, adversarial.stderr
    assert "s each); at most" in adversarial.stdout
    written = os.listdir(tmp_path / "gan" / "progress")
    assert sorted(written) == ["epoch_0001.png", "epoch_0002.png", "progress.png"]
    scored = run("evaluate", "gan", cwd=tmp_path)
    assert scored.returncode == 2
    assert "at least 10" in scored.stderr


BAD = {
    "unknown model": (["train", "relnvp"], "Did you mean 'realnvp'"),
    "unknown data": (["train", "nice", "--data", "digts"], "Did you mean 'digits'"),
    "unknown option": (["train", "nice", "--option", "coupling=3"], "Unknown option"),
    "bad option": (["train", "nice", "--option", "num_couplings"], "num_couplings=8"),
    "bad value": (["train", "nice", "--option", "num_couplings=x"], "num_couplings='x'"),
    "missing file": (["train", "nice", "--data", "none.csv"], "does not exist"),
    "no images": (["train", "nice", "--data", "."], "holds none"),
    "bad epochs": (["train", "nice", "--epochs", "0"], "at least 1"),
    "no model": (["sample", "nowhere", "--output", "a.png"], "genzoo list --saved"),
    "corrupt model": (["evaluate", "corrupt.keras"], "does not load"),
    "bad suffix": (["sample", "nowhere", "--output", "a.gif"], r".npy, .csv or .png"),
    "unknown command": (["trian"], "invalid choice"),
    "labels needed": (
        ["train", "nice", "--data", "moons", "--option", "num_classes=2"],
        "labels",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_mistakes_give_one_clear_line(kind, tmp_path):
    arguments, message = BAD[kind]
    (tmp_path / "corrupt.keras").write_bytes(b"not a model")
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    last = result.stderr.strip().splitlines()[-1]
    assert message in last
    assert "Traceback" not in result.stderr
    if "usage:" not in result.stderr:
        assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "saved_models").exists()


COMMANDS = [
    [], ["train"], ["sample"], ["evaluate"], ["export"], ["list"], ["reproduce"],
    ["detect"], ["impute"], ["augment"], ["features"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_there_at_once(command, tmp_path):
    began = time.perf_counter()
    result = run_alone(*command, "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "usage: genzoo" in result.stdout
    assert time.perf_counter() - began < 3, "help must not wait for TensorFlow"


@pytest.mark.parametrize("experiment", ["vae-mnist", "flow-prior", "flow-decoder"])
def test_reproduce_writes_figures_and_pictures(experiment, tmp_path):
    small = ["--data", "digits", "--quick", "--rows", "150", "--epochs", "1", "--quiet"]
    result = run("reproduce", experiment, *small, "--output", "out", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["training_rows"] == 150
    assert results["quick"]
    for row in results["models"]:
        figures = [v for v in row.values() if isinstance(v, float)]
        assert len(figures) >= 3
        assert np.isfinite(figures).all()
        if experiment == "vae-mnist":
            assert row["binarization"] == "threshold"
    pictures = sorted(p.name for p in (tmp_path / "out").glob("*.png"))
    assert len(pictures) == 1 + len(results["models"])
    assert "published" in result.stdout
    again = run("reproduce", experiment, *small, "--output", "out", cwd=tmp_path)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr


def test_reproduce_adbench_takes_a_folder_of_tables(tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "tables").mkdir()
    for name in ("1_a", "2_b"):
        x = np.r_[random.normal(size=(60, 3)), random.normal(size=(10, 3)) + 6]
        np.savez(tmp_path / "tables" / name, X=x, y=np.r_[np.zeros(60), np.ones(10)])
    small = ["--models", "default", "gaussian_mixture", "knn", "--seeds", "1", "--epochs", "2"]
    result = run(
        "reproduce", "adbench", "--data", "tables", *small, "--output", "out", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())["results"]
    assert len(results) == 2 * 2 * 3
    assert min(row["auroc"] for row in results) > 95
    assert "| mean |" in (tmp_path / "out" / "results.md").read_text()
    assert (tmp_path / "out" / "adbench.png").stat().st_size > 1000
    assert run("reproduce", "adbench", "--data", "nowhere", cwd=tmp_path).returncode == 2


APPLICATIONS = {
    "detect": (
        ["--normal", "8"],
        ["anomalies.png", "detector", "metrics.json", "scores.csv"],
        "auroc: 0.9",
    ),
    "impute": (
        ["--hide", "0.2", "--rows", "300", "--option", "num_rounds=1"],
        ["imputed.npy", "imputed.png", "metrics.json"],
        "KNNImputer",
    ),
    "augment": (
        ["--labels", "8", "--total", "20"],
        ["augmented.npz", "augmented.png", "metrics.json"],
        "with samples",
    ),
}


@pytest.mark.parametrize("command", APPLICATIONS)
def test_applications_write_figures_and_pictures(command, tmp_path):
    arguments, files, said = APPLICATIONS[command]
    result = run(command, *arguments, "--output", "out", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert said in result.stdout
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == files
    json.loads((tmp_path / "out" / "metrics.json").read_text())
    for picture in (tmp_path / "out").glob("*.png"):
        with Image.open(picture) as image:
            assert len(np.unique(np.asarray(image.convert("L")))) > 10


def test_applications_take_tables(tmp_path):
    random = np.random.default_rng(0)
    rows = random.normal(size=(150, 3))
    lines = [",".join("" if i % 9 == j else f"{v:.4f}" for j, v in enumerate(row))
             for i, row in enumerate(rows)]  # fmt: skip
    (tmp_path / "t.csv").write_text("a,b,c\n" + "\n".join(lines) + "\n")
    for arguments in (
        ["detect", "--data", "t.csv", "--output", "found"],
        ["impute", "--data", "t.csv", "--multiple", "2", "--output", "whole"],
    ):
        result = run(*arguments, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    for draw in ("imputed-1.csv", "imputed-2.csv"):
        whole = np.loadtxt(tmp_path / "whole" / draw, delimiter=",", skiprows=1)
        assert whole.shape == (150, 3)
        assert np.isfinite(whole).all()
    made = run("features", "--data", "digits", "--epochs", "1", "--output", "f.keras", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "f.keras").exists()


def test_ctrl_c_saves_what_was_learned(tmp_path):
    process = subprocess.Popen(
        [
            sys.executable, "-m", "zoo_scripts.main", "train", "nice", "--epochs", "100000",
            "--patience", "100000", "--option", "num_couplings=2", "--output", "run",
        ],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in process.stdout:
        if line.startswith("Epoch 5/"):
            break
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=120)
    assert process.returncode == 130, rest + errors
    assert "saved what was learned: run" in rest
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["interrupted"]
    assert metrics["epochs"] >= 4
    assert run("evaluate", "run", cwd=tmp_path).returncode == 0


def test_density_compares_models_with_kernels(tmp_path):
    arguments = ["--models", "gaussian_mixture", "nice", "--rows", 200, "--epochs", 2]
    result = run("density", *arguments, "--output", "found", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    metrics = json.loads((tmp_path / "found" / "metrics.json").read_text())
    assert list(metrics["models"]) == ["gaussian_mixture", "nice", "kernels"]
    assert metrics["models"]["kernels"]["likelihood_unit"] == "density"
    assert 1.0 < metrics["models"]["kernels"]["nll_nats"] < 1.5
    with Image.open(tmp_path / "found" / "density.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 50
    result = run("density", "--models", "gan", cwd=tmp_path)
    assert result.returncode == 2
    assert "with a likelihood" in result.stderr
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run a command in a folder of its own; return its code and what it says."""
    monkeypatch.chdir(tmp_path)

    def go(*arguments):
        result = run(*arguments, cwd=tmp_path)
        return result.returncode, result.stderr

    return go


def test_a_lone_worker_overwrites_nothing(command, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious.txt").write_text("thesis")
    task = {"type": "worker", "index": "0"}
    config = {"cluster": {"worker": ["127.0.0.1:1234"]}, "task": task}
    train = ("train", "gaussian_mixture", "--data", "moons", "--quiet", "--output", "mine")
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert command(*train)[0] == 2
    assert (tmp_path / "mine" / "precious.txt").exists()
    chief = {"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {**task, "type": "chief"}}
    for wrong in ("garbage", "[]", json.dumps(chief)):
        monkeypatch.setenv("TF_CONFIG", wrong)
        code, said = command(*train)
        assert code == 2
        assert "Expected TF_CONFIG" in said


def test_files_that_are_damaged_or_foreign_are_told_in_one_line(command, tmp_path):
    import keras

    folder = tmp_path / "saved_models" / "m"
    folder.mkdir(parents=True)
    model = genzoo.NICE((2,), num_couplings=2, hidden_units=(4,), seed=0)
    model.fit(genzoo.data.toy("moons", 64, seed=0), epochs=1, verbose=0)
    model.save(folder / "model.keras")
    for card in ('{"test": {', "[]", "\xff"):
        (folder / "metrics.json").write_bytes(card.encode("latin-1"))
        for arguments in (("evaluate", folder), ("report", folder)):
            code, said = command(*arguments)
            assert code == 2
            assert "JSON" in said
        assert command("list", "--saved")[0] == 0
    code, said = command("train", "nice", "--data", "moons", "--output", folder, "--resume")
    assert code == 2
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "plain.keras")
    code, said = command("evaluate", tmp_path / "plain.keras")
    assert code == 2
    assert "holds a Sequential" in said


def test_outputs_that_are_no_new_folders(command, tmp_path):
    train = ("train", "gaussian_mixture", "--data", "moons", "--quiet", "--overwrite", "--output")
    code, said = command(*train, ".")
    assert code == 2
    assert "name for the output" in said
    (tmp_path / "file").write_text("")
    assert command(*train, "file")[0] == 0
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert command(*train, "link")[0] == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "model.keras").exists()
    assert not list(tmp_path.glob(".*"))
    code, said = command(*train[:-2], "--output", "file", "--resume")
    assert code == 0
    code, said = command("train", "nice", "--data", "moons", "--output", "file", "--resume")
    assert code == 2
    assert "gaussian_mixture on moons" in said


def test_a_run_is_not_resumed_on_other_data(command, tmp_path):
    table = np.random.default_rng(0).normal(size=(40, 2))
    train = ("train", "nice", "--data", "table.csv", "--epochs", "2", "--quiet", "--output", "run")
    np.savetxt("table.csv", table, delimiter=",")
    with pytest.MonkeyPatch.context() as patch:
        # training is over, and a checkpoint lies there
        patch.setattr(train_command, "_scores", _killed)
        assert command(*train)[0] == 137
    table[7] += 1
    np.savetxt("table.csv", table, delimiter=",")
    assert (tmp_path / "run.training" / "run.json").exists()
    code, said = command(*train, "--resume")
    assert code == 2
    assert "contents of the data" in said


def _killed(*arguments, **named):
    raise SystemExit(137)
