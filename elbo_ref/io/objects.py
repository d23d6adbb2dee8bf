"""A JSON object that is not trusted: its keys once each, its numbers as the caller wants them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from elbo_ref.io.fields import RepeatedNameError, distinct
from elbo_ref.io.layout import DataError, short


def read_object(data: bytes, number: Callable[[str], object]) -> dict[str, Any]:
    """The object that a text holds; `number` makes a value of each number, NaN and Infinity too.

    Raises
    ------
    DataError
        If it is not JSON, or repeats a key; of a text that opens with a brace.

    Examples
    --------
    >>> read_object(b'{"a": [1, 2.50]}', str)
    {'a': ['1', '2.50']}
    """

    def heard(text: str) -> object:  # in Python, so that an interrupt is heard at each number
        return number(text)

    try:
        found: dict[str, Any] = json.loads(
            data.decode("utf-8-sig"),
            parse_int=heard,
            parse_float=heard,
            parse_constant=heard,
            object_pairs_hook=distinct,
        )
    except UnicodeDecodeError:
        raise DataError("the file is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, character {error.colno}"
        raise DataError(f"{place} is not JSON: {error.msg}") from None
    except RecursionError:
        raise DataError("the file nests its JSON too deeply") from None
    except RepeatedNameError as error:
        raise DataError(f"the file repeats the key {short(error.args[0])}") from None
    return found
