"""The Debian mirror is found in either form of apt's source lists, and no third party's archive is taken for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wharfinger.apt_sources import Source, debian_mirror, read_deb822, read_one_line, security_mirror

MIRROR = "http://mirror.example.com/debian"
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"

DEB822 = f"""\
# The image's own comment
Types: deb deb-src
URIs: {MIRROR}
Suites: bookworm bookworm-updates
# a comment inside a stanza
Components: main contrib
Signed-By: {KEYS}

Types: deb
URIs: http://security.example.com/debian-security
Suites: bookworm-security
Components: main
Signed-By: {KEYS}

Enabled: no
Types: deb
URIs: http://off.example.com/debian
Suites: bookworm
Components: main
"""

ONE_LINE = f"""\
# deb http://off.example.com/debian trixie main
deb [arch=amd64 signed-by=/etc/apt/keyrings/shop.gpg] https://shop.example.com/debian trixie main
deb-src {MIRROR} trixie main
deb {MIRROR} trixie main contrib # the usual
deb http://security.example.com/debian-security trixie-security main
"""


def test_deb822_stanzas() -> None:
    assert read_deb822(DEB822)[:2] == (
        Source(MIRROR, "bookworm", ("main", "contrib"), KEYS),
        Source(MIRROR, "bookworm-updates", ("main", "contrib"), KEYS),
    )


def test_a_disabled_stanza_does_not_count() -> None:
    assert not [source for source in read_deb822(DEB822) if "off.example.com" in source.uri]


def test_one_line_sources() -> None:
    sources = read_one_line(ONE_LINE)
    assert [source.suite for source in sources] == ["trixie", "trixie", "trixie-security"]
    assert sources[0].signed_by == "/etc/apt/keyrings/shop.gpg"
    assert sources[1] == Source(MIRROR, "trixie", ("main", "contrib"))


def test_the_mirror_of_either_form() -> None:
    assert debian_mirror(read_deb822(DEB822)) == MIRROR
    assert debian_mirror(read_one_line(ONE_LINE)) == MIRROR


def test_the_security_mirror_of_either_form() -> None:
    assert security_mirror(read_deb822(DEB822)) == "http://security.example.com/debian-security"
    assert security_mirror(read_one_line(ONE_LINE)) == "http://security.example.com/debian-security"


def test_an_inline_key_is_somebody_elses() -> None:
    text = """\
Types: deb
URIs: https://shop.example.com/debian
Suites: trixie
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 debian-ish
 -----END PGP PUBLIC KEY BLOCK-----
"""
    (source,) = read_deb822(text)
    assert source.signed_by.startswith("\n-----BEGIN")
    assert debian_mirror([source]) is None


def test_debians_own_keys_come_before_a_source_that_names_none() -> None:
    nameless = Source("http://other.example.com/debian", "trixie", ("main",))
    own = Source(MIRROR, "trixie", ("main",), KEYS)
    assert debian_mirror([nameless, own]) == MIRROR


def test_ubuntu_has_no_debian_mirror() -> None:
    text = "deb http://archive.example.com/ubuntu noble main universe\n"
    assert debian_mirror(read_one_line(text)) is None


def test_a_disc_is_no_mirror() -> None:
    assert debian_mirror(read_one_line("deb cdrom:[Debian-13]/debian trixie main\n")) is None


words = st.text(alphabet=st.characters(categories=["Ll", "Nd"]), min_size=1, max_size=8)
uris = words.map(lambda word: f"http://{word}.example.com/debian")
components = st.lists(words, min_size=1, max_size=3).map(tuple)


@given(st.lists(st.builds(Source, uris, words, components, st.sampled_from(["", KEYS])), max_size=5))
def test_both_forms_say_the_same(sources: list[Source]) -> None:
    one_line = "".join(
        f"deb {f'[signed-by={source.signed_by}] ' if source.signed_by else ''}"
        f"{source.uri} {source.suite} {' '.join(source.components)}\n"
        for source in sources
    )
    deb822 = "\n".join(
        f"Types: deb\nURIs: {source.uri}\nSuites: {source.suite}\nComponents: {' '.join(source.components)}\n"
        + (f"Signed-By: {source.signed_by}\n" if source.signed_by else "")
        for source in sources
    )
    assert read_one_line(one_line) == tuple(sources) == read_deb822(deb822)


@given(st.text())
def test_whatever_a_file_holds_is_read_without_an_error(text: str) -> None:
    read_one_line(text)
    read_deb822(text)
