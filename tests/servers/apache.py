"""Apache httpd with mod_dav_fs: the WebDAV server of production (Debian: apache2-bin)."""

import base64
import hashlib
import os
import shutil
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from servers.place import Place
from servers.process import free_ports, running, unavailable

PROGRAM = "/usr/sbin/apache2"
MODULES = Path("/usr/lib/apache2/modules")
ACCOUNT = "www-data"
REALM = "dav"
USER = "test"
PASSWORD = "testpass"

NAMES = ["mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "dav", "dav_fs"]
NAMES += ["auth_basic", "auth_digest", "socache_shmcb", "ssl"]

CONFIG = """
ServerName 127.0.0.1
ServerRoot {folder}
Listen 127.0.0.1:{port}
PidFile {folder}/run/httpd.pid
DefaultRuntimeDir {folder}/run
Mutex file:{folder}/run
ErrorLog {folder}/run/error.log
{modules}
{tls}
DavLockDB {folder}/run/DavLock
DocumentRoot {folder}/root
<Directory {folder}/root>
  Dav On
  DavDepthInfinity Off
  AuthType {auth}
  AuthName {realm}
  AuthUserFile {folder}/{auth}
  Require valid-user
  AllowOverride None
</Directory>
"""
TLS = """
SSLEngine on
SSLCertificateFile {folder}/certificate.pem
SSLCertificateKeyFile {folder}/key.pem
"""


@dataclass(frozen=True)
class Server:
    """A server that can be started, killed and started again on its port.

    ``root`` is what it serves; ``certificate`` is there if it speaks TLS.
    """

    folder: Path
    port: int
    tls: bool
    start: Callable[[], AbstractContextManager[subprocess.Popen[bytes]]]

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def certificate(self) -> Path:
        return self.folder / "certificate.pem"

    def url(self, path: str, *, user: str = USER, password: str = PASSWORD) -> str:
        scheme = "webdavs" if self.tls else "webdav"
        return f"{scheme}://{user}:{password}@127.0.0.1:{self.port}{path}"


@contextmanager
def server(log: Path, *, auth: str = "Basic", tls: bool = False) -> Iterator[Server]:
    """Prepare a server whose output goes to the folder ``log``."""
    if not Path(PROGRAM).exists():
        unavailable(f"{PROGRAM} is not installed: .ci/setup test installs it")
    (port,) = free_ports(1)
    # Apache does not serve as root, and its account cannot reach into the tests' own folders.
    with tempfile.TemporaryDirectory(prefix="ltxvfs-apache-") as name:
        folder = Path(name)
        (folder / "root").mkdir()
        (folder / "run").mkdir()
        _write_users(folder)
        if tls:
            _make_certificate(folder)
        config = folder / "httpd.conf"
        modules = "\n".join(f"LoadModule {n}_module {MODULES}/mod_{n}.so" for n in NAMES)
        values = {"folder": folder, "port": port, "auth": auth, "realm": REALM}
        secure = TLS.format(**values) if tls else ""
        config.write_text(CONFIG.format(modules=modules, tls=secure, **values))
        command = [PROGRAM, "-f", str(config), "-DFOREGROUND"]
        if os.getuid() == 0:
            for path in (folder, *folder.rglob("*")):
                shutil.chown(path, ACCOUNT, ACCOUNT)
            # With TERM it takes its workers along if the tests are killed.
            as_account = f"--reuid={ACCOUNT} --regid={ACCOUNT} --clear-groups --pdeathsig=TERM --"
            command = ["setpriv", *as_account.split(), *command]
        yield Server(
            folder, port, tls, lambda: running(command, log, lambda: answers_webdav(port, tls))
        )


@contextmanager
def place(folder: Path) -> Iterator[Place]:
    with server(folder) as found, found.start():
        yield Place("webdav", lambda name: found.url(f"/{name}"), address=f"127.0.0.1:{found.port}")


def answers_webdav(port: int, tls: bool = False) -> bool:
    """Tell whether a server on a port knows WebDAV, or at least asks who wants to know."""
    address = f"{'https' if tls else 'http'}://127.0.0.1:{port}/"
    request = urllib.request.Request(address, method="PROPFIND", headers={"Depth": "0"})
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        urllib.request.urlopen(request, timeout=5, context=context).close()
    except urllib.error.HTTPError as error:
        with error:
            return error.code == 401
    except urllib.error.URLError:
        return False
    return True


def _write_users(folder: Path) -> None:
    sha = base64.b64encode(hashlib.sha1(PASSWORD.encode()).digest()).decode()
    (folder / "Basic").write_text(f"{USER}:{{SHA}}{sha}\n")
    md5 = hashlib.md5(f"{USER}:{REALM}:{PASSWORD}".encode()).hexdigest()
    (folder / "Digest").write_text(f"{USER}:{REALM}:{md5}\n")


def _make_certificate(folder: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
