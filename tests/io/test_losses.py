"""Losses as people keep them: printed lines, records, columns, histories; and what is none."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from elbo_ref.io.counts_file import DataError, read_counts
from elbo_ref.io.losses import read_numbers
from elbo_ref.io.parameters import read_parameters

TWO = [73.8, -73.1]


def refusal(path, column=None):
    with pytest.raises(DataError) as caught:
        read_numbers(path, column)
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    "text",
    [
        "[iteration 0000] loss: 73.8\n[iteration 0001] loss: -73.1\n",
        "[iteration 0000] loss: 73.8\r\n[iteration 0001] loss: -73.1\r\n\n",
        "step 9 loss 73.8\nstep 10 loss -73.1\n",
        "Epoch [1/10] loss=73.8 (0.2 s)\nEpoch [2/10] loss=-73.1 (0.2 s)\n",
        "9: 73.8\n10: -73.1\n",
        "step 9: 73.8\nstep 10: -73.1\n",
        "Epoch [1/2]: 73.8\nEpoch [2/2]: -73.1\n",
        "0: ELBO loss 73.8, lr 0.1\n1: ELBO loss -73.1, lr 0.1\n",
        "[[73.8], [-73.1]]",
        "[[73.8, -73.1]]",
        '[{"step": 0, "loss": 73.8}, {"step": 1, "loss": -73.1}]',
        '{"step": 0, "loss": 73.8}\n{"step": 1, "loss": -73.1}\n',
        '[{"epoch": 0, "value": 73.8}, {"epoch": 1, "value": -73.1}]',
        '{"history": {"loss": [73.8, -73.1]}}',
        '{"history": {"loss": [73.8, -73.1], "val_loss": [1, 2]}, "params": {"a": [1, 2, 3]}}',
        '{"train_loss": [73.8, -73.1], "epoch": [0, 1]}',
        "loss,val_loss\n73.8,1\n-73.1,2\n",
    ],
)
def test_forms_that_leave_no_doubt(write, text):
    assert read_numbers(write(text)).tolist() == TWO


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("epoch,train_loss,val_loss\n0,1,73.8\n1,2,-73.1\n", "val_loss"),
        ("epoch 1 train_loss 1 val_loss 73.8\nepoch 2 train_loss 2 val_loss -73.1\n", "val_loss"),
        ('[{"train_loss": 1, "val_loss": 73.8}, {"train_loss": 2, "val_loss": -73.1}]', "val_loss"),
        ('{"h": {"train_loss": [1, 2], "val_loss": [73.8, -73.1]}}', "h.val_loss"),
        ('{"a": {"loss": [1, 2]}, "b": {"loss": [73.8, -73.1]}}', "b.loss"),
    ],
)
def test_of_several_columns_none_is_taken_that_is_not_said(write, text, column):
    path = write(text)
    assert refusal(path).endswith(f'; to say which, add column="{column.replace("val", "train")}"'
        if "train" in text else '; to say which, add column="a.loss"')  # fmt: skip
    assert read_numbers(path, column).tolist() == TWO
    assert "0 are called 'other'" in refusal(path, "other")


def test_arrays_of_an_npz_by_name(write):
    file = io.BytesIO()
    np.savez(file, kl=[1.0, 2.0], val=TWO)
    path = write(file.getvalue())
    assert refusal(path).endswith('needed: kl, val; to say which, add column="kl"')
    assert read_numbers(path, "val").tolist() == TWO
    file = io.BytesIO()
    np.savez(file, losses=TWO, kl=[1.0, 2.0])
    assert read_numbers(write(file.getvalue())).tolist() == TWO


WRITE = "write one number for each step, as [73.8, 73.1], or one a line"


@pytest.mark.parametrize(
    ("content", "column", "words"),
    [
        ("loss: 1\nloss: 2\nend\n", None, "line 3: 'end' has no loss, as 'step 10 loss: 73.8' has"),
        (
            "[1, x]",
            None,
            f"the file is no JSON list: Expecting value: line 1 column 5 (char 4); {WRITE}",
        ),
        ("[[1, 2], [3, 4]]", None, f"number 0 of the list is '[1, 2]'; {WRITE}"),
        ('{"alpha": 3.0}', None, f"the JSON object has 0 lists where one is needed: none; {WRITE}"),
        ('[{"loss": 1}, {"step": 2}]', None, "record 1 has no 'loss'"),
        ("[{}]", None, f"the records are empty; {WRITE}"),
        ("loss\n1\n", "elbo", "the file is no table with a column 'elbo'"),
        ("[1, 2]", "elbo", "the file is one list, without a column 'elbo'"),
        (b"\x80\x04]", None, f"the file is a pickle, which is not opened; {WRITE}"),
    ],
)
def test_what_is_wanted_is_said(write, content, column, words):
    assert refusal(write(content), column) == words


def test_parameters_that_are_handed_in_as_something_else():
    """A store in place of losses or counts is called that, with the option that takes it."""
    path = Path(__file__).parents[1] / "reference" / "stores" / "auto_normal.pt"
    words = "the file is a parameter store, or what else torch.save wrote, which the cross-check"
    assert refusal(path).startswith(f"{words} takes as --params; of losses write one number")
    with pytest.raises(DataError, match="takes as --params; counts are a table of successes"):
        read_counts(path)


def test_parameters_in_a_checkpoint():
    """The one mapping of numbers beside an optimizer's state and plain values; else none."""
    state = {"epoch": 3, "opt": [1, 2], "optimizer_state_dict": {"state": {}, "lr": 0.1}}
    found = read_parameters({"model_state_dict": {"alpha": 3.0}, **state})
    assert {name: float(x) for name, x in found.values.items()} == {"alpha": 3.0}
    assert found.notes == ("model_state_dict: taken for the parameters of a checkpoint",)
    for more in ({"beta": np.ones(2)}, {"ema_model": {"alpha": 1.0}}):
        with pytest.raises(TypeError, match="of a checkpoint the mapping of its parameters alone"):
            read_parameters({"model_state_dict": {"alpha": 3.0}, **state, **more})
