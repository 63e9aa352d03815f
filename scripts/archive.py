#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""archive: packages out of Debian's archive that are not installed, for scripts/vmtest and for builds
for another architecture.

usage: scripts/archive.py ARCH     have the root of ARCH in .cache/ARCH/root, with what bulkhead
                                   links and what its tests need

They come by apt, with lists of sources of their own and the mirrors of this machine, and dpkg knows
nothing of them. Those of another architecture could not be installed beside this machine's own: of
libcriterion's libraries Debian 12 has versions that refuse each other.

Status: 77 apt cannot fetch them, 1 anything else went wrong; the last line says what.
"""
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE = os.path.join(TOP, ".cache")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
NOT_HERE, WRONG = 77, 1

ROOT_SUITE = "bookworm"
ROOTS = ("arm64",)
# What is linked, and the programs with which an emulated machine runs tests.
ROOT_PACKAGES = (
    "libc6-dev", "libbpf-dev", "libelf-dev", "zlib1g-dev", "libyaml-dev", "libjansson-dev",
    "libmnl-dev", "libcap-ng-dev", "nettle-dev", "libcriterion-dev",
    "busybox-static", "coreutils", "dash", "ethtool", "iproute2", "iputils-ping", "kmod", "mount",
    "nftables", "procps", "python3", "util-linux")


class Failed(Exception):
    """No package, no machine, or none any longer: a status and the words for it."""

    def __init__(self, status, words):
        super().__init__(words)
        self.status = status


def run(*argv, status=WRONG, **options):
    """A command's output; when it fails its words, with a status."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL, **options)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise Failed(status, f"{argv[0]}: {words[-1] if words else done.returncode}")
    return done.stdout


def mirrors():
    """Where this machine gets Debian from: {label of the archive: its address}."""
    lines = run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)",
                "Created-By: Packages", status=NOT_HERE).splitlines()
    return {label: uri for origin, label, uri in (line.split("|") for line in lines)
            if origin == "Debian"}


class Suite:
    """One suite, with lists of its own in a folder."""

    def __init__(self, name, arch, folder):
        label = "Debian-Security" if name.endswith("-security") else "Debian"
        uri = mirrors().get(label)
        if not uri:
            raise Failed(NOT_HERE, f"apt knows no source of {label} on this machine")
        self.name, self.arch, self.folder = name, arch, os.path.join(folder, name)
        os.makedirs(os.path.join(self.folder, "lists", "partial"), exist_ok=True)
        signed = f"[signed-by={KEYRING}] " if os.path.exists(KEYRING) else ""
        write(self.path("sources.list"), f"deb {signed}{uri} {name} main\n")
        self.apt("apt-get", "update", "--error-on=any")

    def path(self, name):
        return os.path.join(self.folder, name)

    def apt(self, program, *args, **options):
        # A suite that is no longer renewed is still signed; its date is of no interest here.
        return run(program, "-q", "-o", f"Dir::Etc::sourcelist={self.path('sources.list')}",
                   "-o", "Dir::Etc::sourceparts=-", "-o", f"Dir::State::lists={self.path('lists')}",
                   "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=",
                   "-o", "Acquire::Check-Valid-Until=false", "-o", "APT::Sandbox::User=root",
                   "-o", f"APT::Architecture={self.arch}", "-o", f"APT::Architectures={self.arch}",
                   *args, status=NOT_HERE, **options)

    def download(self, packages, folder):
        """Fetches packages; their files."""
        self.apt("apt-get", "download", *packages, cwd=folder)
        return debs_in(folder)

    def download_with_needs(self, packages, folder):
        """The same with all that they depend on, as where nothing is installed."""
        os.makedirs(os.path.join(folder, "partial"))
        self.apt("apt-get", "install", "--download-only", "--yes", "--no-install-recommends",
                 "-o", "Dir::State::status=/dev/null", "-o", f"Dir::Cache::archives={folder}",
                 "-o", "Debug::NoLocking=true", *packages)
        return debs_in(folder)


def debs_in(folder):
    return sorted(os.path.join(folder, n) for n in os.listdir(folder) if n.endswith(".deb"))


# ---- the root of another architecture ------------------------------------------------------------

def root_of(arch):
    return os.path.join(CACHE, arch, "root")


def is_whole(root):
    try:
        with open(os.path.join(root, "packages"), encoding="utf-8") as file:
            return file.read().split() == list(ROOT_PACKAGES)
    except FileNotFoundError:
        return False


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def turn_inwards(root):
    """What would lead out of the root, to the files of this machine, leads into it."""
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            target = os.readlink(path) if os.path.islink(path) else ""
            if target.startswith("/") and not target.startswith(("/proc", "/dev", "/run")):
                os.remove(path)
                os.symlink(os.path.relpath(root + target, folder), path)


def fill(root, debs):
    """Unpacks packages as they lie in Debian's merged /usr. None is set up."""
    for name in ("bin", "lib", "sbin"):
        os.makedirs(os.path.join(root, "usr", name))
        os.symlink(os.path.join("usr", name), os.path.join(root, name))
    for deb in debs:
        run("sh", "-c", 'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"',
            "sh", deb, root)
    turn_inwards(root)
    write(os.path.join(root, "packages"), "\n".join(ROOT_PACKAGES) + "\n")


def make_root(arch, root):
    folder = os.path.dirname(root)
    suite = Suite(ROOT_SUITE, arch, os.path.join(folder, "apt"))
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        new = os.path.join(scratch, "root")
        fill(new, suite.download_with_needs(ROOT_PACKAGES, scratch))
        shutil.rmtree(root, ignore_errors=True)
        write(root + ".ini", f"[constants]\nroot = '{root}'\n")
        os.rename(new, root)  # the last step: a root that is whole has all that belongs to it
    print(f"archive: libraries and programs of {arch} from {suite.name}", file=sys.stderr)


def have_root(arch):
    """
    Has the root of an architecture, from the archive unless it is here. One makes it, others wait; a
    machine that still runs from one with other packages loses it.
    """
    root = root_of(arch)
    os.makedirs(os.path.dirname(root), exist_ok=True)
    with open(os.path.join(os.path.dirname(root), "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_whole(root):
            make_root(arch, root)


def main(args):
    if len(args) != 1 or args[0] not in ROOTS:
        print(f"usage: scripts/archive.py {'|'.join(ROOTS)}", file=sys.stderr)
        return 2
    try:
        have_root(args[0])
    except Failed as failed:
        print(f"archive: {failed}", file=sys.stderr)
        return failed.status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
