"""Every benchmark file can be imported: nothing else in the fast tests opens all of them."""

import subprocess
import sys


def test_all_benchmarks_are_collected(project):
    command = [sys.executable, "-m", "pytest", "bench/", "--collect-only", "-q", "-m", "", "-p", "no:cacheprovider"]
    ran = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    files = {line.partition("::")[0] for line in ran.stdout.splitlines() if "::" in line}
    assert files == {path.relative_to(project).as_posix() for path in (project / "bench").glob("test_*.py")}
