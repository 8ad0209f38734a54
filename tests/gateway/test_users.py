"""Users, their passwords, roles, keys and sessions, as the gateway's database keeps them."""

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.adapters.settings import GatewaySettings, Settings
from infra.apps.gateway import audit, keys, passwords, sessions, users
from infra.apps.gateway.database import Database, opened
from infra.apps.gateway.keys import SCOPES, Client
from infra.apps.gateway.limits import Limits
from infra.apps.gateway.problems import ProblemError
from infra.apps.gateway.roles import ROLES
from infra.apps.gateway.uses import Uses
from pipelines.errors import BriefError, SettingsError

WORDS = "ladder orbit velvet trout"
ANN = Client("ann", frozenset(), "user-1")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with opened(tmp_path) as found:
        yield found


# Users ----------------------------------------------------------------------------------------


def test_a_user_has_the_scopes_of_all_their_roles(database: Database) -> None:
    user = users.add(database, "ann", ["approver", "editor"])
    assert user.roles == ("editor", "approver")
    assert user.client.scopes == {"read", "make", "approve", "review"}
    assert users.client_with(database, user.id) == user.client
    users.set_roles(database, "ann", ["editor"])
    found = users.client_with(database, user.id)
    assert found is not None
    assert "review" not in found.scopes


def test_every_role_has_scopes_that_exist_and_an_operator_has_all() -> None:
    assert set().union(*(role.scopes for role in ROLES.values())) <= set(SCOPES)
    assert ROLES["operator"].scopes == set(SCOPES)


@pytest.mark.parametrize(
    ("roles", "words"),
    [(["boss"], "unknown"), ([], "needs a role"), (["machine", "editor"], "no role of a person")],
)
def test_roles_that_make_no_sense_are_refused(
    database: Database, roles: list[str], words: str
) -> None:
    with pytest.raises(BriefError, match=words):
        users.add(database, "ann", roles)
    assert users.everybody(database) == []


def test_users_and_keys_share_no_name(database: Database) -> None:
    users.add(database, "ann", ["editor"])
    keys.add(database, "cms", ["read"])
    for name in ("ann", "Ann", "ａｎｎ", "cms", "CMS", "operator", "this machine"):
        with pytest.raises(BriefError):
            users.add(database, name, ["editor"])
        with pytest.raises(BriefError):
            keys.add(database, name, ["read"])


def test_a_password_lets_its_user_in_and_nobody_else(database: Database) -> None:
    ann = users.add(database, "ann", ["editor"], WORDS)
    users.add(database, "bob", ["editor"])
    assert users.client_of(database, "ann", WORDS) == ann.client
    for name, password in [("ann", WORDS[:-1]), ("ann", ""), ("bob", ""), ("eve", WORDS)]:
        assert users.client_of(database, name, password) is None


def test_a_password_is_stored_as_an_argon2id_hash_and_nowhere_else(
    database: Database, tmp_path: Path
) -> None:
    users.add(database, "ann", ["editor"], WORDS)
    ((known,),) = database.rows("select password from users")
    assert known.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert WORDS not in repr(users.everybody(database))
    for file in (tmp_path / "gateway").iterdir():
        assert WORDS.encode() not in file.read_bytes()


def test_the_same_letters_typed_on_another_keyboard_are_the_same_password() -> None:
    assert passwords.matches(
        "a cafe\u0301 in the morning", passwords.hashed("a café in the morning")
    )


@pytest.mark.parametrize("password", ["short", "x" * 201, "ann the long name"])
def test_a_weak_password_is_refused_before_anything_is_stored(
    database: Database, password: str
) -> None:
    with pytest.raises(BriefError, match="password") as caught:
        users.add(database, "Ann The Long Name", ["editor"], password)
    assert password not in str(caught.value)
    assert users.everybody(database) == []


def test_a_machine_has_keys_and_no_password(database: Database) -> None:
    with pytest.raises(BriefError, match="keys add"):
        users.add(database, "shop", ["machine"], WORDS)
    shop = users.add(database, "shop", ["machine"])
    with pytest.raises(BriefError, match="keys add"):
        users.set_password(database, "shop", WORDS)
    key = keys.add(database, "shop-1", ["read", "make", "manage"], user_id=shop.id)
    assert keys.client_of(database, key) == shop.client  # and no `manage`


def test_a_new_password_or_disabling_ends_sessions_links_and_keys(database: Database) -> None:
    ann = users.add(database, "ann", ["editor"], WORDS)
    key = keys.add(database, "ann-laptop", ["read"], user_id=ann.id)
    token = sessions.begin(database, ann.client)
    users.set_password(database, "ann", "another " + WORDS)
    assert sessions.client_of_session(database, token) is None
    assert users.client_of(database, "ann", WORDS) is None
    token = sessions.begin(database, ann.client)
    link = sessions.new_link(database, "", ann.client).partition("token=")[2]
    users.disable(database, "ann")
    assert sessions.client_of_session(database, token) is None
    assert sessions.use_link(database, link) is None
    assert keys.client_of(database, key) is None
    assert users.client_of(database, "ann", "another " + WORDS) is None
    with pytest.raises(BriefError, match="users enable ann"):
        users.allowed(database, "ann")
    users.enable(database, "ann")
    assert keys.client_of(database, key) is not None
    assert sessions.client_of_session(database, token) is None


# Keys and sessions ----------------------------------------------------------------------------


def test_a_key_ends_when_it_says(database: Database) -> None:
    key = keys.add(database, "guest", ["read"], days=1)
    client = keys.client_of(database, key)
    assert client is not None
    token = sessions.begin(database, client)
    assert keys.expiry_of(database, key) == ""
    database.run("update keys set expires = '2026-01-01T00:00:00+00:00'")
    assert keys.client_of(database, key) is None
    assert sessions.client_of_session(database, token) is None
    assert keys.expiry_of(database, key).startswith("2026-01-01")
    assert keys.expiry_of(database, "rw_" + "x" * 43) == ""


def test_the_last_use_of_keys_users_and_sessions_is_known(database: Database) -> None:
    ann = users.add(database, "ann", ["editor"])
    key = keys.add(database, "cms", ["read"])
    token = sessions.begin(database, ann.client, "password", "192.0.2.1")
    database.run("update sessions set last_seen = 0")
    uses = Uses(database)
    uses.of_key(key)
    uses.of_user(ann.id)
    uses.of_session(token)
    assert keys.listed(database)[0].last_used == ""  # nothing waits for the disk at a request
    uses.write()
    assert keys.listed(database)[0].last_used
    assert users.named(database, "ann").last_seen
    (session,) = sessions.listed(database)
    assert (session.client, session.way, session.address) == ("ann", "password", "192.0.2.1")
    assert session.last_seen > 0


def test_one_session_ends_and_the_others_go_on(database: Database) -> None:
    ann = users.add(database, "ann", ["editor"])
    tokens = [
        sessions.begin(database, client) for client in (ann.client, ann.client, keys.OPERATOR)
    ]
    ended = keys.hash_of(tokens[0])[:12]
    assert ended in [session.id for session in sessions.listed(database)]
    sessions.end(database, ended)
    found = [sessions.client_of_session(database, token) for token in tokens]
    assert found == [None, ann.client, keys.OPERATOR]
    with pytest.raises(BriefError, match="sessions list"):
        sessions.end(database, ended)
    assert sessions.end_all_of(database, "ann") == 1
    assert [session.client for session in sessions.listed(database)] == ["operator"]


def test_keys_and_sessions_of_the_version_before_stay_valid(tmp_path: Path) -> None:
    """The database of 0.5.0: three steps, one key, one session of it, one login link."""
    from infra.apps.gateway.migrations import MIGRATIONS, migrate

    path = tmp_path / "gateway" / "gateway.db"
    path.parent.mkdir()
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, path, MIGRATIONS[:3])
    sha256, later = keys.hash_of("rw_old"), time.time() + 1000
    connection.execute("insert into keys values ('cms', ?, 'make read', '2026-11-01')", (sha256,))
    for secret, owner in (("of the key", sha256[:32]), ("of the operator", "operator")):
        connection.execute(
            "insert into sessions values (?, ?, ?)", (keys.hash_of(secret), owner, later)
        )
    connection.execute("insert into logins values (?, ?)", (keys.hash_of("link"), later))
    connection.close()
    with opened(tmp_path) as database:
        cms = keys.client_of(database, "rw_old")
        assert cms == Client("cms", frozenset({"make", "read"}), sha256[:32])
        assert sessions.client_of_session(database, "of the key") == cms
        assert sessions.client_of_session(database, "of the operator") == keys.OPERATOR
        assert sessions.use_link(database, "link") == keys.OPERATOR
        assert sessions.use_link(database, "link") is None


# Audit log ------------------------------------------------------------------------------------


def test_the_audit_log_tells_who_did_what_to_what(database: Database) -> None:
    audit.add(database, ANN, "run.started", "r1", "a fox", "192.0.2.1")
    audit.add(database, ANN, "run.answered", "r1", "approve")
    audit.add(database, keys.OPERATOR, "video.deleted", "v1")

    def found(**values: str) -> list[str]:
        return [entry.action for entry in audit.entries(database, audit.Wanted(**values))]

    assert found() == ["video.deleted", "run.answered", "run.started"]
    assert found(who="ann", action="run") == ["run.answered", "run.started"]
    assert found(subject="v1") == ["video.deleted"]
    assert found(action="ru") == []
    assert found(since="2999") == []
    assert audit.entries(database, audit.Wanted(before=2))[0].detail == "a fox"


def test_a_request_that_is_repeated_is_told_once(database: Database) -> None:
    for _ in range(3):
        audit.add_once(database, ANN, "run.started", "r1", "a fox", "127.0.0.1")
    audit.add_once(database, keys.OPERATOR, "run.started", "r1", "a fox", "127.0.0.1")
    assert len(audit.entries(database, audit.Wanted())) == 2


@pytest.mark.parametrize("statement", ["update audit set who = 'eve'", "delete from audit"])
def test_the_database_refuses_to_change_or_drop_what_was_noted(
    database: Database, statement: str
) -> None:
    audit.add(database, ANN, "run.started", "r1")
    with pytest.raises(sqlite3.IntegrityError, match="audit log"):
        database.run(statement)
    assert audit.entries(database, audit.Wanted())[0].who == "ann"


def test_what_is_older_than_the_retention_goes_and_the_rest_stays(database: Database) -> None:
    for at in ("2020-01-01T00:00:00+00:00", time.strftime("%Y-%m-%dT%H:%M:%S+00:00")):
        database.run(
            "insert into audit (at, who, who_id, action, subject, detail, address) "
            "values (?, 'ann', '', 'run.started', '', '', '')",
            (at,),
        )
    assert audit.forget_old(database, 0) == 0
    assert audit.forget_old(database, 365) == 1
    assert [entry.number for entry in audit.entries(database, audit.Wanted())] == [2]


def test_a_retention_that_the_database_would_refuse_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REELWRIGHT_RETENTION_AUDIT_DAYS", "7")
    with pytest.raises(SettingsError, match=r"AUDIT_DAYS=7.*30 days"):
        Settings.load()


# Single sign-on, limits -----------------------------------------------------------------------

PROXY = {"header": "X-Forwarded-User", "address": "10.0.0.5", "secret": "s" * 32}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"address": ""}, "anybody could log in as anybody"),
        ({"address": "10.0.0.300"}, "10.0.0.300"),
        ({"address": "127.0.0.1", "secret": ""}, "PROXY_SECRET has 0 characters"),
        ({"address": "0.0.0.0/0", "secret": ""}, "PROXY_SECRET has 0 characters"),
        ({"address": "::1", "secret": "letmein"}, "PROXY_SECRET has 7 characters"),
        ({"header": "X Forwarded"}, "PROXY_HEADER"),
    ],
    ids=str,
)
def test_a_proxy_that_others_could_play_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, str], words: str
) -> None:
    for name, value in (PROXY | change).items():
        monkeypatch.setenv(f"REELWRIGHT_GATEWAY_PROXY_{name.upper()}", value)
    with pytest.raises(SettingsError, match=words) as caught:
        Settings.load()
    assert "letmein" not in str(caught.value)


def test_a_proxy_elsewhere_needs_no_secret() -> None:
    found = GatewaySettings(proxy_header="X-User", proxy_address="10.0.0.5, fd00::/64")
    assert [str(net) for net in found.proxy_networks] == ["10.0.0.5/32", "fd00::/64"]


def test_what_is_given_back_was_not_counted() -> None:
    limits = Limits(120)
    for _ in range(5):
        limits.count("ann", 2)
        limits.give_back("ann", 2)
    limits.count("ann", 2)
    limits.count("ann", 2)
    with pytest.raises(ProblemError, match="more than 2"):
        limits.count("ann", 2)
    limits.count("bob", 2)
