"""Capability kinds, a folder each: what may be asked (`schema`) and who decides (`decide`).

`decide(request, rights)` is pure and gives an `Approved` or a `Denied` (see `verdict`); only an
`Approved` can be performed.  The kinds do not know each other.
"""
