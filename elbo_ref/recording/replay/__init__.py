"""A recorded run, step by step, beside what its own draws say it should have been.

`elbo_ref.recording.statement` brings a recording into one form, and `trace` makes of that the model
of its losses, `elbo_ref.crosscheck.loss_model.LossModel`, which numbers alone are judged by too.
`gradient_parts` differentiates that model, `kernel` is PyTorch's derivative of a Beta draw.
`losses`, `gradients`, `updates` and `draws` each compare one quantity of every step and return
findings; `check` puts them together.
"""
