"""Limits: what a cell and a session may use, how that is measured, and what happens beyond it.

| file | job |
|---|---|
| `wall_time.py`, `memory.py`, … | one limit each: unit, wall in the kernel, measurement, symptom |
| `table.py` | all of them, in order |
| `kind.py` | what such a file has to say |
| `sampling.py` | one look at the worker's processes, from outside |
| `verdict.py` | which limits a sample exceeds (pure) |
| `escalation.py` | exception, grace, kill (pure) |
| `wording.py` | the texts that people read (pure) |
| `monitor.py` | the loop that looks and acts while a cell runs |
| `walls.py` | what the kernel of the operating system enforces by itself |
| `cgroup.py` | an outer wall where a control group is delegated |
| `usage.py` | numbers for `status`, events and `usage_reply` |
"""
