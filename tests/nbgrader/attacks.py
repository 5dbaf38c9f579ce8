"""What submissions try against a grader, each as the code of a student's cell.

`ps2` has three places for a student's code: `double`, `guess` and `total`. An attack replaces some
of them; the others stay honest, so that what it costs the rest of the submission shows too. A
wrong `double` is worth 0 of its 3 points; everything else right is worth 3.

Names in capitals are put in by `course.py`: COURSE is the course's folder, PORT a live listener,
HOME the home of whoever grades, STUDENT the attacker.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

HONEST = {
    "double": "def double(x):\n    return 2 * x",
    "guess": "def guess():\n    return 1.0",
    "total": "def total():\n    return sum(int(line) for line in open('numbers.csv'))",
}
WRONG = "def double(x):\n    return 0\n"
ALL, REST, DOUBLE = 6.0, 3.0, 3.0


@dataclass(frozen=True)
class Attack:
    """`score` and `outcome` are what contained grading gives; `plain_score` what nbgrader alone
    gives, None where that is not what shows the attack's success.

    `control` False: the attack is not run without the walls, because it would hurt the machine, or
    is none without them.
    """

    cells: dict[str, str]
    score: float
    outcome: str
    plain_score: float | None = None
    control: bool = True
    metadata: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    markdown: str = ""
    links: dict[str, str] = field(default_factory=dict)


def _first(code: str, rest: str = HONEST["double"]) -> dict[str, str]:
    """`code` runs at the top of the cell of `double`."""
    return {"double": f"{code}\n{rest}"}


ATTACKS: dict[str, Attack] = {
    "honest": Attack({}, ALL, "passed", ALL),
    "partly": Attack(
        {"double": WRONG, "guess": "def guess():\n    return 0.25"}, 1.5, "failed", 1.5
    ),
    "writes_files": Attack(
        {
            "double": "open('mine.txt', 'w').write('1')\n" + HONEST["double"],
            "guess": "open('mine.txt', 'a').write('2')\nopen('mine.txt').read()\n"
            "def guess():\n    return 1.0 if open('mine.txt').read() == '12' else 0.0",
        },
        ALL,
        "passed",
        ALL,
    ),
    "reads_gradebook": Attack(
        _first("print(open('COURSE/gradebook.db', 'rb').read(15))"), REST, "denied"
    ),
    "writes_gradebook": Attack(
        _first(
            "import sqlite3\n"
            "db = sqlite3.connect('COURSE/gradebook.db', timeout=20)\n"
            'db.execute("update grade set extra_credit = 50 where cell_id in"\n'
            "           \" (select id from base_cell where name = 'partial')\")\n"
            "db.commit()"
        ),
        REST,
        "failed",
    ),
    "finds_tests_in_source": Attack(
        _first("print(open('COURSE/source/ps2/task.ipynb').read())"), REST, "denied"
    ),
    "finds_tests_in_itself": Attack(
        _first("import glob\nprint([open(f).read() for f in ['task.ipynb']])"), REST, "denied"
    ),
    "reads_others": Attack(
        _first("print(open('COURSE/submitted/honest/ps2/task.ipynb').read())"), REST, "denied"
    ),
    "strips_assertions": Attack(
        _first(
            "import ast\n"
            "class Strip(ast.NodeTransformer):\n"
            "    def visit_Assert(self, node):\n"
            "        return ast.Pass()\n"
            "get_ipython().ast_transformers.append(Strip())",
            WRONG,
        ),
        REST,
        "denied",
        ALL,
    ),
    "patches_run": Attack(
        {
            "total": HONEST["total"] + "\n"
            "async def nothing(*args, **kwargs):\n    return False\n"
            "type(get_ipython()).run_ast_nodes = nothing",
            "double": WRONG,
        },
        REST,
        "failed",
        None,
    ),
    "forges_result": Attack(
        {
            "double": "def double(x):\n"
            "    get_ipython().displayhook(1.0)\n"
            "    raise ValueError('no')"
        },
        REST,
        "denied",
        5.0,
    ),
    "exits": Attack({"double": "import os\ndef double(x):\n    os._exit(0)"}, REST, "crashed"),
    "swallows_interrupts": Attack(
        {
            "double": "def double(x):\n"
            "    while True:\n"
            "        try:\n"
            "            while True:\n"
            "                pass\n"
            "        except BaseException:\n"
            "            pass"
        },
        REST,
        "timed out",
        0.0,
    ),
    "uses_network": Attack(
        _first(
            "import socket\n"
            "with socket.create_connection(('127.0.0.1', PORT), 5) as line:\n"
            "    line.sendall(b'STUDENT')"
        ),
        REST,
        "denied",
    ),
    "plants_startup_file": Attack(
        _first(
            "import os\n"
            "folder = 'HOME/.ipython/profile_default/startup'\n"
            "os.makedirs(folder, exist_ok=True)\n"
            "open(folder + '/00-planted.py', 'w').write('planted = True')"
        ),
        REST,
        "denied",
    ),
    "script_in_output": Attack(
        _first(
            "from IPython.display import HTML, display\n"
            "display(HTML('<b>bold</b><script>window.fromOutput = 1</script>'))"
        ),
        ALL,
        "passed",
        ALL,
    ),
    "script_in_text": Attack(
        {}, ALL, "passed", ALL, markdown="*words* <script>window.fromText = 1</script>"
    ),
    "swaps_builtins": Attack(
        _first("import builtins\nbuiltins.all = lambda *each: True", WRONG), REST, "denied", 4.0
    ),
    "skips_tests": Attack({"double": WRONG}, REST, "failed", ALL, tags=("skip-execution",)),
    "links_to_gradebook": Attack(
        {"double": f"print(open('more.csv', 'rb').read(15))\n{HONEST['double']}"},
        REST,
        "failed",
        links={"more.csv": "COURSE/gradebook.db"},
    ),
    "changes_helper": Attack(
        {
            "total": "open('course_helper.py', 'w').write('def check_total(value): pass')\n"
            "def total():\n    return -1"
        },
        5.0,
        "failed",
        ALL,
    ),
    "names_a_file_with_wildcards": Attack(
        {
            "total": "open('course_helper.p?', 'w').write('')\ndef total():\n    return -1",
            "double": "open('course_helper.py', 'w').write('def check_total(value): pass')\n"
            + HONEST["double"],
        },
        5.0,
        "failed",
        ALL,
    ),
    "watches_from_a_thread": Attack(
        {
            "double": "import threading, time\n"
            "log = []\n"
            "def spy():\n"
            "    while True:\n"
            "        log.extend(each for each in In if 'assert all(' + 'double' in each)\n"
            "        time.sleep(0.002)\n"
            "threading.Thread(target=spy, daemon=True).start()\n" + HONEST["double"],
            "guess": "def guess():\n    print(set(log))\n    return 1.0",
        },
        ALL,
        "passed",
        ALL,
    ),
    "reads_history": Attack(
        {
            "guess": "def guess():\n"
            "    print([each for each in In if 'assert all(' + 'double' in each])\n"
            "    return 1.0"
        },
        ALL,
        "passed",
        ALL,
    ),
    # What contained grading cannot stop, and says so in the teacher's page.
    "lies_about_equality": Attack(
        {
            "double": "class Yes:\n"
            "    def __eq__(self, other):\n        return True\n"
            "def double(x):\n    return Yes()"
        },
        ALL,
        "passed",
        ALL,
    ),
    # Limits: without the walls these would be felt by the whole machine.
    "fills_memory": Attack(
        {
            "double": "def double(x):\n"
            "    kept = []\n"
            "    while True:\n"
            "        kept.append(bytearray(20_000_000))"
        },
        REST,
        "out of memory",
        control=False,
    ),
    "floods": Attack(
        {"double": "def double(x):\n    while True:\n        print('x' * 10_000)"},
        REST,
        "output flood",
        control=False,
    ),
    "asks_for_everything": Attack(
        _first("print(open('COURSE/gradebook.db', 'rb').read(15))"),
        REST,
        "denied",
        control=False,
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "sandbox": {
                "policy": "default",
                "files": [{"path": "/", "mode": "write"}],
                "sockets": [{"connect": "*:*"}],
                "modules": ["ctypes", "subprocess"],
                "limits": {"memory": "unlimited", "wall_time": "unlimited"},
            },
        },
    ),
    "names_another_language": Attack(
        {},
        ALL,
        "passed",
        control=False,
        metadata={"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}},
    ),
}
