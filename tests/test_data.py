"""Data sets by name and path, toy sets, pipelines, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import genzoo
from genzoo.data.image_files import ImageFolder
from genzoo.data.toy import TOYS


def write_images(folder, sizes, mode="RGB"):
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for i, (height, width) in enumerate(sizes):
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(folder / f"{i}.png")


def test_digits_are_split_by_the_seed():
    one, two, other = (genzoo.data.load("digits", seed=s) for s in (0, 0, 1))
    assert one.x_train.shape == (1437, 8, 8, 1)
    assert one.x_test.shape == (360, 8, 8, 1)
    assert one.x_train.dtype == np.uint8
    assert len(one.y_train) == 1437
    np.testing.assert_array_equal(one.x_test, two.x_test)
    assert (one.x_test != other.x_test).any()
    rows = {x.tobytes() for x in one.x_train}
    assert sum(x.tobytes() in rows for x in one.x_test) < 5


@pytest.mark.parametrize("name", TOYS)
def test_toy_sets_have_seeds(name):
    x = genzoo.data.toy(name, 500, seed=1)
    assert x.shape == (500, 2)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, genzoo.data.toy(name, 500, seed=1))
    assert (x != genzoo.data.toy(name, 500, seed=2)).any()
    assert np.abs(x).max() < 8
    assert genzoo.data.load(name).x_train.shape == (1600, 2)


def test_toy_sets_have_their_shapes():
    rings = np.linalg.norm(genzoo.data.toy("rings", 5000), axis=1)
    assert (np.abs(rings - rings.round()) < 0.4).all()
    assert set(rings.round()) == {1, 2, 3}
    board = np.floor(genzoo.data.toy("checkerboard", 5000))
    assert set(board.sum(axis=1) % 2) == {0}
    corners = genzoo.data.toy("eight_gaussians", 5000)
    angles = np.arctan2(corners[:, 1], corners[:, 0]) / (np.pi / 4)
    assert len(set(angles.round() % 8)) == 8


def test_npz_npy_and_csv(tmp_path):
    x = np.random.default_rng(0).normal(size=(50, 3)).astype("float32")
    y = np.arange(50) % 2
    np.savez(tmp_path / "table.npz", X=x, y=y)
    data = genzoo.data.load(tmp_path / "table.npz", test_size=0.1)
    assert (data.x_train.shape, data.x_test.shape, data.y_test.shape) == ((45, 3), (5, 3), (5,))
    np.savez(tmp_path / "split.npz", x_train=x, x_test=x[:5], y_train=y, y_test=y[:5])
    data = genzoo.data.load(tmp_path / "split.npz")
    np.testing.assert_array_equal(data.x_train, x)
    np.save(tmp_path / "table.npy", x)
    data = genzoo.data.load(tmp_path / "table.npy")
    assert isinstance(data.x_train, np.memmap)
    np.testing.assert_array_equal(data.x_test, x[40:])
    (tmp_path / "table.csv").write_text(
        "a,b,kind\n" + "".join(f"{i},{-i},{'even' if i % 2 == 0 else 'odd'}\n" for i in range(20))
    )
    data = genzoo.data.load(tmp_path / "table.csv", label="kind", test_size=0.25)
    assert data.x_train.shape == (15, 2)
    assert data.class_names == ["even", "odd"]
    assert (data.x_train[:, 0] % 2 == data.y_train).all()
    (tmp_path / "bare.csv").write_text("1,2\n3,4\n5,\n7,8\n")
    data = genzoo.data.load(tmp_path / "bare.csv", test_size=0.5)
    both = np.concatenate([data.x_train, data.x_test])
    assert np.isnan(both).sum() == 1
    with pytest.raises(genzoo.GenzooError, match="NaN"):
        genzoo.RealNVP((2,)).fit(both)


def test_named_files_are_found_in_the_data_folder(tmp_path, monkeypatch):
    images = np.zeros((7, 28, 28), "uint8")
    np.savez(tmp_path / "mnist.npz", x_train=images, x_test=images, y_train=images[:, 0, 0],
             y_test=images[:, 0, 0])  # fmt: skip
    np.savez(tmp_path / "own.npz", x_train=images, x_test=images)
    monkeypatch.setenv("GENZOO_DATA", str(tmp_path))
    assert genzoo.data.load("mnist").x_train.shape == (7, 28, 28, 1)
    assert "own" in genzoo.data.names()
    assert genzoo.data.load("own").y_train is None


def test_folders_of_images(tmp_path):
    write_images(tmp_path / "cats", [(20, 30), (16, 16), (8, 40)])
    write_images(tmp_path / "dogs", [(40, 20), (17, 19)], mode="L")
    (tmp_path / "dogs" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    with pytest.warns(UserWarning, match=r"broken\.png"):
        data = genzoo.data.load(tmp_path, image_size=(16, 16), test_size=0.25)
    assert data.x_train.shape == (3, 16, 16, 3)
    assert data.x_train.dtype == np.uint8
    assert data.class_names == ["cats", "dogs"]
    assert sorted([*data.y_train, *data.y_test]) == [0, 0, 1, 1]
    assert data.notes[0].startswith("1 images smaller")
    assert "broken.png" in data.notes[1]
    with pytest.warns(UserWarning, match="broken"):
        gray = genzoo.data.load(tmp_path, image_size=(8, 8), channels=1)
    assert gray.event_shape == (8, 8, 1)


def test_crops_of_any_size_stay_inside(tmp_path):
    for side in range(64, 129):
        Image.new("RGB", (side, 128)).save(tmp_path / f"{side}.png")
    data = genzoo.data.load(tmp_path, image_size=(64, 64), test_size=0.2)
    assert len(data.x_train) + len(data.x_test) == 65


def test_images_are_cropped_at_the_centre(tmp_path):
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, 10:20] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels).save(tmp_path / "b.png")
    data = genzoo.data.load(tmp_path, image_size=(5, 5), test_size=0.5)
    assert (data.x_train == 200).all()


def test_pipeline_of_an_array():
    x = np.arange(100, dtype="float32").reshape(50, 2)
    epochs = [
        [batch.numpy() for batch in genzoo.data.pipeline(x, batch_size=8, seed=3)] for _ in range(2)
    ]
    for a, b in zip(*epochs, strict=True):
        np.testing.assert_array_equal(a, b)
    together = np.concatenate(epochs[0])
    assert (together != x).any()
    np.testing.assert_array_equal(np.sort(together, axis=0), x)
    batches = genzoo.data.pipeline(x, batch_size=8, seed=3)
    first, second = (np.concatenate([b.numpy() for b in batches]) for _ in range(2))
    assert (first != second).any(), "each epoch has its own order"
    plain = genzoo.data.pipeline(x, shuffle=False)
    np.testing.assert_array_equal(np.concatenate([b.numpy() for b in plain]), x)


def test_pipelines_stream_from_disk_and_train(tmp_path):
    x = np.random.default_rng(0).normal(size=(600, 3)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    np.savetxt(tmp_path / "x.csv", np.c_[x, np.zeros(600)], delimiter=",", header="a,b,c,label",
               comments="")  # fmt: skip
    write_images(tmp_path / "images", [(12, 12)] * 6)
    streams = {
        (3,): [tmp_path / "x.npy", tmp_path / "x.csv"],
        (12, 12, 3): [tmp_path / "images"],
    }
    for event_shape, paths in streams.items():
        for path in paths:
            batches = genzoo.data.pipeline(path, batch_size=100, label="label", image_size=(12, 12))
            rows = np.concatenate([b.numpy() for b in batches])
            assert rows.shape[1:] == event_shape
            if len(event_shape) == 1:
                np.testing.assert_allclose(np.sort(rows, axis=0), np.sort(x, axis=0), rtol=1e-5)
            model = genzoo.GaussianMixture(event_shape, num_components=2, covariance_type="diag")
            model.fit(batches, epochs=2, verbose=0)
            assert np.isfinite(model.lower_bound_)


def test_memory_maps_train_without_being_read_whole(tmp_path):
    x = np.random.default_rng(0).normal(size=(500, 4))
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    a = genzoo.RealNVP((4,), num_couplings=2, hidden_units=(8,), seed=0)
    b = genzoo.RealNVP((4,), num_couplings=2, hidden_units=(8,), seed=0)
    one = a.fit(mapped, epochs=2, verbose=0).history["loss"]
    two = b.fit(x, epochs=2, verbose=0).history["loss"]
    np.testing.assert_allclose(one, two, rtol=1e-5)


def test_bad_sources_are_refused(tmp_path):
    (tmp_path / "broken.npz").write_bytes(b"PK not a zip")
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "header.csv").write_text("a,b\n")
    (tmp_path / "words.csv").write_text("a,b\n" + "1,2\n" * 20 + "1,red\n")
    (tmp_path / "uneven.csv").write_text("a,b\n1,2\n1\n")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "nothing").mkdir()
    np.savez(tmp_path / "odd.npz", first=np.zeros((2, 2)), second=np.zeros((2, 2)))
    np.save(tmp_path / "scalars.npy", np.zeros(3))
    write_images(tmp_path / "small", [(4, 4)])
    calls = {
        "Did you mean 'digits'": lambda: genzoo.data.load("digts"),
        "does not exist": lambda: genzoo.data.load(tmp_path / "none.npz"),
        r"broken\.npz": lambda: genzoo.data.load(tmp_path / "broken.npz"),
        r"broken\.npy": lambda: genzoo.data.load(tmp_path / "broken.npy"),
        "empty file": lambda: genzoo.data.load(tmp_path / "empty.csv"),
        "below the header": lambda: genzoo.data.load(tmp_path / "header.csv"),
        "column 'b'.*'red' in line 22": lambda: genzoo.data.load(tmp_path / "words.csv"),
        "1 in line 3": lambda: genzoo.data.load(tmp_path / "uneven.csv"),
        "Unknown label column": lambda: genzoo.data.load(tmp_path / "words.csv", label="c"),
        r"notes\.txt": lambda: genzoo.data.load(tmp_path / "notes.txt"),
        "holds none": lambda: genzoo.data.load(tmp_path / "nothing"),
        "first, second": lambda: genzoo.data.load(tmp_path / "odd.npz"),
        "at least one row": lambda: genzoo.data.load(tmp_path / "scalars.npy"),
        "1 smaller": lambda: genzoo.data.load(tmp_path / "small"),
        "test_size=2": lambda: genzoo.data.load("digits", test_size=2),
        "Did you mean 'moons'": lambda: genzoo.data.toy("moon"),
        "n=0": lambda: genzoo.data.toy("moons", 0),
        "stream": lambda: genzoo.data.pipeline(tmp_path / "odd.npz"),
        "source=''": lambda: genzoo.data.load(""),
    }
    for message, call in calls.items():
        with pytest.raises(genzoo.GenzooError, match=message):
            call()


def test_prefetching_pipeline_is_a_data_set():
    assert isinstance(genzoo.data.pipeline(np.zeros((4, 2))), tf.data.Dataset)


def test_labels_are_one_for_each_row(tmp_path):
    x, y = np.zeros((20, 2), "float32"), np.arange(20) % 4
    for wrong in (np.eye(4)[y], y[:10], np.array(3)):
        np.savez(tmp_path / "d.npz", X=x, y=wrong)
        with pytest.raises(genzoo.GenzooError, match="one label for each"):
            genzoo.data.load(tmp_path / "d.npz", seed=0)
        np.savez(tmp_path / "d.npz", x_train=x, y_train=wrong, x_test=x, y_test=y)
        with pytest.raises(genzoo.GenzooError, match="one label for each"):
            genzoo.data.load(tmp_path / "d.npz")
    np.savez(tmp_path / "d.npz", x_train=x, x_test=x[:, :1])
    with pytest.raises(genzoo.GenzooError, match="one shape"):
        genzoo.data.load(tmp_path / "d.npz")
    rows = "".join(f"{i},{i % 12}\n" for i in range(48))
    (tmp_path / "t.csv").write_text("\ufeffa,kind\n" + rows, encoding="utf-8")
    data = genzoo.data.load(tmp_path / "t.csv", label="kind", seed=0)
    assert data.class_names == [str(i) for i in range(12)]
    assert np.array_equal(data.x_train[:, 0] % 12, data.y_train)
    (tmp_path / "t.csv").write_text("\ufeff" + rows, encoding="utf-8")
    data = genzoo.data.load(tmp_path / "t.csv", seed=0)
    assert len(data.x_train) + len(data.x_test) == 48, "the mark made a header of the first row"


def test_files_that_are_not_what_their_names_say(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 2))
    np.savez_compressed(tmp_path / "a.npz", X=x)
    whole = (tmp_path / "a.npz").read_bytes()
    refused = 0
    for i in range(0, len(whole), 7):
        (tmp_path / "b.npz").write_bytes(whole[:i] + bytes([whole[i] ^ 255]) + whole[i + 1 :])
        try:
            genzoo.data.load(tmp_path / "b.npz", seed=0)
        except genzoo.GenzooError:
            refused += 1
    assert refused
    np.save(tmp_path / "c.npy", x)
    (tmp_path / "c.npy").rename(tmp_path / "c.npz")
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    for name in ("c.npz", "a.npy"):
        with pytest.raises(genzoo.GenzooError, match="Expected a"):
            genzoo.data.load(tmp_path / name)
    (tmp_path / "t.csv").write_bytes(b"a,b\n" + b"1,2\n" * 9000 + b"\xe9,1\n")
    with pytest.raises(genzoo.GenzooError, match="'é' in line 9002"):
        genzoo.data.load(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,2\n\0\0,1\n")
    with pytest.raises(genzoo.GenzooError, match="text file"):
        genzoo.data.load(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3\n")
    with pytest.raises(genzoo.GenzooError, match="2 cells in each row"):
        genzoo.data.load(tmp_path / "t.csv", label="b")


def test_bytes_of_another_machine(tmp_path):
    x = genzoo.data.toy("moons", 200, seed=0).astype("float32")
    losses = []
    for kind in ("<f4", ">f4"):
        np.save(tmp_path / "x.npy", x.astype(kind))
        data = genzoo.data.load(tmp_path / "x.npy", seed=0)
        model = genzoo.RealNVP((2,), num_couplings=2, hidden_units=(8,), seed=0)
        losses.append(model.fit(data.x_train, epochs=2, verbose=0).history["loss"])
    assert losses[0] == losses[1]


def test_deep_and_turned_images(tmp_path):
    ramp = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1040
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    Image.fromarray(np.asarray(ramp // 257, np.uint8)).save(tmp_path / "plain.png")
    data = genzoo.data.load(tmp_path, image_size=(8, 8), channels=1, seed=0)
    assert np.array_equal(data.x_train, data.x_test)
    turned = Image.Exif()
    turned[0x0112] = 6
    upright = np.asarray(ramp // 257, np.uint8)
    Image.fromarray(np.rot90(upright)).save(tmp_path / "turned.png", exif=turned)
    images = ImageFolder(tmp_path, (8, 8), 1)
    assert np.array_equal(images.read(tmp_path / "turned.png")[..., 0], upright)
