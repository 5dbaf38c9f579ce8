"""Every user's server: only the sandboxed kernel, no terminal. Belongs to root, in /etc/jupyter."""

c = get_config()  # noqa: F821 - the server defines it

# A terminal is a shell with the user's login, outside all walls.
c.ServerApp.terminals_enabled = False

# Nothing but Sandboxed Python, whatever is installed, requested by name or put into a home.
c.ServerApp.kernel_spec_manager_class = "sandbox_kernel.jupyter.hub.SandboxedOnly"
c.MultiKernelManager.default_kernel_name = "sandbox-python"

# Files whose names start with a dot are configuration: not to be made through the browser.
c.ContentsManager.allow_hidden = False
c.FileContentsManager.allow_hidden = False
