"""Programs that end in time, with all that they started. Check's tests are processes in groups of their own, which a
signal to the suite or to its group does not reach: they are found by their session."""
import os
from pathlib import Path
import signal
import subprocess


def members(session):
    """The processes of it that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # "pid (name) state parent group session ...": a name may have spaces and brackets
            state, _, _, of = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue  # it has ended meanwhile
        if int(of) == session and state not in "ZX":
            found.append(int(entry.name))
    return found


def end(session):
    while found := members(session):  # one may have started another meanwhile
        for process in found:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass


def finish(command, env, limit):
    """Its exit status; None where it took too long. None of its processes is left then. Each has that much processor
    time at most, so that they end, too, should nobody be there any more to end them."""
    program = subprocess.Popen(["sh", "-c", 'ulimit -t "$0" && exec "$@"', str(int(limit) + 1), *map(str, command)],
                               env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        return program.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        end(program.pid)
        program.wait()
