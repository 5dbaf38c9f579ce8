"""Names inside the worker's file tree. No imports: the warden's start waits for nothing else."""

#: The private scratch: one file system of limited size; HOME and TMPDIR are below it.
SCRATCH = "/sandbox"
#: What a worker's Python runs.
ENTRY = ("-m", "sandbox_kernel.sandboxed")
HOST_NAME = "sandbox"
DEVICES = ("null", "zero", "full", "random", "urandom")
#: /proc entries that libraries read; every other name at its top level is masked.
PROC_KEPT = frozenset(
    ("cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version")
    + ("self", "thread-self", "mounts", "net", "sys")
)
#: Files of the host's from which libraries learn how many processors there are.
CPU_FILES = tuple(f"/sys/devices/system/cpu/{name}" for name in ("online", "possible", "present"))
#: Where there is no mount namespace: files of the machine that are served as copies.
MACHINE_FILES = (
    *(f"/proc/{name}" for name in ("cpuinfo", "filesystems", "loadavg", "meminfo", "stat")),
    *("/proc/uptime", "/proc/version"),
    *CPU_FILES,
)
#: Of the worker's own folder in /proc, served as copies there.
PROCESS_FILES = frozenset(
    ("maps", "status", "statm", "stat", "smaps", "smaps_rollup", "limits", "cmdline", "comm")
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
