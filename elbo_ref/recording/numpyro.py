"""placeholder"""


def record_numpyro() -> None: ...
