import base64
import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keys import ssh, x25519

from ltxvfs.backends.age import bech32
from ltxvfs.backends.age.keys import AgeKeys
from ltxvfs.backends.age.recipients import parse_identities, parse_recipients
from ltxvfs.core.errors import ConfigError

ALICE, BOB = x25519(), x25519()
NEUTRAL_POINT = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + (1).to_bytes(32, "little")


def refusal(parse, text):
    with pytest.raises(ConfigError) as caught:
        parse([ALICE.recipient if parse is parse_recipients else ALICE.identity, text])
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert text.split()[-1][-12:] not in str(caught.value)
    return str(caught.value)


def test_keys_are_shown_nowhere():
    keys = AgeKeys([ALICE.recipient], [ALICE.identity, BOB.identity])
    assert repr(keys) == str(keys) == "<AgeKeys: 1 recipients, 2 identities>"
    assert pickle.loads(pickle.dumps(keys)) == copy.deepcopy(keys) == keys


def test_files_of_keys_are_read(tmp_path):
    identities = tmp_path / "identities"
    identities.write_text(f"# made by age-keygen\n\n{ALICE.identity}\n  {BOB.identity}\r\n")
    recipients = tmp_path / "recipients"
    recipients.write_text(f"{ALICE.recipient}\n# public key: x\n")
    key = ssh(tmp_path, "ed25519")
    (tmp_path / "id").write_text(key.identity)
    keys = AgeKeys.from_files([recipients], [identities, tmp_path / "id"])
    assert keys.recipients == (ALICE.recipient,)
    assert keys.identities == (ALICE.identity, BOB.identity, key.identity.strip())


def test_the_environment_holds_keys_or_names_files(tmp_path):
    path = tmp_path / "keys"
    path.write_text(BOB.identity)
    found = AgeKeys.from_environment(
        {
            "LITESTREAM_AGE_RECIPIENTS": f"{ALICE.recipient}\n{BOB.recipient}",
            "LITESTREAM_AGE_IDENTITIES": ALICE.identity,
            "LITESTREAM_AGE_IDENTITIES_FILE": str(path),
        }
    )
    assert found == AgeKeys([ALICE.recipient, BOB.recipient], [ALICE.identity, BOB.identity])
    assert AgeKeys.from_environment({"LITESTREAM_AGE_IDENTITIES": ""}) is None


@pytest.mark.parametrize("what", ["no such file", "no text"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, what):
    path = tmp_path / "keys"
    if what == "no text":
        path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=str(path)):
        AgeKeys.from_files(identities=[path])


def test_no_keys_at_all_or_a_bare_text_are_refused():
    with pytest.raises(ConfigError, match="recipients to write, identities to read"):
        AgeKeys()
    with pytest.raises(ConfigError, match="must be a list"):
        AgeKeys(recipients=ALICE.recipient)


def test_a_bad_recipient_is_named_by_its_place_only(tmp_path):
    recipients = {
        ALICE.recipient[:-1]: "recipient 2 is damaged",
        ALICE.recipient.replace("1", "1Q", 1): "damaged",
        ALICE.identity: "is a secret key: give its public one",
        "age1yubikey1qwerty": "is damaged or no key",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA": "damaged SSH key",
        ssh(tmp_path, "ecdsa").recipient: "age cannot use",
        ssh(tmp_path, "rsa", "-b", "1024").recipient: "2048",
        f"ssh-ed25519 {base64.b64encode(NEUTRAL_POINT).decode()}": "hides nothing",
        # u = 0: every secret that is shared with it is zero
        "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z": "hides nothing",
    }
    for text, message in recipients.items():
        assert message in refusal(parse_recipients, text)


def test_a_bad_identity_is_named_by_its_place_only(tmp_path):
    pem = ssh(tmp_path, "ed25519").identity
    identities = {
        ALICE.identity[:-1]: "identity 2 is damaged",
        ALICE.recipient: "is of another kind",
        pem[: len(pem) // 2]: "damaged SSH key",
        ssh(tmp_path, "ecdsa").identity: "age cannot use",
        ssh(tmp_path, "rsa", "-b", "2048", "-N", "secret").identity: "passphrase",
    }
    for text, message in identities.items():
        assert message in refusal(parse_identities, text)


@given(at=st.integers(0, 61), letter=st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l"))
def test_one_wrong_letter_is_noticed(at, letter):
    text = ALICE.recipient[:at] + letter + ALICE.recipient[at + 1 :]
    if text != ALICE.recipient:
        with pytest.raises(ValueError, match=r"wrong|left over|not Bech32"):
            bech32.decode(text)
