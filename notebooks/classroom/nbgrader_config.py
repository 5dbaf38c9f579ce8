"""A course to try contained grading with: see docs/teaching.md."""

c = get_config()  # noqa: F821 - nbgrader defines it
c.CourseDirectory.course_id = "classroom"

# Submissions are run by sandbox-kernel. To be kept as the last line.
from sandbox_kernel.jupyter.nbgrader import contain; contain(c)  # fmt: skip  # noqa: E402, E702, I001
