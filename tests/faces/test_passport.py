"""A call's passport: what is in it, that it proves itself, and that no byte of it can be altered unnoticed."""

import io
import json
import random
import subprocess
import sys
import zipfile
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import call_command
from django.urls import reverse

from accounts import positions
from backoffice import passport
from margin import approvals, calls, history_keys, liquidation, sealing, sweep
from margin.models import MarginCall
from margin.workflow import Cause
from notifications import notices
from tests.margin import rows, world
from tests.margin.rows import SWEEPER
from tests.margin.world import MONDAY, minutes, quote
from verifier import passport as form

pytestmark = pytest.mark.django_db
VERIFIER = Path(form.__file__)


@pytest.fixture
def keys(settings, tmp_path):
    settings.HISTORY_KEYS = str(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def call(keys):
    """Called, told of, escalated, a plan of it approved."""
    rows.policy("us_margin", world.securities())
    xyz, dollars = rows.equity("XYZ", max_age_seconds=10**6), rows.cash()
    account = rows.account("A10077")
    account.client.name = "追加 Ōtani & Łódź"
    account.client.save()
    held = [(account.pk, xyz.pk, Decimal(100), Decimal(5000)), (account.pk, dollars.pk, Decimal(-3600), None)]
    positions.write(held, cause="book", reference="test", effective_at=MONDAY)
    quote(xyz, "50", MONDAY)
    sweep.run("securities", at=MONDAY)
    notices.prepare(at=MONDAY)
    call = calls.escalate(MarginCall.objects.get(), cause=Cause.SEVERITY, at=MONDAY + minutes(1), actor=SWEEPER)
    people = {name: rows.staff(name, role) for name, role in (("ops", "Operations"), ("sue", "Supervisor"))}
    plan = liquidation.propose(call, at=MONDAY + minutes(2), actor=people["ops"])
    approvals.approve(plan, at=MONDAY + minutes(2), actor=people["sue"])
    return MarginCall.objects.get()


def made(call):
    return passport.make(call, at=MONDAY + timedelta(days=1), by="auditor")


def read_keys(folder):
    return {file.stem: bytes.fromhex(file.read_text().strip()) for file in folder.glob("k*.key")}


def part(archive, name):
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return json.loads(opened.read(f"{name}.json"))


def test_it_holds_all_that_explains_the_call(call):
    archive = made(call)
    kinds = [json.loads(each["body"])["kind"] for each in part(archive, "history")["events"]]
    assert kinds[:4] == ["call.issued", "call.escalated", "plan.proposed", "plan.approved"]
    (assessment,) = part(archive, "computation")["assessments"]
    (measure,) = assessment["measures"]
    assert (measure["equity"], measure["requirement"]) == ("1400", "1500")
    assert {charge["instrument"] for charge in measure["charges"]} == {"XYZ"}
    assert sum(Decimal(charge["amount"]) for charge in measure["charges"]) == 1500  # 0.30 × 5,000
    (swept,) = part(archive, "prices")["sweeps"]
    assert (swept["prices"]["XYZ"]["mark"], swept["prices"]["XYZ"]["source"]) == ("50", "test")
    (version,) = part(archive, "policies")["versions"]
    assert version["terms"]["regimes"][0]["terms"]["house"]["basic"]["long"] == "0.30"
    (letter,) = part(archive, "notices")
    assert letter["template_version"].startswith("call.issued-")
    (plan,) = part(archive, "plans")
    assert [approval["content_hash"] for approval in plan["approvals"]] == [plan["content_hash"]]


def test_it_proves_itself_to_a_program_that_knows_nothing_of_ours(call, keys, tmp_path):
    file = tmp_path / "passport.zip"
    call_command("passport", call.number, out=file)
    run = [sys.executable, "-I", "-S", str(VERIFIER), str(file)]
    proven = subprocess.run([*run, "--keys", str(keys)], capture_output=True, text=True, check=False)
    assert (proven.returncode, proven.stdout) == (0, "intact\n")
    alone = subprocess.run(run, capture_output=True, text=True, check=False)
    assert (alone.returncode, alone.stdout) == (0, "intact in itself; give --keys to prove who made it\n")
    file.write_bytes(b"PK nonsense")
    assert subprocess.run(run, capture_output=True, text=True, check=False).returncode == 2


def test_its_pages_say_it_in_the_clients_script(call):
    pypdf = pytest.importorskip("pypdf")
    with zipfile.ZipFile(io.BytesIO(made(call))) as opened:
        pages = pypdf.PdfReader(io.BytesIO(opened.read("passport.pdf"))).pages
    said = "".join(page.extract_text() for page in pages).replace(" ", "").replace("\n", "")
    for word in ("PassportofmargincallMC-", "追加Ōtani&Łódź", "callescalated", "sue", "XYZ"):
        assert word in said


def test_every_altered_byte_is_named(call, keys):
    archive, given = made(call), read_keys(keys)
    assert list(form.faults(archive, given)) == []
    chance = random.Random(7)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        edges = [member.header_offset + step for member in opened.infolist() for step in range(0, 60, 3)]
    places = [*edges, *chance.sample(range(len(archive)), 400), *range(len(archive) - 22, len(archive))]
    for place in places:
        altered = bytearray(archive)
        altered[place] ^= 1 << chance.randrange(8)
        try:
            found = list(form.faults(bytes(altered), given))
        except ValueError:  # it is no archive any more
            continue
        assert found, place


def test_an_altered_file_is_named_with_the_place(call, keys):
    archive = made(call)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    place = files["prices.json"].index(b'"50"')
    files["prices.json"] = files["prices.json"].replace(b'"50"', b'"60"', 1)
    assert list(form.faults(form.pack(files), read_keys(keys))) == [
        f"prices.json is altered within bytes {place // 256 * 256} to"
        f" {min((place // 256 + 1) * 256, len(files['prices.json'])) - 1}"
    ]


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("prices.json", None, "prices.json is missing"),
        ("more.json", b"{}", "more.json was inserted"),
        ("manifest.mac", None, "manifest.mac is missing"),
        ("manifest.mac", b"nonsense", "manifest.mac is altered"),
        ("passport.pdf", b"%PDF", "passport.pdf is altered"),
        ("history.json", b"{}", "history.json"),
    ],
)
def test_files_taken_out_put_in_or_exchanged_are_named(call, keys, name, content, named):
    with zipfile.ZipFile(io.BytesIO(made(call))) as opened:
        files = {each: opened.read(each) for each in opened.namelist()}
    files.pop(name, None)
    if content is not None:
        files[name] = content
    assert any(fault.startswith(named) for fault in form.faults(form.pack(files), read_keys(keys)))


def test_a_forged_passport_is_named_even_if_every_hash_in_it_is_right(call, keys, tmp_path):
    with zipfile.ZipFile(io.BytesIO(made(call))) as opened:
        files = {each: opened.read(each) for each in opened.namelist()}
    files["prices.json"] = files["prices.json"].replace(b'"50"', b'"60"', 1)
    manifest = json.loads(files["manifest.json"])
    manifest["files"]["prices.json"] = form.entry(files["prices.json"])
    files["manifest.json"] = form.canonical(manifest)
    given = read_keys(keys)
    assert any("forged" in fault for fault in form.faults(form.pack(files), given))
    own = bytes(32)
    files["manifest.mac"] = f"{form.fingerprint(own)} {form.code(own, files['manifest.json'])}\n".encode()
    assert any("forged: no key" in fault for fault in form.faults(form.pack(files), given))
    (key_id,) = given
    files["manifest.mac"] = f"{key_id} {form.code(own, files['manifest.json'])}\n".encode()
    assert any("is another" in fault for fault in form.faults(form.pack(files), given))


def opened(archive):
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        return {each: read.read(each) for each in read.namelist()}


def test_a_passport_with_the_valid_seal_of_another_call_is_named(call, keys):
    """Two true passports of one house and key; parts of one are put into the other."""
    calls.carry_out([rows.issue(rows.account(), call.policy_version)], at=MONDAY, actor=SWEEPER)
    mine, other = opened(made(call)), opened(made(MarginCall.objects.exclude(pk=call.pk).get()))
    given = read_keys(keys)
    assert list(form.faults(form.pack(other), given)) == []
    code = form.pack({**mine, "manifest.mac": other["manifest.mac"]})
    assert any("altered or forged: the code of key" in fault for fault in form.faults(code, given))
    proofs = {name: other[name] for name in ("manifest.json", "manifest.mac")}
    found = list(form.faults(form.pack({**mine, **proofs}), given))
    assert {fault.split()[0] for fault in found} >= {"call.json", "history.json", "passport.pdf"}
    history = form.pack({**mine, "history.json": other["history.json"]})
    found = list(form.faults(history, given))
    assert any(fault.startswith("history.json is altered") for fault in found)
    assert f"history.json: no event made the call {call.pk}" in found


def test_a_seal_of_the_history_is_no_code_of_a_passport(call, keys):
    """Both are made with the same key; each says what it is of."""
    seal = sealing.seal(at=MONDAY + timedelta(hours=1))
    files = {**opened(made(call)), "manifest.mac": f"{seal.key_id} {seal.mac}\n".encode()}
    assert any(
        "altered or forged: the code of key" in fault for fault in form.faults(form.pack(files), read_keys(keys))
    )


def test_the_history_inside_must_lead_to_the_call_inside(call, keys):
    with zipfile.ZipFile(io.BytesIO(made(call))) as opened:
        files = {each: opened.read(each) for each in opened.namelist()}
    files["call.json"] = files["call.json"].replace(b'"state": "escalated"', b'"state": "met"')
    faults = list(form.faults(form.pack(files), None))
    assert "call.json says met, the history says escalated" in faults


def test_readers_of_the_history_get_it_by_a_button_and_nobody_else(call, sign_in):
    address = reverse("admin:margin_margincall_passport", args=(call.pk,))
    browser = sign_in("Auditor")
    assert (
        f'href="{address}"' in browser.get(reverse("admin:margin_margincall_change", args=(call.pk,))).content.decode()
    )
    answer = browser.get(address)
    assert list(form.faults(answer.content, read_keys(Path(history_keys.folder())))) == []
    assert sign_in("Administrator").get(address).status_code == 403
    assert browser.post(address).status_code == 405


def test_without_keys_none_is_made(call, settings):
    settings.HISTORY_KEYS = ""
    with pytest.raises(history_keys.KeysMissing):
        made(call)
