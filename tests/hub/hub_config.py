"""What the tests add to the recipe in deploy/: ports, two users, a way to log in."""

import os
from pathlib import Path

from sandbox_kernel.jupyter.hub import policy_by_group

c = get_config()  # noqa: F821 - JupyterHub defines it
load_subconfig(  # noqa: F821 - JupyterHub defines it
    str(Path(__file__).resolve().parents[2] / "deploy" / "jupyterhub_config.py")
)

place = os.environ["SANDBOX_HUB_PLACE"]
port, hub_port, proxy_port = map(int, os.environ["SANDBOX_HUB_PORTS"].split())
c.JupyterHub.bind_url = f"http://127.0.0.1:{port}"
c.JupyterHub.hub_port = hub_port
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.command = [os.environ["SANDBOX_HUB_PROXY"]]
c.JupyterHub.db_url = f"sqlite:///{place}/hub.sqlite"
c.JupyterHub.cookie_secret_file = f"{place}/cookie_secret"
c.JupyterHub.spawner_class = "sandbox_kernel.jupyter.hub_spawner.BoundedProcessSpawner"
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = "let me in"
c.BoundedProcessSpawner.server_memory = "300M"
c.Spawner.pre_spawn_hook = policy_by_group({"teacher": "data-science", "student": "students"})
c.Authenticator.allowed_users = {"tess", "stu"}
c.JupyterHub.load_groups = {"teacher": {"users": ["tess"]}, "student": {"users": ["stu"]}}
