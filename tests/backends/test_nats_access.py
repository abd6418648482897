"""Every way to prove who one is to a NATS server, each against a server that asks for it."""

import json
import socket
import ssl
import threading
import traceback
from contextlib import closing
from urllib.parse import quote

import pytest
from servers import nats as servers
from servers.nats import open_nats
from servers.nats_keys import Certificates, Key, Operator, write_creds

from ltxvfs.core.errors import ConfigError, Denied, Unavailable

TOKEN = "a-hidden-token"


@pytest.fixture(autouse=True)
def no_credentials_around(monkeypatch):
    for name in ("USER", "PASSWORD", "TOKEN", "CREDS", "NKEY", "JWT", "SEED", "CA", "CERT", "KEY"):
        monkeypatch.delenv(f"NATS_{name}", raising=False)


def check(url):
    with closing(open_nats(url)) as store:
        store.write("k", b"x")
        assert store.read("k") == b"x"


def check_denied(url, match="refuses these credentials", kind=Denied):
    with closing(open_nats(url)) as store, pytest.raises(kind, match=match):
        store.read("k")


@pytest.fixture(scope="module")
def with_token(tmp_path_factory):
    settings = {"authorization": {"token": TOKEN}}
    with servers.serving(tmp_path_factory.mktemp("token"), settings) as server:
        server.make_bucket("b", user=None, password=None, token=TOKEN)
        yield server


def test_a_token(with_token, monkeypatch):
    check(with_token.url("b", f"{TOKEN}@"))
    check(with_token.url(f"b?token={TOKEN}", ""))
    check_denied(with_token.url("b", "another@"))
    check_denied(with_token.url("b", ""))
    monkeypatch.setenv("NATS_TOKEN", TOKEN)
    check(with_token.url("b", ""))


@pytest.fixture(scope="module")
def with_password(tmp_path_factory):
    with servers.serving(tmp_path_factory.mktemp("password")) as server:
        server.make_bucket("b")
        yield server


def test_a_user_with_a_password(with_password, monkeypatch):
    check(with_password.url("b"))
    check(with_password.url("b?username=test&password=testpass", ""))
    check_denied(with_password.url("b", "test:wrong@"))
    monkeypatch.setenv("NATS_USER", "test")
    check_denied(with_password.url("b", ""), r"needs password.*NATS_PASSWORD", ConfigError)
    monkeypatch.setenv("NATS_PASSWORD", "testpass")
    check(with_password.url("b", ""))


def test_credentials_of_the_url_are_never_mixed_with_the_environments(with_password, monkeypatch):
    monkeypatch.setenv("NATS_CREDS", "/no/such/file")
    check(with_password.url("b"))


def test_one_of_several_servers_is_enough(with_password):
    (dead,) = servers.free_ports(1)
    check(with_password.url("b").replace("@", f"@127.0.0.1:{dead},"))


@pytest.fixture(scope="module")
def user_key():
    return Key.of_user()


@pytest.fixture(scope="module")
def with_nkey(tmp_path_factory, user_key):
    settings = {"authorization": {"users": [{"nkey": user_key.public}]}}
    with servers.serving(tmp_path_factory.mktemp("nkey"), settings) as server:
        server.make_bucket("b", user=None, password=None, nkeys_seed_str=user_key.seed)
        yield server


def test_an_nkey(with_nkey, user_key, tmp_path, monkeypatch):
    path = tmp_path / "user.nk"
    path.write_text(user_key.seed + "\n")
    check(with_nkey.url(f"b?nkey={path}", ""))
    check(with_nkey.url(f"b?seed={user_key.seed}", ""))
    check_denied(with_nkey.url(f"b?seed={Key.of_user().seed}", ""))
    monkeypatch.setenv("NATS_NKEY", str(path))
    check(with_nkey.url("b", ""))


@pytest.fixture(scope="module")
def operator():
    return Operator()


@pytest.fixture(scope="module")
def with_jwt(tmp_path_factory, operator, user_key):
    folder = tmp_path_factory.mktemp("jwt")
    creds = write_creds(folder / "user.creds", operator.user(user_key), user_key.seed)
    with servers.serving(folder, operator.settings) as server:
        server.make_bucket("b", user=None, password=None, user_credentials=str(creds))
        yield server


def test_a_credentials_file(with_jwt, operator, user_key, tmp_path, monkeypatch):
    path = write_creds(tmp_path / "user.creds", operator.user(user_key), user_key.seed)
    check(with_jwt.url(f"b?creds={path}", ""))
    monkeypatch.setenv("NATS_CREDS", str(path))
    check(with_jwt.url("b", ""))
    write_creds(path, operator.user(user_key), Key.of_user().seed)
    check_denied(with_jwt.url(f"b?creds={path}", ""))


def test_a_jwt_with_its_seed(with_jwt, operator, user_key, monkeypatch):
    jwt = operator.user(user_key)
    check(with_jwt.url(f"b?jwt={jwt}&seed={user_key.seed}", ""))
    check_denied(with_jwt.url(f"b?jwt={Operator().user(user_key)}&seed={user_key.seed}", ""))
    monkeypatch.setenv("NATS_JWT", jwt)
    monkeypatch.setenv("NATS_SEED", user_key.seed)
    check(with_jwt.url("b", ""))


@pytest.mark.parametrize(
    ("option", "content", "match"),
    [
        ("creds", None, r"creds .* cannot be read: .*: No such file"),
        ("creds", b"\xff\xfe", r"creds .* cannot be read: .*: it is no text"),
        ("creds", b"-----BEGIN NATS USER JWT-----\nhidden\n", "holds no NATS USER JWT"),
        ("nkey", b"SUhidden", "no NKey seed"),
        ("nkey", b"", "no NKey seed"),
        ("nkey", b"hidden!", "no NKey seed"),
        ("root-cas", b"hidden", "cannot be loaded"),
        ("client-cert", b"hidden", "cannot be loaded"),
    ],
)
def test_a_bad_file_is_named_but_not_shown(option, content, match, tmp_path):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    url = f"nats://127.0.0.1:1/b?{option}={path}"
    with closing(open_nats(url)) as store, pytest.raises(ConfigError, match=match) as caught:
        store.read("k")
    assert "hidden" not in "".join(traceback.format_exception(caught.value))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module", params=[False, True], ids=["server", "mutual"])
def with_tls(tmp_path_factory, certificates, request):
    tls = {"cert_file": str(certificates.server), "key_file": str(certificates.server)}
    if request.param:
        tls |= {"ca_file": str(certificates.ca), "verify": True}
    settings = {**servers.BY_PASSWORD, "tls": tls}
    with servers.serving(tmp_path_factory.mktemp("tls"), settings) as server:
        context = ssl.create_default_context(cafile=certificates.ca)
        context.load_cert_chain(certificates.client)
        server.make_bucket("b", tls=context)
        server_is_mutual = request.param
        yield server, server_is_mutual


def test_tls(with_tls, certificates, monkeypatch):
    server, mutual = with_tls
    ca, cert, key = certificates.ca, certificates.client_cert, certificates.client_key
    check(server.url(f"b?root-cas={ca}&client-cert={cert}&client-key={key}"))
    check(server.url(f"b?root-cas={ca}&client-cert={quote(str(certificates.client))}"))
    if mutual:
        # Whether the server's reason or its end is seen first is a matter of luck.
        check_denied(
            server.url(f"b?root-cas={ca}"), "client-cert|refuses TLS", (Denied, Unavailable)
        )
    else:
        check(server.url(f"b?root-cas={ca}"))
    check_denied(server.url("b?tls=true"), "certificate is refused .*set root-cas")
    monkeypatch.setenv("NATS_CA", str(ca))
    monkeypatch.setenv("NATS_CERT", str(cert))
    monkeypatch.setenv("NATS_KEY", str(key))
    check(server.url("b"))


def test_a_server_without_tls_never_gets_a_password_that_was_to_be_encrypted():
    received = []

    def serve(listener):
        connection, _ = listener.accept()
        with connection:
            info = {"server_id": "x", "version": "2.10.0", "headers": True, "auth_required": True}
            connection.sendall(b"INFO " + json.dumps(info).encode() + b"\r\n")
            while data := connection.recv(4096):
                received.append(data)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        url = f"nats://test:testpass@127.0.0.1:{listener.getsockname()[1]}/b?tls=true"
        with (
            closing(open_nats(url)) as store,
            pytest.raises(ConfigError, match=r"TLS is wanted, but .* does not offer it"),
        ):
            store.read("k")
        thread.join()
    assert received == []


def test_a_server_that_asks_for_nothing(tmp_path_factory):
    with servers.serving(tmp_path_factory.mktemp("open"), {}) as server:
        server.make_bucket("b", user=None, password=None)
        check(server.url("b", ""))
        check_denied(server.url("b?tls=true", ""), "TLS is wanted", ConfigError)
