"""A recorded run, step by step, against what its own draws say it should have been.

`joined` makes one latent site of many, `data` and `batches` read what was observed, and `casting`
makes a `tape` of it all, in the roles of `elbo_ref.crosscheck.parameters`. `emulation` is Pyro's
arithmetic at given draws, `bound` what makes one number of the particles, `kernel` PyTorch's
derivative of a Beta draw. `losses`, `gradients`, `updates` and `draws` each compare one quantity of
every step and return findings; `verdict` puts them together.
"""
