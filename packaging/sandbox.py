"""A machine for one test: an overlay over this machine's root, in mount, network and process namespaces of its own, so that
nothing is left of it. Needs Linux, root and Python 3.11 or later.
"""

import fcntl
import http.client
import json
import pathlib
import shlex
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
DATA = "/var/lib/scimlite"
# How long the server may take until it is ready, and to its end. In seconds.
READY, STOP = 30, 25
# What a login of root has.
LOGIN = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}
AS_SERVICE = ["setpriv", "--reuid=scimlite", "--regid=scimlite", "--clear-groups", "--reset-env"]
USER = "urn:ietf:params:scim:schemas:core:2.0:User"


def install(**tools):
    """Has apt-get install the packages whose tools are not there yet: tool="package"."""
    missing = [package for tool, package in tools.items() if not shutil.which(tool.replace("_", "-"))]
    if missing:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-qq", "-y", "--no-install-recommends", *missing], check=True)


def built(kind):
    """A package of the tests' binary: of kind deb or rpm."""
    said = subprocess.run([HERE / "build", kind, "dev"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return ROOT / said.splitlines()[-1]


def apart(script, *arguments):
    """Has `script` called in namespaces of its own, with a directory for its machine behind the arguments."""
    with tempfile.TemporaryDirectory() as base:
        namespaces = ["unshare", "--mount", "--net", "--pid", "--fork"]
        inside = [sys.executable, script, "--inside", *map(str, arguments), base]
        subprocess.run([*namespaces, *inside], check=True)


class Machine:
    """A root that shows this machine's; what is written to it goes to memory."""

    def __init__(self, base):
        base = pathlib.Path(base)
        self.root, upper = base / "root", base / "upper"
        self.root.mkdir()
        upper.mkdir()
        mount = lambda *arguments: subprocess.run(["mount", *map(str, arguments)], check=True)
        mount("-t", "tmpfs", "tmpfs", upper)
        (upper / "up").mkdir()
        (upper / "work").mkdir()
        mount("-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={upper}/up,workdir={upper}/work", self.root)
        mount("-t", "proc", "proc", self.root / "proc")
        mount("--rbind", "/dev", self.root / "dev")
        # As on a machine where systemd does not run.
        mount("-t", "tmpfs", "tmpfs", self.root / "run")
        mount("-t", "tmpfs", "tmpfs", self.root / "tmp")
        loopback()
        assert not self.path("/usr/bin/scimlite").exists() and not self.path(DATA).exists(), "installed already"

    def path(self, path):
        """Where a path of the machine is from outside."""
        return self.root / str(path).lstrip("/")

    def run(self, *command):
        """What a command that has to succeed prints."""
        command = ["chroot", self.root, *command]
        done = subprocess.run(command, env=LOGIN, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            sys.exit(f"{command} exited with {done.returncode}: {done.stdout}")
        return done.stdout

    def scimlite(self, *command):
        """The same as the service's user, as JSON."""
        return json.loads(self.run(*AS_SERVICE, "scimlite", *command, "--json"))

    def serve(self):
        """The service as the unit starts it."""
        unit = self.path("/usr/lib/systemd/system/scimlite.service").read_text()
        [command] = [line.removeprefix("ExecStart=") for line in unit.splitlines() if line.startswith("ExecStart=")]
        command = ["chroot", self.root, *AS_SERVICE, *shlex.split(command)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)


def loopback():
    """The new network has nothing but a loopback that is down."""
    up, set_flags = 0x1, 0x8914
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sH14x", b"lo", up))


class Client:
    """A SCIM client of a Tenant URL, which connects to loopback at `address`, whatever its host."""

    def __init__(self, tenant_url, token, ca_file, address="127.0.0.1"):
        self.url = urllib.parse.urlsplit(tenant_url)
        self.token, self.address = token, address
        self.trust = ssl.create_default_context(cafile=ca_file)

    def ask(self, method, path, body=None, headers={}, expected=(200, 201)):
        """The JSON of an answer that has to have one of these statuses."""
        host, port = self.url.hostname, self.url.port or 443
        connection = http.client.HTTPSConnection(host, port, context=self.trust, timeout=READY)
        plain = socket.create_connection(("127.0.0.1", port), READY, source_address=(self.address, 0))
        connection.sock = self.trust.wrap_socket(plain, server_hostname=host)
        body = json.dumps(body) if isinstance(body, dict) else body
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/scim+json", **headers}
        connection.request(method, self.url.path + path, body, headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status not in expected:
            sys.exit(f"{method} {path} is answered with {answer.status}: {text.decode(errors='replace')}")
        return json.loads(text)

    def create(self, name, **request):
        """A new person."""
        return self.ask("POST", "/Users", {"schemas": [USER], "userName": name}, **request)
