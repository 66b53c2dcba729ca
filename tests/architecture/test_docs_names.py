"""What the pages name exists: functions, models, files, commands with their options, addresses, settings, words.

A name is what stands between backticks, or on a command line in a code block. Each is looked up by the strictest
reading its form allows; a plain word must at least be a word of the product's own code.
"""

import ast
import importlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.urls import Resolver404, resolve

from backoffice import invariants
from margin import workflow
from margin.engine.columns import Status

ROOT = Path(__file__).parents[2]
ROOMS = ("market", "accounts", "margin", "notifications", "backoffice")
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "docs/life_of_a_margin_call.md",
    "docs/glossary.md",
    "docs/operations.md",
    "docs/due_dates.md",
    "docs/decisions.md",
)
MADE_AT_RUN_TIME = (".local", ".venv", ".env", "staticfiles")
BLOCK = re.compile(r"^ *```.*?^ *```", re.M | re.S)
NAME = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def names_on(text: str) -> list[str]:
    """Every name on a page, in order, each once."""
    inline = NAME.findall(BLOCK.sub("", text))
    lines = (line.strip() for block in BLOCK.findall(text) for line in block.splitlines())
    commands = [line.split("  #")[0].strip() for line in lines if line.startswith(("bin/", "manage.py ", ".venv/"))]
    return list(dict.fromkeys([*inline, *commands]))


# --- looking up ---------------------------------------------------------------------------------------------


def fault(name: str) -> str:
    """Why the name means nothing; "" if it exists."""
    bare = name.removesuffix("…").strip()
    bare = bare.removeprefix(".venv/bin/python ")
    if bare.startswith("manage.py "):
        return command_fault(bare)
    if bare.startswith("python -m "):
        module = ROOT / bare.split()[2].replace(".", "/")
        return "" if module.with_suffix(".py").exists() or (module / "__main__.py").exists() else "no such module"
    if re.match(r"(bin/|\.ci/)\w", bare):
        return script_fault(bare)
    if bare.startswith("/"):
        return address_fault(bare)
    if is_path(bare):
        return "" if path_exists(bare) else "no such file"
    if re.fullmatch(r"[A-Z][A-Z0-9]*_[A-Z0-9_]+(=.*)?", bare):
        return "" if is_setting(bare.split("=")[0]) or has_word(bare) else "no such setting or constant"
    dotted = re.sub(r"\(.*\)$", "", bare)
    if re.fullmatch(r"\w+(\.\w+)+", dotted):
        return "" if dotted_exists(dotted) else "no such module, function, model or event"
    if re.fullmatch(r"[A-Z]\w*[a-z]\w*", dotted):
        return "" if dotted in classes() else "no such model or class"
    missing = [word for word in re.findall(r"[A-Za-z_]\w*", bare) if not has_word(word)]
    return f"no such word in the code: {', '.join(missing)}" if missing else ""


def is_path(name: str) -> bool:
    return bool(
        re.fullmatch(r"[\w.*/-]+/[\w.*/-]*|[\w*-]+\.(py|md|json|csv|toml|txt|in|css|html)|\.\w[\w.]*|Procfile", name)
    )


def path_exists(name: str) -> bool:
    if name.split("/", maxsplit=1)[0] in MADE_AT_RUN_TIME:
        return True
    return any(ROOT.glob(name.rstrip("/"))) or ("/" not in name and any(name in path for path in tracked()))


@lru_cache
def tracked() -> tuple[str, ...]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return tuple(listed.splitlines()) or tuple(
        path.relative_to(ROOT).as_posix() for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()
    )


def command_fault(line: str) -> str:
    _, command, *rest = shlex.split(line)
    application = get_commands().get(command)
    if application is None:
        return f"no command {command}"
    known = options_of(load_command_class(application, command).create_parser("manage.py", command))
    return next((f"{command} has no option {word}" for word in options_in(rest) if word not in known), "")


def options_in(words: list[str]) -> list[str]:
    return [word.split("=")[0] for word in words if word.startswith("--")]


def options_of(parser: Any) -> set[str]:
    """A parser's options, and those of its subcommands."""
    found = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action.choices, dict):
            found |= {option for below in action.choices.values() for option in options_of(below)}
    return found


def script_fault(line: str) -> str:
    script, *rest = shlex.split(line)
    if not (ROOT / script).is_file():
        return "no such script"
    stated = (ROOT / script).read_text() + page("backoffice/start.py") + page("tests/conftest.py")
    return next((f"{script} has no option {word}" for word in options_in(rest) if word not in stated), "")


def address_fault(name: str) -> str:
    if name.startswith("/var/"):
        return ""
    try:
        found = resolve(name)
    except Resolver404:
        return "no such address"
    catches_all = found.url_name == "not-found" or found._func_path.endswith("catch_all_view")
    return "no such address" if catches_all else ""


def is_setting(name: str) -> bool:
    return re.search(rf"^#?{name}=", page(".env.example"), re.M) is not None or hasattr(settings, name)


def dotted_exists(name: str) -> bool:
    """A module with what is in it, a short form such as `calls.meet`, `Model.field`, or a string the code states."""
    first = name.split(".", maxsplit=1)[0]
    if first in ROOMS and reached(first, name.split(".")[1:]):
        return True
    if any(reached(module, name.split(".")[1:]) for module in modules().get(first, ())):
        return True
    if first in classes():
        return any(has_part(owner, name.split(".")[1:]) for owner in classes()[first])
    return name in strings()


def reached(module: str, rest: list[str]) -> bool:
    """Whether `rest` leads somewhere from the module: through submodules, then through what they hold."""
    try:
        found = importlib.import_module(module)
    except ImportError:
        return False
    if rest and not hasattr(found, rest[0]):
        return reached(f"{module}.{rest[0]}", rest[1:])
    return has_part(found, rest)


def has_part(owner: Any, rest: list[str]) -> bool:
    for step in rest:
        fields = getattr(owner, "__dataclass_fields__", {})
        if step in fields and not hasattr(owner, step):
            return len(rest) == 1
        if not hasattr(owner, step):
            return False
        owner = getattr(owner, step)
    return True


# --- what there is ------------------------------------------------------------------------------------------


def product_files() -> Iterator[Path]:
    for room in ROOMS:
        yield from sorted((ROOT / room).rglob("*.py"))


@lru_cache
def modules() -> dict[str, list[str]]:
    """Last word of a module's name → the modules."""
    found: dict[str, list[str]] = {}
    for path in product_files():
        parts = path.relative_to(ROOT).with_suffix("").parts
        if "migrations" not in parts and "management" not in parts and parts[-1] != "__init__":
            found.setdefault(parts[-1], []).append(".".join(parts))
        elif parts[-1] == "__init__" and "migrations" not in parts:
            found.setdefault(parts[-2], []).append(".".join(parts[:-1]))
    return found


@lru_cache
def classes() -> dict[str, list[Any]]:
    """Name of a class → the classes of that name in the rooms, models first."""
    found: dict[str, list[Any]] = {}
    for model in apps.get_models():
        found.setdefault(model.__name__, []).append(model)
    for path in product_files():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and "migrations" not in path.parts and "management" not in path.parts:
                module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
                found.setdefault(node.name, []).append(getattr(module, node.name))
    return found


@lru_cache
def strings() -> frozenset[str]:
    """Every string that the code states, such as the kind of an event or the name of a task."""
    trees = (ast.parse(path.read_text()) for path in product_files())
    return frozenset(
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ) | {f"margin.{word}" for word in re.findall(r"\b[EW]\d{3}\b", page("backoffice/checks.py"))}


@lru_cache
def words() -> frozenset[str]:
    """Every word of the product's code, settings, templates and scripts."""
    files = [*product_files(), *(ROOT / "templates").rglob("*.*"), *(ROOT / "bin").iterdir(), ROOT / ".ci" / "run"]
    files += [ROOT / name for name in ("pyproject.toml", ".env.example", "requirements.in", "Procfile", "manage.py")]
    files += [ROOT / "tests" / "conftest.py", ROOT / "requirements-dev.in"]
    return frozenset(word for path in files for word in re.findall(r"[A-Za-z_]\w*", path.read_text(errors="replace")))


def has_word(word: str) -> bool:
    """A word of ours; `_on` stands for every word that ends so."""
    return any(each.endswith(word) for each in words()) if word.startswith("_") else word in words()


# --- the tests ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_everything_a_page_names_exists(name):
    faults = {each: why for each in names_on(page(name)) if (why := fault(each))}
    assert faults == {}


@pytest.mark.parametrize("name", ["docs/life_of_a_margin_call.md", "docs/operations.md", "README.md"])
def test_the_pages_name_a_good_deal(name):
    assert len(names_on(page(name))) > 60


MADE_UP = (
    "calls.reopen",
    "margin.calls.reopen",
    "margin.reopening",
    "MarginCall.reopened_at",
    "call.reopened",
    "ReopenedCall",
    "Verb.REOPEN",
    "margin/reopening.py",
    "reopening.py",
    "manage.py reopen",
    "manage.py sweep --reopen",
    "manage.py feed playback --reopen",
    "bin/reopen",
    "bin/start --reopen",
    "/admin/reopen-calls/",
    "/api/v1/reopenings/",
    "REOPEN_CALLS=true",
    "reopened_at",
    "margin.E999",
)
REAL = (
    "calls.meet",
    "margin.calls",
    "MarginCall.due_at",
    "Figures.reasons",
    "call.met",
    "StaleCall",
    "Verb.MEET",
    "margin/calls.py",
    "manage.py sweep --at",
    "manage.py feed playback --live FILE",
    "bin/start --smoke",
    "/admin/audit/",
    "/api/v1/calls/",
    "SECRET_KEY",
    "due_at",
    "margin.E005",
    "margin.attention",
)


@pytest.mark.parametrize("name", MADE_UP)
def test_what_does_not_exist_is_found_out(name):
    assert fault(name)


@pytest.mark.parametrize("name", REAL)
def test_what_exists_is_found(name):
    assert fault(name) == ""


def documents() -> list[str]:
    return [*PAGES, *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", dict.fromkeys(documents()))
def test_every_link_of_a_page_leads_to_a_file(name):
    targets = [target for target in LINK.findall(BLOCK.sub("", page(name))) if "://" not in target]
    assert [target for target in targets if not ((ROOT / name).parent / target).exists()] == []


def test_the_life_of_a_call_tells_every_state_and_every_event():
    told = set(names_on(page("docs/life_of_a_margin_call.md")))
    assert {verb.value for verb in workflow.Verb} - told == set()
    assert {state.value for state in workflow.State} - told == {"met"} - told


def test_the_glossary_tells_every_role_status_cause_and_resolution():
    text = page("docs/glossary.md")
    wanted = [*workflow.Cause, *workflow.Resolution, *(status.name for status in Status)]
    assert [word for word in wanted if f"`{word}`" not in text] == []


def test_operations_lists_the_invariants_by_their_names():
    listed = re.findall(r"^\* (.+)$", page("docs/operations.md").split("check_invariants` prints:")[1], re.M)
    assert set(invariants.QUERIES) - set(listed) == set()
    assert set(listed) - set(invariants.QUERIES) == {invariants.NUMBERS}


def test_operations_lists_the_schedule_as_it_is_seeded():
    text = page("docs/operations.md")
    seeded = importlib.import_module("backoffice.migrations.0003_schedule")
    rows = {name: each[0] for name, each in {**seeded.EVERY, **seeded.AT}.items()}
    assert [name for name, task in rows.items() if f"| {name} | `{task}` |" not in text] == []


def test_operations_lists_every_alarm():
    raised = re.findall(r'raise_alarm\(\s*"(\w+)"', "".join(path.read_text() for path in product_files()))
    kept = re.search(r"kinds=\(([^)]+)\)", page("margin/watch.py"))
    assert kept
    text = page("docs/operations.md")
    assert [kind for kind in {*raised, *re.findall(r"\w+", kept[1])} if f"| `{kind}` |" not in text] == []


def test_operations_lists_every_check():
    text = page("docs/operations.md")
    ids = sorted(set(re.findall(r'"([EW]\d{3})"|margin\.(W\d{3})', page("backoffice/checks.py"))))
    stated = {first or second for first, second in ids}
    assert stated
    assert [number for number in stated if f"`margin.{number}`" not in text] == []
