"""What a right is, per kind: how two of them meet and what one covers.

Each module here has frozen entries with

- `meet(a, b)`: what both allow, or None; never more than either, and the same for (b, a);
- `written(entry)`: the entry in the vocabulary of `metadata.sandbox`.

Entries are made from written lines by `policy.compile`, with paths made absolute there.
"""
