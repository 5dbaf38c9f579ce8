"""JupyterHub where only the sandboxed kernel is offered. docs/hub.md says what each line is for.

Install beside it, owned by root:
    jupyter_server_config.py  as  /etc/jupyter/jupyter_server_config.py
    system.toml               as  /etc/sandbox-kernel/system.toml
"""

import os

from sandbox_kernel.jupyter.hub import policy_by_group, short_turns_for_the_hub

c = get_config()  # noqa: F821 - JupyterHub defines it

# The hub and its proxy do not wait for cells that compute (see yields_after in system.toml).
short_turns_for_the_hub()

# Who may log in, and is in which group. The names are those of the machine's own users, whose
# passwords the machine checks (PAM).
GROUPS: dict[str, set[str]] = {"teacher": set(), "student": set()}
c.Authenticator.allowed_users = set().union(*GROUPS.values())
c.JupyterHub.load_groups = {name: {"users": sorted(users)} for name, users in GROUPS.items()}

# Who runs under which policy. The system policy bounds them all.
c.Spawner.pre_spawn_hook = policy_by_group(
    {"teacher": "data-science", "student": "classroom"}, otherwise="locked-down"
)

# A server, with its kernels, as a unit of its own with limits where systemd runs; else as a
# process of the user's in a control group of that user's, with the numbers of [limits.person] of
# the policy. Both end the kernels with the server.
if os.path.isdir("/run/systemd/system"):
    c.JupyterHub.spawner_class = "systemdspawner.SystemdSpawner"
    c.SystemdSpawner.mem_limit = "14G"
    c.SystemdSpawner.cpu_limit = 4.0
    c.SystemdSpawner.isolate_tmp = True
    c.SystemdSpawner.disable_user_sudo = True
    c.SystemdSpawner.unit_extra_properties = {"LimitNICE": "20", "TasksMax": "1500"}
else:
    c.JupyterHub.spawner_class = "sandbox_kernel.jupyter.hub_spawner.BoundedProcessSpawner"

# A server reads no configuration, extension or kernel from its user's home, nor policies that the
# user has put before those of the system, nor Python modules that Python itself would import.
c.Spawner.disable_user_config = True
c.Spawner.environment = {"JUPYTER_PREFER_ENV_PATH": "1", "PYTHONNOUSERSITE": "1"}
c.Spawner.default_url = "/lab"
c.Spawner.http_timeout = 120
c.Spawner.start_timeout = 120
