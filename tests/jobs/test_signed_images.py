"""An image that is signed (C2PA) stays valid: it is kept byte for byte, and its metadata is beside it."""

from __future__ import annotations

import datetime
import io
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import c2pa
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from PIL import Image

from kling_notebook.image_files import metadata
from kling_notebook.sandbox import Fault

Make = Callable[..., Any]

ASSERTION = {"label": "c2pa.actions", "data": {"actions": [{
    "action": "c2pa.created",
    "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
}]}}  # fmt: skip
_USES = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign")


def certificate(name: str, key: Any, issuer: str, issuer_key: Any) -> bytes:
    begin = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, issuer)]
    top = name == issuer
    uses = dict.fromkeys((*_USES, "encipher_only", "decipher_only"), False)
    extensions = [
        (x509.BasicConstraints(top, None), True),
        (x509.KeyUsage(digital_signature=not top, key_cert_sign=top, **uses), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False),
    ]
    if not top:
        extensions.append((x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), True))
    builder = x509.CertificateBuilder(names[1], names[0], key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(begin).not_valid_after(begin + datetime.timedelta(days=36500))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@cache
def signed(kind: str) -> bytes:
    """An image with a manifest, as a service would sign it."""
    top, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    chain = certificate("signer", key, "authority", top) + certificate("authority", top, "authority", top)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(alg=b"es256", sign_cert=chain, private_key=pem, ta_url=None))
    image, out = io.BytesIO(), io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(image, kind)
    about = {"claim_generator_info": [{"name": "tests", "version": "1"}], "title": "fox", "assertions": [ASSERTION]}
    c2pa.Builder(json.dumps(about)).sign(signer, f"image/{kind.lower()}", io.BytesIO(image.getvalue()), out)
    return out.getvalue()


def state(kind: str, data: bytes) -> str:
    with c2pa.Reader(f"image/{kind.lower()}", io.BytesIO(data)) as reader:
        found: str = json.loads(reader.json())["validation_state"]
        return found


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_signed_image_stays_valid_and_its_recipe_can_be_read(
    kind: str, make_sandbox: Make, make_session: Make, tmp_path: Path
) -> None:
    data = signed(kind)
    assert state(kind, data) == "Valid"
    session = make_session(make_sandbox(faults=[Fault("download", "wrong_content", raw=data)]))
    image = session.start([session.request("a red fox")], source="python").handles[0].result(timeout=60)[0]
    assert image.path.read_bytes() == data
    assert state(kind, image.path.read_bytes()) == "Valid"
    recipe = metadata.read(image.path)
    assert (recipe["prompt"], recipe["number"]) == ("a red fox", 1)
    assert json.loads(image.path.with_suffix(".json").read_text()) == recipe
    assert metadata.read(image.path.with_suffix(".json")) == recipe
    link = tmp_path / "linked"
    link.symlink_to(image.path)
    assert metadata.read(link) == recipe, "of a link beside the file that it leads to"
    assert image.tile().state == "image"
    assert session.pop_notices() == []


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_metadata_inside_would_make_the_signature_invalid(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the test above would notice."""
    monkeypatch.setattr(metadata.containers, "may_be_edited", lambda data: True)  # noqa: ARG005
    assert state(kind, metadata.splice(signed(kind), {"format": metadata.FORMAT})) == "Invalid"
