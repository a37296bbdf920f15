"""Pages on trained models, and the pictures in them."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import tensorflow as tf

import genzoo
from tests.tiny import tiny
from zoo_scripts.main import main


class Reader(HTMLParser):
    """Collects text, and what a page loads from elsewhere."""

    def __init__(self, page):
        super().__init__()
        self.text, self.outside, self.open = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img"):
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href") and not value.startswith("data:"):
                self.outside.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(page):
    reader = Reader(page)
    assert reader.open == []
    assert reader.outside == []
    return " ".join(reader.text)


@pytest.mark.parametrize("name", ["vae", "gan"])
def test_a_report_says_what_its_figures_are(name, tmp_path, monkeypatch):
    # two strategies in one process take each other's messages
    monkeypatch.setattr(genzoo.training, "strategy", tf.distribute.get_strategy)
    options = ["--option", "latent_dim=2", "--epochs", "1", "--quiet"]
    assert main(["train", name, "--data", "digits", *options, "--output", str(tmp_path / "m")]) == 0
    assert main(["report", str(tmp_path / "m"), "--num-images", "10"]) == 0
    text = read((tmp_path / "m" / "report.html").read_text())
    card = json.loads((tmp_path / "m" / "metrics.json").read_text())
    assert card["command"] in text
    assert "sign of memorisation" in text
    assert "What the latent plane decodes to" in text
    if name == "vae":
        assert "is a lower bound" in text
        # all 360 test rows are scored
        assert f"{card['test']['nll_nats']:.3f}" in text
    else:
        assert "no likelihood" in text
    page = (tmp_path / "m" / "report-blind-test.html").read_text()
    images = json.loads(re.search(r"IMAGES = (\[.*?\]);", page).group(1))
    assert sum(image["real"] for image in images) == 5
    assert len({image["src"] for image in images}) == 10
    # nothing is written over
    assert main(["report", str(tmp_path / "m")]) == 2


def test_a_report_on_points_shows_their_density():
    data = genzoo.data.load("moons", seed=0)
    model = genzoo.GaussianMixture((2,), num_components=4, seed=0)
    history = model.fit(data.x_train, verbose=0)
    card = {"history": history.history, "options": {"a": "<script>"}}
    page = genzoo.reports.report(model, data, card=card)
    text = read(page)
    assert "changes with their unit" in text
    assert "Log-density" in text
    assert "a=<script>" in text
    with pytest.raises(genzoo.GenzooError, match="images"):
        genzoo.reports.blind_test(model, data)


def test_a_report_on_sequences_shows_their_states():
    data = genzoo.data.load("digits", seed=0)
    model = tiny("hidden_markov_model")
    model.fit(data.x_train[:100], epochs=1, verbose=0)
    assert "likeliest states" in read(genzoo.reports.report(model, data))


def test_answers_to_a_blind_test_belong_to_its_images():
    data = genzoo.data.load("digits", seed=0)

    def key(seed):
        model = tiny("vae", seed=seed)
        model.adapt(data.x_train)
        return re.search('KEY = "([^"]+)"', genzoo.reports.blind_test(model, data, num_images=4))[1]

    assert key(0) == key(0)
    assert key(0) != key(1), "another model's page went on with the answers to this one"


def test_copies_of_training_rows_are_counted():
    data = genzoo.data.load("digits", seed=0)
    model = tiny("vae")
    model.adapt(data.x_train)
    model.sample = lambda n, **_: data.x_train[:n]
    assert "360 of 360 samples are copies" in read(genzoo.reports.report(model, data))


def test_pictures_of_densities_reconstructions_and_states():
    x = genzoo.data.toy("moons", 300, seed=0)
    model = genzoo.GaussianMixture((2,), num_components=2, seed=0)
    model.fit(x, verbose=0)
    threshold = float(np.quantile(model.log_prob(x), 0.1))
    axes = genzoo.plotting.density(model, x, threshold=threshold, resolution=20)
    axes.figure.canvas.draw()
    assert genzoo.plotting.density(model, x, ax=axes) is axes
    with pytest.raises(genzoo.GenzooError, match=r"event shape \(2,\)"):
        genzoo.plotting.density(model, x[:, :1])
    images = genzoo.data.load("digits").x_train[:4]
    vae = tiny("vae")
    vae.adapt(images)
    assert genzoo.plotting.reconstructions(vae, images).images[0].get_array().shape == (19, 37)
    with pytest.raises(genzoo.GenzooError, match="reconstructs"):
        genzoo.plotting.reconstructions(model, x)
    steps = np.repeat([0.0, 5.0, 0.0], 40)[:, None] + np.random.default_rng(0).normal(size=(120, 1))
    chain = genzoo.HiddenMarkovModel((1,), num_states=2, seed=0)
    chain.fit(steps[None], verbose=0)
    axes = genzoo.plotting.states(chain, steps)
    assert len(axes.patches) == 3
    assert len(axes.get_legend().get_texts()) == 2
