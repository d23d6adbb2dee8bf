"""What is here are programs; one needs PyTorch and Pyro, which are not always there."""

collect_ignore = ["make_stores.py"]
