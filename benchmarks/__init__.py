"""Measurements against plain ipykernel and other peers, taken in the same run."""
