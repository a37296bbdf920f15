"""The models that ship are what their cards say."""

import configparser
import runpy
from pathlib import Path

import numpy as np
import pytest

import genzoo
from genzoo.core.errors import DataError
from genzoo.pretrained import card, load_file, pretrained_models
from zoo_scripts.train import reached

ROOT = Path(__file__).parent.parent
NAMES = sorted(pretrained_models())


def test_each_is_packaged_and_has_its_command():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    made = runpy.run_path(str(ROOT / "saved_models" / "make.py"))["COMMANDS"]
    assert all((ROOT / "saved_models" / name / "model.keras").exists() for name in made)
    assert dict(parser["options.data_files"]) == {
        f"share/genzoo/saved_models/{name}": f"saved_models/{name}/*.*" for name in made
    }


def test_the_zoo_is_small_and_complete():
    kinds = {card(name)["model"] for name in NAMES}
    assert {"realnvp", "vae", "dcgan", "gaussian_mixture"} <= kinds
    files = [file for path in pretrained_models().values() for file in path.iterdir()]
    shipped = [file for file in files if file.suffix in (".keras", ".json", ".png")]
    assert sum(file.stat().st_size for file in shipped) < 20e6


@pytest.mark.parametrize("name", NAMES)
def test_a_trained_model_keeps_what_its_card_says(name):
    model, told = genzoo.load_pretrained(name), card(name)
    assert told["command"].startswith("genzoo train")
    try:
        data = genzoo.data.load(told["data"], seed=told["seed"], **told["data_options"])
    except genzoo.GenzooError as error:
        pytest.skip(str(error))
    context = data.y_test if model.num_classes else None
    samples = model.sample(16, context=None if context is None else context[:16], seed=0)
    assert samples.shape == (16, *data.event_shape)
    if not model.traits.has_density:
        assert reached(model, data, context)["coverage"] == pytest.approx(
            told["test"]["coverage"], abs=0.02
        )
    else:
        nats = -model.score(data.x_test)
        assert nats == pytest.approx(told["test"]["nll_nats"], rel=1e-4)


def test_unknown_names_and_damaged_files(tmp_path):
    with pytest.raises(genzoo.GenzooError, match="Did you mean 'realnvp-digits'"):
        genzoo.load_pretrained("realnvp-digit")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "model.keras").write_bytes(np.arange(100, dtype="uint8").tobytes())
    with pytest.raises(genzoo.GenzooError, match="does not load"):
        genzoo.load_pretrained("broken", folder=tmp_path)


def test_a_file_of_the_first_version_is_refused_with_the_reason():
    file = Path(__file__).parent / "data" / "realnvp_of_version_0_1.keras"
    with pytest.raises(DataError, match=r"version 0\.1, whose weights had other places"):
        load_file(file)
