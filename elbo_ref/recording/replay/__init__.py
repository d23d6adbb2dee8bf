"""A recorded run, step by step, beside what its own draws say it should have been.

`canonical` brings recordings into one form, `rows` reads the data observed, and `roles` makes a
`trace` of it all, in the roles of `elbo_ref.crosscheck.parameters`. `program` is Pyro's arithmetic
at given draws, `kernel` PyTorch's derivative of a Beta draw. `losses`, `gradients`, `updates` and
`draws` each compare one quantity of every step and return findings; `check` puts them together.
"""
