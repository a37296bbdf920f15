"""Expectation-maximisation as Keras `fit`, and where it starts."""
