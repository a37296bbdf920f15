"""Typed errors. Each message says what was expected, what was received and what to do."""


class GenzooError(Exception):
    """Base of every error that genzoo raises on purpose."""


class InvalidInputError(GenzooError, ValueError):
    """Data or an argument of the wrong shape, dtype, range or value."""


class ImpossibleDataError(InvalidInputError):
    """Data that have probability zero under the model."""


class UnknownNameError(GenzooError, ValueError):
    """A model, data set or option name that does not exist."""


class NotFittedError(GenzooError, ValueError, AttributeError):
    """The model has to see data first."""


class NoDensityError(GenzooError, NotImplementedError):
    """The model or the unit of its data gives no such likelihood."""


class DataError(GenzooError, OSError):
    """A file or folder of data that is missing, empty or corrupt."""


class OutputExistsError(GenzooError, FileExistsError):
    """The output would overwrite something that a user made."""


class WorkerLostError(GenzooError, ConnectionError):
    """Another worker of the cluster is gone, and training with it."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written or read."""


class DivergenceWarning(UserWarning):
    """Training turned to NaN or infinity, or its loss exploded."""


class CollapseWarning(UserWarning):
    """A generator makes too little of what the data hold."""


class PrecisionWarning(UserWarning):
    """A float type holds the data too coarsely for what they vary by."""
