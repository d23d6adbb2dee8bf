"""Files: counts, parameters of Pyro, numbers, and the arrays of runs; none is trusted."""
