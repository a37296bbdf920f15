"""What models declare: it is true, and lists and tables say the same."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

import genzoo
from genzoo.core import traits
from genzoo.core.registry import traits_of
from genzoo.core.traits import Traits
from tests.tiny import TINY, tiny
from zoo_scripts.catalog import model_summaries, model_traits
from zoo_scripts.list import describe

ROOT = Path(__file__).parent.parent
TRAITS = {name: traits_of(name) for name in genzoo.models()}


@pytest.mark.parametrize("name", TRAITS)
def test_examples_are_those_declared(name):
    """A model is built for each kind that it lists, and for no other."""
    found = []
    for event_shape in ((5,), (8, 8, 1)):
        try:
            model = genzoo.build(name, event_shape=event_shape, **TINY[name])
        except genzoo.GenzooError:
            continue
        found.append(model.example_kind)
        assert model.on_images == (model.example_kind in ("image", "pair"))
    assert tuple(dict.fromkeys(found)) == TRAITS[name].examples


@pytest.mark.parametrize("name", TRAITS)
def test_contexts_are_as_declared(name):
    event_shape = (8, 8, 1)
    made = []
    for given in ({"num_classes": None}, {"num_classes": 3}):
        try:
            made.append(bool(tiny(name, event_shape, **given).context_size))
        except genzoo.GenzooError as error:
            assert "context" in str(error) or "num_classes" in str(error)
    assert made == {"no": [False], "may": [False, True], "must": [True]}[TRAITS[name].context]


@pytest.mark.parametrize("name", TRAITS)
def test_missing_values_are_taken_where_declared(name):
    declared = TRAITS[name]
    x = np.random.default_rng(0).normal(size=(64, 8, 8, 1)).astype("float32")
    x[3, 2, 1] = np.nan
    model = tiny(name)
    context = None
    if declared.context == "must":
        context = x if "pair" in declared.examples else np.arange(64) % 10
    if declared.missing_values:
        model.adapt(x)
        assert np.isfinite(model.log_prob(x)).all()
    else:
        with pytest.raises(genzoo.GenzooError, match="NaN"):
            model.adapt(x, context)


@pytest.mark.parametrize("name", TRAITS)
def test_protocols_hold_for_whole_families(name):
    model = tiny(name)
    families = {
        traits.Reconstructs: (genzoo.VAE, genzoo.GAN),
        traits.Conditions: (genzoo.GaussianMixture, genzoo.BayesianGaussianMixture),
        traits.Inverts: genzoo.GAN,
        traits.Discriminates: (genzoo.GAN, genzoo.Pix2Pix, genzoo.CycleGAN),
        traits.HasLatentSpace: (genzoo.Flow, genzoo.VAE, genzoo.GAN),
        traits.WeighsDivergence: genzoo.VAE,
        traits.HasStates: genzoo.HiddenMarkovModel,
    }
    for protocol, family in families.items():
        assert isinstance(model, protocol) == isinstance(model, family), protocol


@pytest.mark.parametrize("name", [name for name in TRAITS if TRAITS[name].has_density])
def test_a_distribution_is_there_where_declared(name):
    model = tiny(name, (2,))
    x = genzoo.data.toy("moons", 64, seed=0)
    model.adapt(x)
    if TRAITS[name].distribution:
        found = model.distribution().log_prob(x.astype(model.float_dtype))
        np.testing.assert_allclose(found, model.log_prob(x), rtol=1e-4, atol=1e-4)
    else:
        with pytest.raises(genzoo.NoDensityError):
            model.distribution()


def test_what_is_no_trait_is_refused():
    for wrong in (
        {"training": "EM"},
        {"likelihood": "bound"},
        {"context": True},
        {"examples": ()},
        {"examples": "row"},
        {"examples": ("row", "picture")},
    ):
        (name,) = wrong
        with pytest.raises(genzoo.GenzooError, match=f"Received: {name}="):
            Traits(**wrong)
    with pytest.raises(genzoo.GenzooError, match="Did you mean 'realnvp'"):
        traits_of("real_nvp")
    with pytest.raises(genzoo.GenzooError, match="model=3"):
        traits_of(3)


def test_a_subclass_replaces_what_is_different():
    class OfImages(genzoo.GAN):
        traits = dataclasses.replace(genzoo.GAN.traits, examples=("image",))

    assert traits_of(OfImages).examples == ("image",)
    assert traits_of(OfImages).training == "adversarial"
    assert traits_of(genzoo.GAN).examples == ("row", "image")


def test_commands_read_from_the_source_what_classes_declare():
    found = {name: dataclasses.asdict(declared) for name, declared in model_traits().items()}
    assert found == {name: dataclasses.asdict(declared) for name, declared in TRAITS.items()}
    assert model_summaries() == {
        name: genzoo.core.registry.model_class(name).__doc__.splitlines()[0] for name in TRAITS
    }


def test_the_table_of_the_readme_is_of_the_traits():
    rows = re.findall(
        r"^\| `(\w+)` \| `(\w+)` \| [^|]+ \| (.*) \|$", (ROOT / "README.md").read_text(), re.M
    )
    table = {name: (cls, cells) for name, cls, cells in rows if name in TRAITS}
    assert table == {
        name: (
            genzoo.core.registry.model_class(name).__name__,
            " | ".join(describe(declared).values()),
        )
        for name, declared in TRAITS.items()
    }
