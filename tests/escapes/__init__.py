"""Language attacks, each with a control: ``python -m tests.escapes FILE --layer LAYER``."""
