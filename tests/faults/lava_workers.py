"""Lava workers that misbehave: executables that pass for a Python 3.10 with Lava, and do what ``body`` says."""

from __future__ import annotations

import sys
from pathlib import Path

# What an interpreter says that is asked for its versions, and a worker that is not one.
SCRIPT = """#!{python}
import json, os, signal, sys, time
if "-c" in sys.argv:
    print(json.dumps(dict(python="3.10.99", numpy="1.26.4", lava="0.10.0", lava_dl=None, reason=None)))
    sys.exit(0)
sys.path[:0] = {path!r}
import numpy as np
_, flag, script, folder, _, samples, _, out, _, parent = sys.argv

def finish(change=lambda spikes, result: None):
    golden = np.load(os.path.join(folder, "golden.npz"))
    spikes = {{k: golden[k][: int(samples)].copy() for k in golden.files if k.startswith("spikes.")}}
    result = dict(samples=int(samples), hardware_steps=1, processes=1, differing_spikes=0, spikes=1,
                  per_population={{}}, build_seconds=0.1, run_seconds=0.1, versions={{}})
    change(spikes, result)
    np.savez(os.path.join(out, "spikes.npz"), **spikes)
    with open(os.path.join(out, "result.json"), "w") as file:
        json.dump(result, file)

def shared(number):
    import mmap
    name = "/dev/shm/psm_%08x" % (os.getpid() + number)
    with open(name, "wb+") as file:
        file.write(bytes(4096))
        file.flush()
        globals()["held%d" % number] = mmap.mmap(file.fileno(), 4096)

def child():
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        shared(1 << 24)
        time.sleep(600)
        os._exit(0)

def first(spikes):
    return sorted(spikes)[0]

{body}
"""

# {name: (what it does, exit code of the export, words in its one line)}
WORKERS = {
    "hangs": ("shared(0); child(); time.sleep(600)", 75, "did not end within"),
    "hangs and heeds no SIGTERM": ("signal.signal(15, signal.SIG_IGN); child(); time.sleep(600)", 75, "did not end"),
    "dies": ("shared(0); child(); time.sleep(1.5); os.kill(os.getpid(), 9)", 75, "signal 9"),
    "ends with a code": ("print('no such thing'); sys.exit(70)", 75, "code 70; last line: no such thing"),
    "says nothing": ("sys.exit(0)", 75, "no result.json"),
    "leaves files": ("open(os.path.join(os.environ['TMPDIR'], 'left'), 'w'); time.sleep(600)", 75, "did not end"),
    "floods its log": ("while True: print('x' * 9999)", 75, "bytes of log"),
    "controls the terminal": (r"print('\x1b[31m\x07' * 9); sys.exit(70)", 75, "code 70"),
    "gives half of its spikes": (
        "finish(); p = os.path.join(out, 'spikes.npz'); os.truncate(p, os.path.getsize(p) // 2)",
        75,
        "cannot be read",
    ),
    "gives a huge result": ("finish(lambda s, r: r.update(versions={'x': 'y' * (8 << 20)}))", 75, "no result.json"),
    "gives deep JSON": (
        "finish(); open(os.path.join(out, 'result.json'), 'w').write('[' * 90000)",
        75,
        "cannot be read",
    ),
    "gives spikes of another shape": (
        "finish(lambda s, r: s.update({first(s): s[first(s)][:, :, :1]}))",
        75,
        "expected",
    ),
    "gives another type": (
        "finish(lambda s, r: s.update({first(s): s[first(s)].astype(float)}))",
        75,
        "something else",
    ),
    "forgets a population": ("finish(lambda s, r: s.pop(first(s)))", 75, "populations are not"),
    "invents a population": ("finish(lambda s, r: s.update({'spikes.x': s[first(s)]}))", 75, "populations are not"),
    "gives wrong spikes": (
        "def wrong(s, r):\n    s[first(s)][0, 0, 0] ^= 128\nfinish(wrong)",
        1,
        "differ in 1 of",
    ),
    "gives a bomb": (
        "import io, zipfile; finish(); head = io.BytesIO(); shape = (1, 1, 1 << 40)\n"
        "np.lib.format.write_array_header_1_0(head, dict(descr='|u1', fortran_order=False, shape=shape))\n"
        "zipfile.ZipFile(os.path.join(out, 'spikes.npz'), 'w').writestr('spikes.x.npy', head.getvalue())",
        75,
        "cannot be read",
    ),
    "gives a link": (
        "finish(); os.remove(os.path.join(out, 'spikes.npz')); os.symlink('/dev/zero', "
        "os.path.join(out, 'spikes.npz'))",
        75,
        "cannot be read",
    ),
    "refuses": ("print('lava-nc is not installed'); sys.exit(2)", 4, "lava-nc is not installed"),
}


def write_worker(path: Path, body: str) -> Path:
    """The executable of a worker that does ``body``."""
    path.write_text(SCRIPT.format(python=sys.executable, path=sys.path, body=body))
    path.chmod(0o755)
    return path
