"""What the edge is told of a maintenance can be read back, and the token is shown to nobody."""

from __future__ import annotations

import pytest

from wharfinger.model.maintenance import Maintenance, network

TOKEN = "0123456789abcdef" * 2


def test_what_an_edge_reads_says_who_passes() -> None:
    found = Maintenance(TOKEN, ("192.0.2.7/32", "10.0.0.0/8", "2001:db8::/32"))

    assert found.value == f"on {TOKEN} c0000207/32 0a000000/8 20010db8000000000000000000000000/32"
    assert Maintenance.parse(found.default) == found
    assert TOKEN not in repr(found)


@pytest.mark.parametrize("text", ["", "nonsense", 'set $x "off";', 'set $x "on";', 'set $x "on abc zz/8";'])
def test_anything_else_is_no_maintenance(text: str) -> None:
    assert Maintenance.parse(text) is None


@pytest.mark.parametrize(
    ("text", "form"), [("192.0.2.7", "192.0.2.7/32"), ("10.1.2.3/8", "10.0.0.0/8"), ("2001:DB8::1/32", "2001:db8::/32")]
)
def test_networks_have_one_form(text: str, form: str) -> None:
    assert network(text) == form


@pytest.mark.parametrize("text", ["", "example.com", "192.0.2.7/33", "192.0.2"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        network(text)
