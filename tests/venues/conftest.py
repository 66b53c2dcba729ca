"""A folder in memory, a venue on loopback with a line to it, and a certificate that is nobody's but the tests'."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from margin.venues.fix.venue import FixVenue
from tests.conftest import temporary_folder
from tests.venues.acceptor import Acceptor
from tests.venues.desk import open_venue


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: journals sync at every commit, and a disk that others use makes that slow."""
    folder = temporary_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the key and the self-signed certificate of venue.example."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "venue.example")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("venue.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "venue.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def acceptor() -> Iterator[Acceptor]:
    with Acceptor() as opened:
        yield opened


@pytest.fixture
def venue(tmp_path: Path, acceptor: Acceptor) -> Iterator[FixVenue]:
    opened = open_venue(tmp_path, acceptor)
    yield opened
    opened.close()
