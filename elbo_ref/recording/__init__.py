"""A live Pyro or NumPyro run noted into a plain file, and not one bit of the run changed.

`record` and `record_numpyro` watch; what they noted is a `Recording`, which `elbo_ref.replay`
recomputes. Neither framework is imported before it is asked for.
"""

from elbo_ref.recording.notes import Recording, RecordingError
from elbo_ref.recording.numpyro import record_numpyro
from elbo_ref.recording.pyro import Recorder, record

__all__ = ["Recorder", "Recording", "RecordingError", "record", "record_numpyro"]
