"""Which certificates an environment still needs, and how it gets them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from wharfinger import certificates
from wharfinger.facts import Observed
from wharfinger.model.release import Layout
from wharfinger.model.tls import Wish
from wharfinger.planning.wanted import Certificates
from wharfinger.rendering.renewal import order_of
from wharfinger.steps import Step
from wharfinger.steps.certificates import IssueCertificate, ObtainCertificate, PutTrust, StartRenewal


def certificate_reasons(wanted: Certificates, observed: Observed, layout: Layout) -> tuple[str, ...]:
    """Return which certificates are needed, and why; nothing where all of them serve on."""
    found = [f"{', '.join(wish.domains)}: {why}" for wish, why in _needed(wanted, observed, layout)]
    if wanted.renewal_files and not (observed.renewal and all(one.is_ready for one in observed.renewal)):
        found.append("the renewal of certificates does not run")
    elif _differs(wanted, observed, layout):
        found.append("the renewal of certificates changed")
    if wanted.trust != observed.trust:
        found.append("the CA of the site's certificate changed")
    return tuple(found)


def certificate_steps(wanted: Certificates, observed: Observed, layout: Layout) -> Iterator[Step]:
    """Yield the steps that bring the certificates which are needed; they come before anything that serves changes."""
    running = bool(observed.renewal) and all(one.is_ready for one in observed.renewal)
    if wanted.renewal_files and (not running or _differs(wanted, observed, layout)):
        yield StartRenewal(wanted.renewal_files)
    for wish, _ in _needed(wanted, observed, layout):
        if wish.tls.acme is not None:
            authorities = wanted.authorities.get(wish.name)
            yield ObtainCertificate(wish.name, wish.domains, wish.tls.acme.directory, wish, order_of(wish), authorities)
        else:
            yield IssueCertificate(wish.name, wish.domains, wanted.local_ca)
    if wanted.trust != observed.trust:
        yield PutTrust(wanted.trust, observed.trust)


def _needed(wanted: Certificates, observed: Observed, layout: Layout) -> Iterator[tuple[Wish, str]]:
    for wish in wanted.wishes:
        if wish.tls.source != "own":
            authority = wanted.authorities.get(wish.name, b"") if wish.tls.local else None
            why = _lack(observed.files.get(layout.chain(wish.name)), wish, authority, observed.clock)
            if why is not None:
                yield wish, why


def _lack(chain: bytes | None, wish: Wish, authority: bytes | None, clock: datetime) -> str | None:
    """Return why what is there will not do; `authority` is the local CA, whose certificates nobody else renews."""
    held = certificates.read(chain)
    if held is None or chain is None:
        return "there is no certificate yet"
    if not all(held.covers(domain) for domain in wish.domains):
        return "the certificate is for other names"
    if not held.is_valid(clock):
        return f"the certificate ended on {held.ends:%Y-%m-%d}"
    if authority is None:
        return None
    if not certificates.is_signed_by(chain, authority):
        return "the certificate is not the local CA's"
    return "the certificate ends soon" if held.ends_soon(clock) else None


def _differs(wanted: Certificates, observed: Observed, layout: Layout) -> bool:
    return any(observed.files.get(layout.renewal / name) != content for name, content in wanted.renewal_files.items())
