"""A small machine for the pickles that `torch.save` writes: it builds plain values, runs nothing.

A pickle is a program for a stack machine. Python's own looks up whatever function or class a file
names and calls it; this one knows 32 opcodes of protocol 2, and only those names that are in a
table handed to it. An opcode adds at most one value to the stack or the memo, strings are no longer
than the program, integers no longer than eight bytes: the program bounds the size of the result. A
value may hold another many times, and a list itself; who unfolds them has to count.

Source: the opcodes and their arguments are those of Python's `pickletools`, protocol 2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import TypeAlias

from elbo_ref.io.errors import DataError, short

Call: TypeAlias = Callable[[tuple[object, ...]], object]
"""A function that the program may call: a value of the table, never one that it builds."""

_PROTOCOL = 2
_MOST_INTEGER_BYTES = 8


class Instance:
    """An object of a class known by name only, with the attributes that the program sets."""

    __slots__ = ("attributes", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.attributes: dict[str, object] = {}


def run(program: bytes, known: Mapping[str, object], load: Call) -> object:
    r"""Build the value that a pickle describes.

    Parameters
    ----------
    program : bytes
        The pickle.
    known : mapping
        The values of its global names, by ``"module.name"``; one that it may call, or make an
        object of, is a function of one tuple of arguments.
    load : callable
        Makes the value of a persistent id, given that as a tuple.

    Raises
    ------
    DataError
        If the program is damaged, or does or names anything else.

    Examples
    --------
    >>> run(b"\x80\x02}X\x01\x00\x00\x00aK\x03s.", {}, tuple)
    {'a': 3}
    >>> run(b"\x80\x02cposix\nsystem\n.", {}, tuple)
    Traceback (most recent call last):
    elbo_ref.io.errors.DataError: global 'posix.system' is none that a parameter store uses
    """
    return _Machine(program, known, load).run()


class _Machine:
    """The state of a program: where it is, its stack with marks, its memo."""

    def __init__(self, program: bytes, known: Mapping[str, object], load: Call) -> None:
        self._program, self._at = program, 0
        self._known, self._load = known, load
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}

    def run(self) -> object:
        while True:
            at = self._at
            code = self._take(1)
            if code == b".":
                break
            act = _OPCODES.get(code)
            if act is None:
                raise DataError(f"opcode {code!r} at byte {at} is none that torch.save writes")
            act(self)
        if len(self._stack) != 1 or self._marks or self._at != len(self._program):
            raise DataError(f"the pickle does not end as one value at byte {self._at}")
        return self._stack[0]

    def _take(self, size: int) -> bytes:
        taken = self._program[self._at : self._at + size]
        self._at += size
        if len(taken) != size:
            raise DataError(f"the pickle ends within an opcode, after {len(self._program)} bytes")
        return taken

    def _unsigned(self, size: int) -> int:
        return int.from_bytes(self._take(size), "little")

    def _line(self) -> str:
        end = self._program.find(b"\n", self._at)
        line = self._take((end if end >= 0 else len(self._program)) - self._at)
        self._take(1)
        return _text(line)

    def _pop(self) -> object:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise self._wrong("takes a value where there is none")
        return self._stack.pop()

    def _pop_many(self, size: int | None) -> list[object]:
        """Take the last `size` values in their order; without a size, all above the last mark."""
        if size is not None:
            return [self._pop() for _ in range(size)][::-1]
        if not self._marks:
            raise self._wrong("goes back to a mark that was not set")
        mark = self._marks.pop()
        values = self._stack[mark:]
        del self._stack[mark:]
        return values

    def _top(self) -> object:
        value = self._pop()
        self._stack.append(value)
        return value

    def _wrong(self, what: str) -> DataError:
        return DataError(f"the opcode before byte {self._at} of the pickle {what}")

    def protocol(self) -> None:
        protocol = self._unsigned(1)
        if protocol != _PROTOCOL:
            raise DataError(f"the pickle has protocol {protocol}; torch.save writes {_PROTOCOL}")

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def push(self, value: object) -> None:
        self._stack.append(value)

    def unsigned(self, size: int) -> None:
        self.push(self._unsigned(size))

    def signed(self, size: int) -> None:
        if size > _MOST_INTEGER_BYTES:
            raise self._wrong(f"writes an integer of {size} bytes")
        self.push(int.from_bytes(self._take(size), "little", signed=True))

    def long(self) -> None:
        self.signed(self._unsigned(1))

    def floating(self) -> None:
        self.push(struct.unpack(">d", self._take(8))[0])

    def text(self) -> None:
        self.push(_text(self._take(self._unsigned(4))))

    def put(self, size: int) -> None:
        self._memo[self._unsigned(size)] = self._top()

    def get(self, size: int) -> None:
        place = self._unsigned(size)
        if place not in self._memo:
            raise self._wrong(f"reads place {place} of the memo, where nothing is")
        self.push(self._memo[place])

    def make_tuple(self, size: int | None = None) -> None:
        self.push(tuple(self._pop_many(size)))

    def extend(self, size: int | None = None) -> None:
        values, target = self._pop_many(size), self._top()
        if not isinstance(target, list):
            raise self._wrong("appends to what is no list")
        target.extend(values)

    def update(self, size: int | None = None) -> None:
        pairs, target = self._pop_many(size), self._top()
        if not isinstance(target, dict):
            raise self._wrong("sets an item of what is no mapping")
        if len(pairs) % 2:
            raise self._wrong("sets a key without a value")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if type(key) not in (str, int):
                raise self._wrong("sets a key that is neither text nor a whole number")
            if key in target:
                raise DataError(f"the key {short(key)} is set twice")
            target[key] = value

    def name(self) -> None:
        name = f"{self._line()}.{self._line()}"
        if name not in self._known:
            raise DataError(f"global {short(name)} is none that a parameter store uses")
        self.push(self._known[name])

    def call(self) -> None:
        arguments, function = self._pop(), self._pop()
        if not callable(function) or not isinstance(arguments, tuple):
            raise self._wrong("calls what is no function with arguments")
        self.push(function(arguments))

    def build(self) -> None:
        """Give an object attributes; a mapping (a state_dict, with `_metadata`) keeps none."""
        state, target = self._pop(), self._top()
        if not isinstance(state, dict) or not isinstance(target, Instance | dict):
            raise self._wrong("gives attributes to what has none")
        if isinstance(target, Instance):
            target.attributes = state

    def persistent(self) -> None:
        key = self._pop()
        if not isinstance(key, tuple):
            raise self._wrong("names a storage by what is no tuple")
        self.push(self._load(key))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise DataError(f"the pickle holds a text that is not UTF-8: {short(data)}") from None


_OPCODES: dict[bytes, Callable[[_Machine], None]] = {
    b"\x80": _Machine.protocol,
    b"(": _Machine.mark,
    b"N": lambda machine: machine.push(None),
    b"\x88": lambda machine: machine.push(True),
    b"\x89": lambda machine: machine.push(False),
    b"K": lambda machine: machine.unsigned(1),
    b"M": lambda machine: machine.unsigned(2),
    b"J": lambda machine: machine.signed(4),
    b"\x8a": _Machine.long,
    b"G": _Machine.floating,
    b"X": _Machine.text,
    b"q": lambda machine: machine.put(1),
    b"r": lambda machine: machine.put(4),
    b"h": lambda machine: machine.get(1),
    b"j": lambda machine: machine.get(4),
    b")": lambda machine: machine.make_tuple(0),
    b"\x85": lambda machine: machine.make_tuple(1),
    b"\x86": lambda machine: machine.make_tuple(2),
    b"\x87": lambda machine: machine.make_tuple(3),
    b"t": _Machine.make_tuple,
    b"]": lambda machine: machine.push([]),
    b"a": lambda machine: machine.extend(1),
    b"e": _Machine.extend,
    b"}": lambda machine: machine.push({}),
    b"s": lambda machine: machine.update(2),
    b"u": _Machine.update,
    b"c": _Machine.name,
    b"R": _Machine.call,
    b"\x81": _Machine.call,
    b"b": _Machine.build,
    b"Q": _Machine.persistent,
}
"""By their byte, all but STOP; REDUCE and NEWOBJ both call."""
