"""Policies: the model, loading, resolution to rights, explanation. Pure: no I/O in here."""

from .load import Policy, Source, load
from .lookup import Layer, layers, load_file, load_named
from .problems import Origin, PolicyError, Problem
from .request import Request, parse_grant, parse_request
from .resolve import Grant, resolve
from .rights import Limit, Places, Right, Rights, Rule, Unmet

__all__ = [
    "Grant",
    "Layer",
    "Limit",
    "Origin",
    "Places",
    "Policy",
    "PolicyError",
    "Problem",
    "Request",
    "Right",
    "Rights",
    "Rule",
    "Source",
    "Unmet",
    "layers",
    "load",
    "load_file",
    "load_named",
    "parse_grant",
    "parse_request",
    "resolve",
]
