"""The error by which a file is refused, and how it shows names and values: in one line."""

from __future__ import annotations

from reprlib import Repr

from elbo_ref._validation.advice import AdvisedError

_SHORT = Repr()
_SHORT.maxlist = _SHORT.maxtuple = 20
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


class DataError(AdvisedError):
    """A file that cannot be read; the message says where and why, in one line, and what to add."""

    @classmethod
    def of(cls, error: AdvisedError) -> DataError:
        """Return an error about data as one about their file."""
        return cls(error.text, when=error.when, **error.options)

    def within(self, place: str) -> DataError:
        """Return the same error with its place before it."""
        return DataError(f"{place}: {self.text}", when=self.when, **self.options)


def short(value: object) -> str:
    """Show a value as Python writes it, on one line and shortened."""
    text = _SHORT.repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def bare(name: str) -> str:
    """Show a name without quotes, if that is as clear."""
    return name if name.isprintable() and len(name) <= 60 else short(name)
