"""Hidden Markov models: a chain of hidden states, and what each state emits.

`HiddenMarkovModel` takes data, trains and is saved; it stands around `HiddenMarkovLaw`, the chain
(`MarkovChain`) and the emission (`emissions`) with the recursions over time. Both parts answer the
same questions (`parts.Part`): their parameters and the weights that these become, what may be set
by hand, sufficient statistics, the M step, the number of free parameters.

A new emission is one file in `emissions`, a class derived from `Emission`, and its line in the
table `EMISSIONS` of that room; an option of its own is a field of `Settings` and an argument of
`HiddenMarkovModel` besides.
"""

from genzoo.classic.hmm.hidden_markov_model import HiddenMarkovModel

__all__ = ["HiddenMarkovModel"]
