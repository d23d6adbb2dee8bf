"""A recorded run, step by step, against what its own draws say it should have been.

`tape` reads a recording in the roles of `elbo_ref.crosscheck.roles`; `emulation` is Pyro's
arithmetic at given draws, `kernel` PyTorch's derivative of a Beta draw. `losses`, `gradients`,
`updates` and `draws` each compare one quantity of every step and return findings; `verdict` puts
them together.
"""
