"""Hidden Markov models: a chain of hidden states, and what each state emits."""

from genzoo.classic.hmm.hidden_markov_model import HiddenMarkovModel

__all__ = ["HiddenMarkovModel"]
