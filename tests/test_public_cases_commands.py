"""Situations of the commands, of training's outputs and of folders of images."""

import configparser
import io
import json
import os
import shutil
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from PIL import Image

import genzoo
from genzoo.data.image_files import ImageFolder
from genzoo.training import Checkpoint
from tests.test_house import imports_of
from tests.test_scripts import ROOT, TINY, run, run_alone

NICE = ("train", "nice", *TINY, "--data", "moons")


# Names of models


def test_models_that_ship_have_a_name_in_every_command(tmp_path):
    name = "gaussian_mixture-digits"
    scored = run("evaluate", name, cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    card = genzoo.pretrained.card(name)
    assert json.loads(scored.stdout)["nll_nats"] == pytest.approx(card["test"]["nll_nats"])
    assert run("sample", name, "--output", "a.npy", cwd=tmp_path).returncode == 0
    assert run("export", name, "--output", "served", cwd=tmp_path).returncode == 0
    shipped = {path: path.stat().st_mtime for path in genzoo.pretrained_models()[name].iterdir()}
    assert run("report", name, cwd=tmp_path).returncode == 0
    assert (tmp_path / "runs" / name / "report.html").exists()
    assert shipped == {path: path.stat().st_mtime for path in shipped}
    missed = run("evaluate", "gaussian-mixture-digits", cwd=tmp_path)
    assert missed.returncode == 2
    assert f"Did you mean '{name}'" in missed.stderr
    # a folder of the user's own comes first
    model = genzoo.GaussianMixture((2,), seed=0)
    model.fit(genzoo.data.toy("moons", 64, seed=0), verbose=0)
    (tmp_path / name).mkdir()
    model.save(tmp_path / name / "model.keras")
    own = run("sample", name, "--output", "b.npy", cwd=tmp_path)
    assert "of shape (2,)" in own.stdout


def test_lists_are_short_and_come_at_once(tmp_path):
    listed = run("list", "--pretrained", cwd=tmp_path).stdout.splitlines()
    assert [line.split()[0] for line in listed] == sorted(genzoo.pretrained_models())
    assert max(map(len, listed)) < 80
    began = time.perf_counter()
    listed = run_alone("list", cwd=tmp_path)
    missed = run_alone("train", "relnvp", cwd=tmp_path)
    assert time.perf_counter() - began < 3, "two commands that need no TensorFlow"
    header, *rows = listed.stdout.splitlines()
    assert [row.split()[0] for row in rows] == genzoo.models()
    (maf,) = (row for row in rows if row.startswith("maf "))
    assert maf.endswith(genzoo.MAF.__doc__.splitlines()[0])
    starts = {name: header.index(name) for name in ("training", "context", "likelihood")}
    assert [maf[start:].split()[0] for start in starts.values()] == ["gradient", "may", "exact"]
    assert missed.returncode == 2
    assert "Did you mean 'realnvp'" in missed.stderr


def test_messages_of_tensorflow_do_not_reach_the_terminal(tmp_path):
    # a level that many set, and that lets the errors of CUDA through
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "2"}
    made = subprocess.run(
        [sys.executable, "-m", "genzoo", "sample", "gaussian_mixture-digits", "--output", "a.npy"],
        cwd=tmp_path, capture_output=True, text=True, timeout=240, env=environment,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert made.stderr == ""
    assert (tmp_path / "a.npy").exists()


# Training


def test_a_finished_run_goes_on_with_more_epochs(tmp_path):
    digits = ("train", "nice", *TINY[:4], "--quiet", "--patience", 3, "--output")
    assert run(*digits, "whole", "--epochs", 5, cwd=tmp_path).returncode == 0
    assert run(*digits, "parts", "--epochs", 2, cwd=tmp_path).returncode == 0
    same = run(*digits, "parts", "--epochs", 2, "--resume", cwd=tmp_path)
    assert same.stdout == "finished already (all epochs): parts\n"
    refused = run(*digits, "parts", "--epochs", 5, "--resume", "--seed", 1, cwd=tmp_path)
    assert refused.returncode == 2
    assert "seed 1, begun with 0" in refused.stderr
    assert not (tmp_path / "parts.training").exists()
    longer = run(*digits, "parts", "--epochs", 5, "--resume", cwd=tmp_path)
    assert longer.returncode == 0, longer.stderr
    cards = [json.loads((tmp_path / n / "metrics.json").read_text()) for n in ("whole", "parts")]
    assert cards[0]["history"] == cards[1]["history"]
    models = [keras.models.load_model(tmp_path / n / "model.keras") for n in ("whole", "parts")]
    for a, b in zip(*(m.weights for m in models), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    shutil.rmtree(tmp_path / "parts" / "training")
    lost = run(*digits, "parts", "--epochs", 6, "--resume", cwd=tmp_path)
    assert lost.returncode == 2
    assert "--overwrite" in lost.stderr


class Rising(keras.callbacks.Callback):
    """Makes the second epoch look worse than the first."""

    def on_epoch_end(self, epoch, logs=None):
        logs["loss"] = float(epoch)


def test_a_longer_run_goes_on_from_the_last_weights_not_from_the_best(tmp_path):
    x = genzoo.data.toy("moons", 200, seed=0)

    def train(folder, epochs, *more):
        model = genzoo.NICE((2,), num_couplings=2, hidden_units=(4,), seed=0)
        best = keras.callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True)
        callbacks = [*more, Rising(), best, Checkpoint(tmp_path / folder, resume=True)]
        history = model.fit(x, epochs=epochs, callbacks=callbacks, verbose=0)
        return model, history, best

    class Unrelated(keras.callbacks.Callback):
        pass

    whole, _, best = train("whole", 4)
    train("parts", 2)
    # a callback that has come since takes nobody's place
    longer, rest, again = train("parts", 4, Unrelated())
    assert rest.epoch == [2, 3]
    assert again.best_epoch == best.best_epoch == 0
    for a, b in zip(whole.weights, longer.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    for (_, first), (_, second) in zip(whole._optimized(), longer._optimized(), strict=True):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
    checkpoints = [max((tmp_path / n).iterdir()) / "model.weights.h5" for n in ("whole", "parts")]
    last = [genzoo.NICE((2,), num_couplings=2, hidden_units=(4,), seed=1) for _ in checkpoints]
    for model, file in zip(last, checkpoints, strict=True):
        model.load_weights(file, skip_mismatch=True)
    for a, b in zip(*(m.trainable_variables for m in last), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_refused_run_leaves_nothing_in_the_way_and_a_file_gets_a_line_an_epoch(tmp_path):
    np.savetxt(tmp_path / "holes.csv", [[1.5, np.nan], [2.5, 3.5]] * 20, delimiter=",")
    command = ("train", "nice", *TINY[:4], "--epochs", 3, "--output", "run")
    refused = run(*command, "--data", "holes.csv", cwd=tmp_path)
    assert refused.returncode == 2
    assert "NaN" in refused.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["holes.csv"]
    corrected = run(*command, "--data", "moons", cwd=tmp_path)
    assert corrected.returncode == 0, corrected.stderr
    lines = corrected.stdout.splitlines()
    assert sum(line.startswith("Epoch ") for line in lines) == 3
    assert "\b" not in corrected.stdout and "\r" not in corrected.stdout
    assert len(corrected.stdout) < 2000
    assert any(line.startswith("ended after all epochs; the best epoch was") for line in lines)


@pytest.mark.parametrize("command", [NICE, ("export", "gaussian_mixture-digits")])
def test_a_folder_of_other_files_is_not_replaced(command, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    refused = run(*command, "--output", "thesis", "--overwrite", cwd=tmp_path)
    assert refused.returncode == 2
    assert "holds other files" in refused.stderr
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


# Conditional models


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Folders of photographs and their negatives, by name; one has no partner."""
    folder = tmp_path_factory.mktemp("pairs")
    for name in ("photos", "negatives"):
        (folder / name).mkdir()
    for i, image in enumerate(genzoo.data.load("digits", seed=0).x_train[:60, ..., 0]):
        Image.fromarray(15 * image).save(folder / "photos" / f"{i:02}.png")
        # written in another order of time and size
        Image.fromarray(255 - 15 * image).resize((16, 16), 0).save(
            folder / "negatives" / f"{i:02}.bmp"
        )
    (folder / "negatives" / "07.bmp").unlink()
    return folder


IMAGES = ("--gray", "--image-size", 8)


def test_pix2pix_takes_folders_of_pairs(pairs):
    data = genzoo.data.load(
        pairs / "photos", context=pairs / "negatives", image_size=(8, 8), channels=1, seed=0
    )
    assert len(data.x_train) + len(data.x_test) == 59
    for x, context in ((data.x_train, data.context_train), (data.x_test, data.context_test)):
        np.testing.assert_array_equal(context, 255 - x)
    assert data.notes == ["1 images without a partner of the same name left out"]
    small = ("--option", "filters=4", "--epochs", 1, "--quiet")
    train = ("train", "pix2pix", "--data", "photos", *IMAGES, *small, "--output", "made")
    refused = run(*train, cwd=pairs)
    assert refused.returncode == 2
    assert "--context" in refused.stderr and "labels" not in refused.stderr
    made = run(*train, "--context", "negatives", cwd=pairs)
    assert made.returncode == 0, made.stderr
    assert "without a partner" in made.stderr
    model = keras.models.load_model(pairs / "made" / "model.keras")
    assert model.source_shape == (8, 8, 1)
    scored = run("evaluate", "made", cwd=pairs)
    assert scored.returncode == 0, scored.stderr
    drawn = run("sample", "made", "--context", "negatives", "--output", "a.npy", cwd=pairs)
    assert drawn.returncode == 0, drawn.stderr
    assert np.load(pairs / "a.npy").shape == (59, 8, 8, 1)


def test_cyclegan_takes_folders_of_any_lengths(pairs):
    data = genzoo.data.load(
        pairs / "photos", context=pairs / "negatives", pairs=False, image_size=(8, 8), channels=1
    )
    assert len(data.x_train) + len(data.x_test) == 60
    assert len(data.context_train) + len(data.context_test) == 59
    with pytest.raises(genzoo.GenzooError, match="share none"):
        (pairs / "others").mkdir()
        Image.new("L", (8, 8)).save(pairs / "others" / "x.png")
        genzoo.data.load(pairs / "photos", context=pairs / "others", image_size=(8, 8))


def test_a_column_or_an_array_conditions_a_model(tmp_path):
    random = np.random.default_rng(0)
    rows = random.normal(size=(100, 4)).astype("float32")
    header = "a,year,b,region"
    np.savetxt(tmp_path / "t.csv", rows, delimiter=",", header=header, comments="")
    data = genzoo.data.load(tmp_path / "t.csv", context=["region", "year"], seed=0)
    x = np.concatenate([data.x_train, data.x_test])
    context = np.concatenate([data.context_train, data.context_test])
    at = [int(np.abs(rows[:, 0] - value).argmin()) for value in x[:, 0]]
    np.testing.assert_allclose(x, rows[at][:, [0, 2]], atol=1e-6)
    np.testing.assert_allclose(context, rows[at][:, [3, 1]], atol=1e-6)
    with pytest.raises(genzoo.GenzooError, match="Did you mean 'year'"):
        genzoo.data.load(tmp_path / "t.csv", context=["yaer"])
    tiny = ("--option", "num_couplings=2", "--epochs", 1, "--quiet")
    made = run(
        "train", "nice", "--data", "t.csv", "--context", "region", "year", *tiny, "--output", "run",
        cwd=tmp_path,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert keras.models.load_model(tmp_path / "run" / "model.keras").context_dim == 2
    assert run("evaluate", "run", cwd=tmp_path).returncode == 0
    drawn = run("sample", "run", "--context", "0.5,-1", "--n", 3, "--output", "a.npy", cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    assert np.load(tmp_path / "a.npy").shape == (3, 2)
    np.savez(tmp_path / "t.npz", x=rows[:, :2], context=rows[:, 2:])
    data = genzoo.data.load(tmp_path / "t.npz")
    assert data.context_train.shape == (80, 2)
    np.savez(tmp_path / "t.npz", x=rows[:, :2], context=rows[:50, 2:])
    with pytest.raises(genzoo.GenzooError, match="100 rows of x, 50 rows of context"):
        genzoo.data.load(tmp_path / "t.npz")


def test_a_gan_is_evaluated_by_its_samples(tmp_path):
    scored = run("evaluate", "dcgan-digits", cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    found = json.loads(scored.stdout)
    card = genzoo.pretrained.card("dcgan-digits")
    assert found["coverage"] == pytest.approx(card["test"]["coverage"], abs=0.05)


# Pictures


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (28, 1), (64, 3), (128, 3)])
def test_pixels_are_drawn_in_whole_multiples(side, channels):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (5, side, side, channels), dtype=np.uint8)
    for title in (None, "five"):
        axes = genzoo.plotting.image_grid(images, columns=3, low=0, high=255, title=title)
        file = io.BytesIO()
        axes.figure.savefig(file, format="png")
        with Image.open(file) as picture:
            shown = np.asarray(picture.convert("RGB"))
        scale = -(-60 // side)
        shown = shown[len(shown) - scale * (2 * (side + 1) + 1) :]
        assert shown.shape == (scale * (2 * (side + 1) + 1), scale * (3 * (side + 1) + 1), 3)
        small = shown[::scale, ::scale]
        np.testing.assert_array_equal(shown, small.repeat(scale, 0).repeat(scale, 1))
        for i, image in enumerate(images):
            top, left = i // 3 * (side + 1) + 1, i % 3 * (side + 1) + 1
            drawn = small[top : top + side, left : left + side]
            # Matplotlib's grey has 256 levels, the last two of which are one
            difference = drawn.astype(int) - np.broadcast_to(image, drawn.shape)
            assert np.abs(difference).max() <= 1


def test_the_first_picture_comes_by_time(tmp_path):
    x = genzoo.data.load("digits", seed=0).x_train[:128]
    model = genzoo.GAN((8, 8, 1), generator_units=(8,), discriminator_units=(8,), seed=0)
    grid = genzoo.training.SampleGrid(tmp_path / "grid", every=10, seconds=0.0, num_samples=4)
    model.fit(x, epochs=2, batch_size=32, callbacks=[grid], verbose=0)
    names = ["epoch_0001.png", "epoch_0002.png", "progress.png"]
    assert sorted(os.listdir(tmp_path / "grid")) == names
    alone = genzoo.GAN((8, 8, 1), generator_units=(8,), discriminator_units=(8,), seed=0)
    alone.fit(x, epochs=2, batch_size=32, verbose=0)
    for a, b in zip(model.weights, alone.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


# Folders of images


def write(path, count, side=10):
    path.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(len(path.name))
    for i in range(count):
        pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{path.name}{i}.png")


def test_a_stray_folder_makes_no_labels(tmp_path):
    write(tmp_path / "images", 30)
    write(tmp_path / "images" / "sub", 2)
    data = genzoo.data.load(tmp_path / "images", image_size=(8, 8))
    assert data.y_train is None
    assert data.class_names == []
    (note,) = data.notes
    assert "30 in ., 2 in sub" in note and "--label folder" in note
    options = ("--data", "images", "--image-size", 8, "--epochs", 1, "--output", "f.keras")
    refused = run("features", *options, cwd=tmp_path)
    assert refused.returncode == 2
    assert "Expected data with labels" in refused.stderr
    assert "2 in sub" in refused.stderr
    asked = genzoo.data.load(tmp_path / "images", image_size=(8, 8), label="folder")
    assert asked.class_names == [".", "sub"]
    assert sorted(np.bincount(np.r_[asked.y_train, asked.y_test])) == [2, 30]
    assert ImageFolder(tmp_path / "images" / "sub", (8, 8), label="folder").class_names == []
    with pytest.raises(genzoo.GenzooError, match="label='kind'"):
        genzoo.data.load(tmp_path / "images", label="kind")


def test_what_notebooks_and_desktops_hide_is_no_class(tmp_path):
    write(tmp_path / "images" / "cats", 4)
    write(tmp_path / "images" / "dogs", 4)
    write(tmp_path / "images" / ".ipynb_checkpoints", 2)
    write(tmp_path / "images" / "__MACOSX" / "cats", 2)
    shutil.copy(
        tmp_path / "images" / "cats" / "cats0.png", tmp_path / "images" / "cats" / "._cats0.png"
    )
    data = genzoo.data.load(tmp_path / "images", image_size=(8, 8))
    assert data.class_names == ["cats", "dogs"]
    assert len(data.x_train) + len(data.x_test) == 8


# The package


def test_every_package_that_is_imported_is_installed():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    installed = setup["options"]["install_requires"] + setup["options.extras_require"]["test"]
    declared = {line.partition(">")[0].strip() for line in installed.splitlines()}
    names = {"PIL": "pillow", "sklearn": "scikit-learn"}
    imported = {
        module.partition(".")[0]
        for folder in ("genzoo", "zoo_scripts")
        for path in (ROOT / folder).rglob("*.py")
        for module in imports_of(path)
    }
    others = imported - sys.stdlib_module_names - {"genzoo", "zoo_scripts"}
    assert {names.get(name, name.replace("_", "-")) for name in others} <= declared


def test_a_reader_that_stops_is_no_fault():
    gone, output = os.pipe()
    os.close(gone)
    command = [sys.executable, "-m", "zoo_scripts.main", "list"]
    done = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    os.close(output)
    assert (done.returncode, done.stderr) == (0, "")
