"""English, made of the kinds and numbers that results hold, and of nothing else.

Results look down to these modules; the modules know results by their annotations alone.
"""
