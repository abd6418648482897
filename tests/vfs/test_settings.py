"""Where settings come from, which are stronger, which are refused."""

from pathlib import Path

import apsw
import pytest
from replicated import Replicated

import ltxvfs
from ltxvfs.core.errors import ConfigError
from ltxvfs.databases import databases
from ltxvfs.settings import Settings


def test_stronger_sources_win_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "app.db"
    monkeypatch.setenv("LITESTREAM_REPLICA_URL", f"{tmp_path.as_uri()}/environment")
    monkeypatch.setenv("LITESTREAM_SYNC_INTERVAL", "30ms")
    for replica, uri, expected in [
        (None, "", "environment"),
        (f"{tmp_path.as_uri()}/registered", "", "registered"),
        (f"{tmp_path.as_uri()}/registered", f"&replica={tmp_path.as_uri()}/uri", "uri"),
    ]:
        ltxvfs.register(replica)
        name = tmp_path / f"{expected}.db"
        con = apsw.Connection(
            f"file:{name}?vfs=litestream{uri}",
            flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI,
        )
        con.execute("CREATE TABLE t(x)")
        ltxvfs.wait(con, 10)
        assert (tmp_path / expected / "ltx" / "0").is_dir()
        assert databases().find(name).settings.sync_interval == 0.03  # type: ignore[union-attr]
        con.close()
    assert not path.exists()


def test_registering_again_forgets_what_it_is_not_told(tmp_path: Path) -> None:
    ltxvfs.register(tmp_path.as_uri(), sync_interval=7)
    ltxvfs.register()
    with pytest.raises(ConfigError, match="no replica is configured"):
        ltxvfs.connect(tmp_path / "app.db")


def test_an_empty_variable_counts_as_unset() -> None:
    assert Settings().with_environment({"LITESTREAM_REPLICA_URL": ""}) == Settings()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1", 1.0), ("0.5", 0.5), ("500ms", 0.5), ("1m30s", 90.0), ("2h", 7200.0), ("20000us", 0.02)],
)
def test_a_duration_may_carry_a_unit(text: str, seconds: float) -> None:
    assert Settings().with_parameters({"sync_interval": text}).sync_interval == pytest.approx(
        seconds
    )


@pytest.mark.parametrize("text", ["", "soon", "1 s", "-1", "1x", "nan", "inf", "0", "1e9", "1s2"])
def test_a_bad_duration_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Settings().with_parameters({"sync_interval": text})


def test_unknown_settings_and_values_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown setting 'replika'"):
        Settings().override({"replika": "x"})
    with pytest.raises(ConfigError, match="durability is 'never'"):
        Settings(durability="never")
    with pytest.raises(ConfigError, match="page_encoding is 'zip'"):
        Settings(page_encoding="zip")
    with pytest.raises(ConfigError, match="not available yet"):
        ltxvfs.register("file:///x", durability="commit")
    with pytest.raises(ConfigError):
        ltxvfs.register(7)  # type: ignore[arg-type]


def test_a_bad_setting_in_a_uri_refuses_the_open(app: Replicated) -> None:
    ltxvfs.register(app.url)
    with pytest.raises(apsw.CantOpenError, match="no duration"):
        apsw.Connection(
            f"file:{app.path}?vfs=litestream&sync_interval=soon",
            flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI,
        )
    assert list(app.path.parent.iterdir()) == []
