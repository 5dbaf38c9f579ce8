"""Names inside the worker's file tree. No imports: the warden's start waits for nothing else."""

#: The private scratch: one file system of limited size; HOME and TMPDIR are below it.
SCRATCH = "/sandbox"
DEVICES = ("null", "zero", "full", "random", "urandom")
#: /proc entries that libraries read; every other name at its top level is masked.
PROC_KEPT = frozenset(
    ("cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version")
    + ("self", "thread-self", "mounts", "net", "sys")
)
#: Files of /proc/sys that libraries read; the worker's folder is a copy of just these.
PROC_SYS_KEPT = (
    "kernel/osrelease",
    "kernel/ostype",
    "kernel/pid_max",
    "kernel/threads-max",
    "kernel/version",
    "kernel/cap_last_cap",
    "vm/overcommit_memory",
    "vm/max_map_count",
    "fs/pipe-max-size",
)
