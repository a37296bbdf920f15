"""Every private name of Keras, TensorFlow and TFP that genzoo uses, and nothing else.

What touches one tells in its docstring the name, the reason, the issue of the library where there
is one, the versions that it was seen to work with, and what is lost should the name go. Each has a
test in `tests/test_compat.py`, which fails with what broke, and runs on the lowest and the highest
versions that `setup.cfg` allows. The same file finds such names in other rooms.
"""
