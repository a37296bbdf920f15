"""Expectation-maximisation as Keras `fit`: its two steps, its starts, and what it is judged by.

`EMModel` is the machine: sums over batches and replicas, an M step an epoch or, in stepwise EM, a
batch, and restarts.
"""

from genzoo.classic.em.em_model import EMModel
from genzoo.classic.em.information import information_criteria
from genzoo.classic.em.starts import (
    STARTS,
    fill_missing,
    kmeans,
    moments_of_parts,
    start_responsibilities,
)

__all__ = [
    "STARTS",
    "EMModel",
    "fill_missing",
    "information_criteria",
    "kmeans",
    "moments_of_parts",
    "start_responsibilities",
]
