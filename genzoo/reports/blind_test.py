"""The visual Turing test: real or generated?"""

import hashlib
import json
from typing import Any

import numpy as np

from genzoo.core.checks import check_int, check_seed
from genzoo.core.errors import InvalidInputError
from genzoo.core.traits import is_picture
from genzoo.reports.page import page, paragraph, png

_STYLE = """
body { text-align: center; } #shown { image-rendering: pixelated; width: min(60vw, 20rem);
border: 1px solid var(--line); background: #fff; } button { font: inherit; padding: 0.6rem 2rem;
margin: 1rem 0.5rem; cursor: pointer; border-radius: 6px; border: 1px solid var(--line); }
button:focus-visible { outline: 3px solid var(--accent); } #last { min-height: 1.6rem; }
#strip img { image-rendering: pixelated; width: 3rem; margin: 2px; border: 3px solid #3a3; }
#strip img.wrong { border-color: #c33; } [hidden] { display: none; }
"""
_BODY = """
<div id="asking">
<p><img id="shown" alt="An image, real or generated"></p>
<p><button id="real">Real (R)</button><button id="generated">Generated (G)</button></p>
<p id="last" role="status"></p>
<p id="score" class="soft"></p>
</div>
<div id="over" hidden><p id="verdict"></p><p><button id="again">Again</button></p>
<p class="soft">All images; a red frame where you were wrong.</p><div id="strip"></div></div>
"""
_SCRIPT = """
const get = id => document.getElementById(id);
const store = window.localStorage;
let answers;
try { answers = JSON.parse(store.getItem(KEY)) || []; } catch { answers = []; }
function right() { return answers.filter((a, i) => a === IMAGES[i].real).length; }
function tail(n, k) {
  // the chance of k or more right of n by guessing
  let p = 0, term = Math.pow(0.5, n);
  for (let i = 0; i <= n; i++) { if (i >= k) p += term; term *= (n - i) / (i + 1); }
  return Math.min(p, 1);
}
function show() {
  const n = answers.length, over = n >= IMAGES.length;
  get("asking").hidden = over; get("over").hidden = !over;
  get("score").textContent = n ? `${right()} of ${n} right; ${IMAGES.length - n} to go` :
    `${IMAGES.length} images, half of them real`;
  if (!over) { get("shown").src = IMAGES[n].src; return; }
  const p = tail(n, right());
  get("verdict").textContent = `${right()} of ${n} right. By guessing one gets as many or more ` +
    `with probability ${p < 0.001 ? "below 0.001" : p.toFixed(3)}: ` +
    (p < 0.05 ? "you can tell generated from real." : "you could not tell generated from real.");
  get("strip").replaceChildren(...IMAGES.map((image, i) => {
    const element = document.createElement("img");
    element.src = image.src; element.title = element.alt = image.real ? "real" : "generated";
    if (answers[i] !== image.real) element.className = "wrong";
    return element;
  }));
}
function answer(real) {
  if (answers.length >= IMAGES.length) return;
  const image = IMAGES[answers.length];
  answers.push(real);
  store.setItem(KEY, JSON.stringify(answers));
  get("last").textContent = (image.real === real ? "Right: " : "Wrong: ") +
    (image.real ? "real" : "generated");
  show();
}
get("real").onclick = () => answer(true);
get("generated").onclick = () => answer(false);
get("again").onclick = () => { answers = []; store.removeItem(KEY); get("last").textContent = "";
  show(); };
document.onkeydown = event => {
  // Ctrl+R is no answer
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "r" || event.key === "R") answer(true);
  if (event.key === "g" || event.key === "G") answer(false);
};
show();
"""


def blind_test(model: Any, data: Any, *, num_images: int = 40, seed: int = 0) -> str:
    """Return an HTML page that shows images one by one and asks: real or generated?

    Half of the images are test images, half samples, shuffled. The page keeps the score, also when
    it is closed in between, and ends in the probability to do as well by guessing.

    Args:
        model: A fitted model on images.
        data: What `genzoo.data.load` returns.
        num_images: Images to show, an even number.
        seed: Of the samples, the test images and their order.

    Raises:
        InvalidInputError: For a model on other data than images.

    Example:

    >>> data = genzoo.data.load("digits", seed=0)
    >>> model = genzoo.VAE((8, 8, 1), latent_dim=2, seed=0)
    >>> history = model.fit(data.x_train, epochs=1, verbose=0)
    >>> "real or generated" in genzoo.reports.blind_test(model, data, num_images=10)
    True
    """
    half = check_int(num_images, "num_images", minimum=2) // 2
    if not (model.on_images and is_picture(model.event_shape)):
        raise InvalidInputError(
            "Expected a model on images of 1 or 3 channels. Received: "
            f"{type(model).__name__} with event_shape={model.event_shape}"
        )
    random = np.random.default_rng(check_seed(seed))
    chosen = random.choice(len(data.x_test), half, replace=half > len(data.x_test))
    _, context = data.contexts(model)
    if context is not None:
        # the images that CycleGAN translates are another set
        context = context[chosen % len(context)]
    real, made = data.x_test[chosen], model.sample(half, context=context, seed=seed)
    low, high = float(data.x_test.min()), float(data.x_test.max())
    images = [{"src": png(image, low, high), "real": True} for image in real]
    images += [{"src": png(image, low, high), "real": False} for image in made]
    images = [images[i] for i in random.permutation(len(images))]
    name = f"{type(model).__name__} on {data.name}"
    shown = json.dumps(images)
    # answers belong to these images alone
    key = f"genzoo blind test: {hashlib.sha256(shown.encode()).hexdigest()}"
    script = f"const KEY = {json.dumps(key)}, IMAGES = {shown};{_SCRIPT}"
    return page(
        f"Real or generated? {name}",
        "<h1>Real or generated?</h1>",
        paragraph(f"{name}: is each image real or generated?", "soft"),
        _BODY,
        f"<script>{script}</script>",
        style=_STYLE,
    )
