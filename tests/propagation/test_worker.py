"""A child process whose end, however bad, is one error here."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from rfplatform.errors import WorkerError
from rfplatform.propagation.worker import Worker

TOY = '''
import ctypes, os, signal, sys, time
import numpy as np
from rfplatform.propagation.worker import serve

kept = {}

def arrays():
    """One of each type, made here so that only the answer's way is tested."""
    return {}, {
        "f4": np.arange(6, dtype=np.float32).reshape(2, 3),
        "f8": np.arange(6, dtype=np.float64).reshape(3, 2).T,
        "i4": np.arange(-3, 3, dtype=np.int32)[::2],
        "u1": np.arange(256, dtype=np.uint8),
        "bool": np.array([True, False, True]),
        "c8": np.array([1 + 2j, -3j], dtype=np.complex64),
        "f2": np.array([0.5, np.inf], dtype=np.float16),
        "big": np.arange(3, dtype=">f4"),
        "nan": np.array([np.nan, -np.inf, -0.0]),
        "scalar": np.array(7.5),
        "empty": np.zeros((0, 3), dtype=np.float32),
        "hollow": np.zeros((2, 0, 5), dtype=np.int64),
        "large": np.arange(3_000_000, dtype=np.float32),
    }

def echo(**values):
    return values, {}

def fail(text):
    raise ValueError(text)

def count():
    kept["n"] = kept.get("n", 0) + 1
    return {"n": kept["n"]}, {}

def noise():
    print("python speaks", flush=True)
    os.write(1, b"a library writes to descriptor 1\\n{]")
    libc = ctypes.CDLL(None)
    libc.puts(b"C speaks")
    libc.fflush(None)
    os.system("echo a child of the child")
    return {"said": True}, {"a": np.ones(2)}

def say(text):
    print(text, file=sys.stderr, flush=True)
    return {}, {}

def abort():
    print("LLVM ERROR: out of luck", file=sys.stderr, flush=True)
    os.abort()

def leave(code):
    print("goodbye", file=sys.stderr, flush=True)
    sys.exit(code)

def leave_slowly():
    import atexit
    atexit.register(time.sleep, 1.0)
    sys.exit(4)

def kill(number):
    os.kill(os.getpid(), number)
    time.sleep(60)

def babble():
    os.write(ANSWERS, b"no json at all\\n")
    time.sleep(60)

def refuse():
    return {"x": object()}, {}

def sleep(seconds=600):
    time.sleep(seconds)
    return {"slept": seconds}, {}

if __name__ == "__main__":
    ANSWERS = os.dup(1)
    serve({f.__name__: f for f in (arrays, echo, fail, count, noise, say, abort, leave,
           leave_slowly, kill, babble, refuse, sleep)})
'''


@pytest.fixture
def toy(tmp_path):
    """Variables that let a child find the toy module."""
    (tmp_path / "toy_worker.py").write_text(TOY)
    root = Path(__file__).parents[2]
    return {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}


@pytest.fixture
def worker(toy):
    with Worker("toy_worker", toy) as running:
        yield running


def test_arrays_of_every_type_come_back(worker):
    found = worker.ask("arrays").arrays
    expected = {
        "f4": np.arange(6, dtype=np.float32).reshape(2, 3),
        "f8": np.arange(6, dtype=np.float64).reshape(3, 2).T,
        "i4": np.array([-3, -1, 1], dtype=np.int32),
        "u1": np.arange(256, dtype=np.uint8),
        "bool": np.array([True, False, True]),
        "c8": np.array([1 + 2j, -3j], dtype=np.complex64),
        "f2": np.array([0.5, np.inf], dtype=np.float16),
        "big": np.arange(3, dtype=">f4"),
        "nan": np.array([np.nan, -np.inf, -0.0]),
        "scalar": np.array(7.5),
        "empty": np.zeros((0, 3), dtype=np.float32),
        "hollow": np.zeros((2, 0, 5), dtype=np.int64),
        "large": np.arange(3_000_000, dtype=np.float32),
    }
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert np.signbit(found["nan"][2])
    found["f4"][0, 0] = 9  # they are the caller's to write on


def test_values_come_back(worker):
    values = {"text": "Ä\n\"'", "number": 0.1, "list": [1, [2, None]], "flag": True}
    assert worker.ask("echo", **values).values == values


def test_handler_that_raises_is_an_error_and_the_worker_goes_on(worker):
    assert worker.ask("count").values == {"n": 1}
    with pytest.raises(WorkerError, match="the antenna fell off") as caught:
        worker.ask("fail", text="first line\nthe antenna fell off")
    assert "\n" not in str(caught.value)
    with pytest.raises(WorkerError):
        worker.ask("no such request")
    with pytest.raises(WorkerError):
        worker.ask("count", unexpected=1)
    with pytest.raises(WorkerError, match="JSON"):
        worker.ask("refuse")
    assert worker.ask("count").values == {"n": 2}


def test_noise_on_standard_output_is_no_answer(worker):
    reply = worker.ask("noise")
    assert reply.values == {"said": True}
    assert reply.arrays["a"].tolist() == [1, 1]
    assert worker.ask("count").values == {"n": 1}


@pytest.mark.parametrize(
    ("request_", "values", "told"),
    [
        ("abort", {}, ["SIGABRT", "LLVM ERROR: out of luck"]),
        ("leave", {"code": 3}, ["exit code 3", "goodbye"]),
        ("leave", {"code": 0}, ["exit code 0", "goodbye"]),
        ("leave_slowly", {}, ["exit code 4"]),
        ("kill", {"number": 9}, ["memory", "the last thing"]),
        ("kill", {"number": 11}, ["SIGSEGV", "the last thing"]),
        ("kill", {"number": 40}, ["signal 40", "the last thing"]),
    ],
)
def test_worker_that_dies_is_one_clear_error(worker, request_, values, told):
    worker.ask("say", text="the last thing")
    with pytest.raises(WorkerError) as caught:
        worker.ask(request_, **values)
    for words in told:
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    # Asked again, it says so again rather than hang.
    with pytest.raises(WorkerError):
        worker.ask("count")


def test_worker_killed_from_outside(worker):
    worker.ask("say", text="all is well")
    psutil.Process(worker.pid).kill()
    with pytest.raises(WorkerError, match=r"memory.*all is well"):
        worker.ask("count")


def test_answer_that_can_not_be_read_is_an_error(worker, monkeypatch):
    monkeypatch.setattr("rfplatform.propagation.worker.LAST_BREATH_S", 0.2)
    with pytest.raises(WorkerError, match="can't be read"):
        worker.ask("babble")
    assert not psutil.pid_exists(worker.pid)


def test_module_that_does_not_exist(toy):
    with (
        Worker("no_such_module_anywhere", toy) as absent,
        pytest.raises(WorkerError, match="no_such_module_anywhere"),
    ):
        absent.ask("count")


def test_context_ends_the_child_even_while_it_works(toy):
    with Worker("toy_worker", toy) as running:
        running.ask("count")
        pid = running.pid
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)
    running.close()  # twice does no harm


def test_interrupted_request_leaves_no_answer_for_the_next(worker):
    assert worker.ready

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            worker.ask("sleep", seconds=1.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not worker.ready
    time.sleep(1.0)  # the answer is there by now
    with pytest.raises(WorkerError, match="interrupted"):
        worker.ask("count")


def test_ready_until_it_dies(worker):
    with pytest.raises(WorkerError):
        worker.ask("fail", text="an error is an answer")
    assert worker.ready
    with pytest.raises(WorkerError):
        worker.ask("leave", code=0)
    assert not worker.ready


def test_child_outlives_the_thread_that_asked_for_it(toy):
    started = []
    thread = threading.Thread(target=lambda: started.append(Worker("toy_worker", toy)))
    thread.start()
    thread.join()
    with started[0] as running:
        assert running.ask("count").values == {"n": 1}
        time.sleep(0.3)
        assert running.ask("count").values == {"n": 2}


def test_a_fork_starts_children_too(toy):
    parent = textwrap.dedent(
        """
        import os
        from rfplatform.propagation.worker import Worker
        with Worker("toy_worker", {}) as worker:
            worker.ask("count")
        forked = os.fork()
        with Worker("toy_worker", {}) as worker:
            # One write: the two processes share the pipe.
            print(f"{worker.ask('count').values['n']} ", end="", flush=True)
        if forked:
            os.waitpid(forked, 0)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", parent],
        capture_output=True,
        env={**os.environ, **toy},
        timeout=30,
        check=True,
        text=True,
    )
    assert done.stdout.split() == ["1", "1"]


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
@pytest.mark.parametrize("asker", ["main", "passing"])
def test_child_dies_with_a_parent_that_is_killed(toy, asker):
    parent = textwrap.dedent(
        f"""
        import threading
        from rfplatform.propagation.worker import Worker
        started = []
        def ask():
            started.append(Worker("toy_worker", {{}}))
        if "{asker}" == "main":
            ask()
        else:
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()
        worker = started[0]
        worker.ask("count")
        print(worker.pid, flush=True)
        worker.ask("sleep")
        """
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, env={**os.environ, **toy}
    )
    with process:
        child = psutil.Process(int(process.stdout.readline()))
        assert child.is_running()
        process.kill()
        process.wait()
    deadline = time.monotonic() + 10
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.05)
