"""Modules that a cell may import."""
