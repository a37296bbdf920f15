"""The report on a trained model."""

import html
from typing import Any

import numpy as np

from genzoo import metrics, plotting
from genzoo.core.checks import check_seed
from genzoo.core.traits import HasLatentSpace, HasStates, Reconstructs
from genzoo.reports.page import page, paragraph, picture, section, table

_ROWS = 1000
_SHOWN, _NEIGHBORS = 8, 5
_COMPARED = {
    "standardised values": "each value in units of its standard deviation over the training data.",
    "pixel values": "by the values of their pixels, which tell blurred images from sharp ones "
    "badly: a blur may score a precision of 1. See genzoo.metrics.ClassifierFeatures, which "
    "`genzoo features` trains, or InceptionFeatures for figures that tell them apart.",
}
_KINDS = {
    "exact": "log_prob is exact.",
    "lower_bound": "log_prob is a lower bound: the true log-likelihood is at least as high.",
    "none": "This model has no likelihood; it is judged by its samples alone.",
}
_UNITS = {
    "density": "It is a density of real numbers, which changes with their unit: compare it between "
    "models of the same data in the same unit only.",
    "mass": "It is the probability of integers, so bits per dimension compare across models of the "
    "same data.",
    None: "",
}


def report(model: Any, data: Any, *, card: dict[str, Any] | None = None, seed: int = 0) -> str:
    """Return an HTML page on a trained model.

    Card, curves, samples, the nearest training rows beside samples (so that memorisation shows),
    density or latent pictures, and figures with the declaration of what each is. The page needs
    no other file.

    Args:
        model: A fitted model.
        data: What `genzoo.data.load` returns, the data of training.
        card: What `genzoo train` wrote to metrics.json.
        seed: Of the samples.

    Example:

    >>> data = genzoo.data.load("moons", seed=0)
    >>> model = genzoo.GaussianMixture((2,), num_components=4, seed=0)
    >>> history = model.fit(data.x_train, verbose=0)
    >>> genzoo.reports.report(model, data)[:15]
    '<!doctype html>'
    """
    card, seed = card or {}, check_seed(seed)
    name = f"{type(model).__name__} on {data.name}"
    of_training, context = data.contexts(model)
    n = min(_ROWS, len(data.x_test))
    if context is not None:
        n = min(n, len(context))
        of_training, context = of_training[:n], context[:n]
    samples = model.sample(n, context=context, seed=seed)
    parts = [
        f"<h1>{html.escape(name)}</h1>",
        paragraph(_first_line(model), "soft"),
        _card(model, data, card),
        _figures(model, data, samples, n, context, of_training),
        _curves(card),
        _samples(model, data, samples),
        _memory(data, samples),
        _inside(model, data, context),
    ]
    return page(f"genzoo: {name}", *(part for part in parts if part))


def _first_line(model) -> str:
    return (type(model).__doc__ or "").strip().splitlines()[0]


def _card(model, data, card) -> str:
    rows = [
        ["data", f"{data.name}: {len(data.x_train)} training, {len(data.x_test)} test examples"],
        ["event shape", model.event_shape],
        ["weights", f"{model.count_params():,}"],
    ]
    shown = {
        "seed": "seed",
        "epochs": "epochs",
        "seconds_training": "seconds of training",
        "peak_memory_mib": "most memory, MiB",
        "devices": "devices",
        "command": "made by",
    }
    options = card.get("options", {})
    rows.append(["options", ", ".join(f"{k}={v}" for k, v in options.items()) or "defaults"])
    rows += [[label, card[key]] for key, label in shown.items() if card.get(key) is not None]
    if card.get("versions"):
        rows.append(["versions", ", ".join(f"{k} {v}" for k, v in card["versions"].items())])
    return section("Card", table(rows))


def _figures(model, data, samples, n, context, of_training) -> str:
    likelihood = model.likelihood
    sentence = f"{_KINDS[likelihood.kind]} {_UNITS[likelihood.unit]}"
    if likelihood.binarization:
        sentence += (
            f" The data were made binary by {likelihood.binarization}; figures of data binarised "
            "in another way do not compare."
        )
    rows = []
    if model.traits.has_density:
        for name, x, labels in (
            ("test", data.x_test[:n], context),
            ("training", data.x_train[:n], of_training),
        ):
            found = metrics.likelihood_report(model, x, context=labels)
            error, bits = found["nll_standard_error"], found["bits_per_dim"]
            rows.append(
                [
                    name,
                    f"{found['nll_nats']:.3f}" + ("" if error is None else f" ± {error:.3f}"),
                    "does not apply" if bits is None else f"{bits:.3f}",
                ]
            )
    parts = [paragraph(sentence)]
    if rows:
        parts.append(table(rows, ["", "negative log-likelihood, nats an example", "bits/dim"]))
    real = _comparable(data.x_test[:n])
    if len(real) > 10:
        features = metrics.ValueFeatures(data.x_train)
        real, made = features(real), features(samples[: len(real)])
        density, coverage = metrics.density_and_coverage(real, made)
        precision, recall = metrics.precision_and_recall(real, made)
        reach = [
            ["density", density, "how much samples lie where the data do; 1 for a perfect model"],
            ["coverage", coverage, "the share of the data that samples come near"],
            ["precision", precision, "the share of samples within the data's reach"],
            ["recall", recall, "the share of data within the samples' reach"],
        ]
        parts.append(table([[name, f"{value:.3f}", what] for name, value, what in reach]))
        which = f"{len(real)} {'' if len(real) == n else 'complete '}test rows"
        told = f"Of {which} by as many samples, {_COMPARED[features.compared_by]}"
        parts.append(paragraph(told, "soft"))
    return section("Figures", *parts)


def _curves(card) -> str:
    if not any(card.get("history", {}).values()):
        return ""
    drawn = plotting.history(card["history"])
    return section("Training", picture(drawn, "Loss by epoch."))


def _samples(model, data, samples) -> str:
    shown = 64 if np.ndim(samples) == 4 else _ROWS
    drawn = plotting.samples(samples[:shown], data.x_test[:_ROWS])
    return section("Samples", picture(drawn, "Samples of the model."))


def _memory(data, samples) -> str:
    """Show the training rows nearest to samples; compare distances with those of test rows."""
    from sklearn.neighbors import NearestNeighbors

    train, test = _comparable(data.x_train), _comparable(data.x_test[:_ROWS])
    if not len(train) or not len(test):
        return ""
    features = metrics.ValueFeatures(train)
    neighbors = NearestNeighbors(n_neighbors=min(_NEIGHBORS, len(train)))
    neighbors.fit(features(train))
    of_samples, at = neighbors.kneighbors(features(samples))
    of_test, _ = neighbors.kneighbors(features(test))
    middle = np.median(of_samples[:, 0]), np.median(of_test[:, 0])
    # of wide rows distances are rounded, and none is 0
    same = train[at] == np.asarray(samples)[:, None]
    copies = int(same.reshape(*at.shape, -1).all(axis=2).any(axis=1).sum())
    text = (
        f"The median sample is {middle[0]:.3g} from its nearest training row, the median test row "
        f"{middle[1]:.3g}, by {features.compared_by}. {copies} of {len(samples)} samples are "
        "copies of a training row. "
        "Samples much nearer than test rows are a sign of memorisation."
    )
    parts = [paragraph(text)]
    if len(np.shape(samples)) == 4:
        rows = [
            np.concatenate([samples[i : i + 1], train[at[i]]])
            for i in range(min(_SHOWN, len(samples)))
        ]
        drawn = plotting.image_grid(np.concatenate(rows), columns=1 + at.shape[1])
        caption = "Left: a sample. Beside it the training images nearest to it, nearest first."
        parts.append(picture(drawn, caption))
    else:
        from genzoo.plotting.axes import own_axes

        axes = own_axes(None)
        bins = np.histogram_bin_edges(np.concatenate([of_samples[:, 0], of_test[:, 0]]), 40)
        axes.hist(of_test[:, 0], bins, density=True, color="0.6", label="test rows")
        axes.hist(of_samples[:, 0], bins, density=True, histtype="step", label="samples")
        axes.set_xlabel(f"distance to the nearest training row, {features.compared_by}")
        axes.legend()
        parts.append(picture(axes, "Distances to the nearest training row."))
    return section("Memory", *parts)


def _comparable(rows) -> np.ndarray:
    """Return the rows between which there are distances: complete ones, no sequences."""
    rows = np.asarray(rows)
    if rows.dtype.kind == "f":
        return rows[~np.isnan(rows).reshape(len(rows), -1).any(axis=1)]
    return rows if rows.dtype.kind in "biu" else rows[:0]


def _inside(model, data, context) -> str:
    parts = []
    in_plane = model.event_shape == (2,) and model.example_kind == "row"
    points = _comparable(data.x_test[:_ROWS]) if in_plane else ()
    if len(points) and model.traits.has_density and context is None:
        drawn = plotting.density(model, points)
        parts.append(picture(drawn, "Log-density, with test points."))
    if isinstance(model, HasStates):
        drawn = plotting.states(model, data.x_test[0])
        parts.append(picture(drawn, "A test sequence, and the likeliest states of its steps."))
    if model.on_images and isinstance(model, HasLatentSpace) and context is None:
        drawn = plotting.interpolations(model, rows=6)
        parts.append(
            picture(drawn, "Ways between points of the latent space, drawn as samples are.")
        )
        if model.latent_shape == (2,):
            parts.append(picture(plotting.manifold(model), "What the latent plane decodes to."))
        if isinstance(model, Reconstructs):
            drawn = plotting.reconstructions(model, data.x_test[:10])
            parts.append(picture(drawn, "Test images, and below each what the model makes of it."))
    return section("Inside", *parts) if parts else ""
