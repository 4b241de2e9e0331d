"""What the Compose runtime makes of a Compose that fails."""

from __future__ import annotations

import pytest
from tests.examples import LAYOUT
from tests.recording import RecordingEngine, RecordingHost

from wharfinger.errors import CommandFailed, NotReady
from wharfinger.hosts import File
from wharfinger.runtimes.compose import ComposeRuntime

FILES = {"data.yaml": File(b"services: {}\n")}


@pytest.mark.parametrize(
    ("networks", "error", "told"),
    [
        ({"bridge"}, NotReady, f"did not make the network {LAYOUT.target.data_network} beside the 1 that there are"),
        ({"bridge", LAYOUT.target.data_network}, CommandFailed, "exited 1"),
    ],
)
def test_a_data_tier_without_a_network_is_told_with_its_mend(
    networks: set[str], error: type[Exception], told: str
) -> None:
    host, engine = RecordingHost(), RecordingEngine()
    engine.named_networks = networks
    host.answer("up", status=1, stderr="all predefined address pools have been fully subscribed")

    with pytest.raises(error, match=told) as raised:
        ComposeRuntime(host, engine, LAYOUT).start_data(FILES, ("postgres",), note=lambda _: None)

    assert "all predefined address pools" in str(raised.value)
