"""The documentation agrees with the code: pictures, links, configuration keys and choices."""

import json
import re
import runpy
import shlex
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir

from qnal.composition import as_text

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING")),
    *sorted((ROOT / "docs").glob("*.md")),
]
GROUPS = sorted(path.name for path in (ROOT / "conf").iterdir() if path.is_dir())
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()

pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
# The changelog names former keys as well.
current_pages = pytest.mark.parametrize(
    "page", [p for p in PAGES if p.stem != "CHANGELOG"], ids=lambda path: path.stem
)


@pytest.fixture(scope="module")
def drawn():
    """What docs/architecture.py reads from the code."""
    return runpy.run_path(str(ROOT / "docs" / "architecture.py"))


def test_architecture_is_drawn_from_the_code_of_today(drawn):
    stored = json.loads((ROOT / "docs" / "architecture.json").read_text())
    assert drawn["architecture"]() == stored, "run python docs/architecture.py"


def test_packages_import_only_from_lower_layers(drawn):
    level = {name: k for k, layer in enumerate(drawn["layers"]()) for name in layer}
    imports = drawn["imports"]()
    assert imports.keys() == level.keys()
    upward = [(a, b) for a in imports for b in imports[a] if level[b] < level[a]]
    assert not upward


def test_each_package_has_a_sentence(drawn):
    rows = [line for line in ARCHITECTURE.splitlines() if line.startswith("| `")]
    named = re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in rows))
    assert {name for layer in drawn["layers"]()[:-1] for name in layer} <= set(named)


def test_data_flow_names_stages_and_modules_that_exist(drawn):
    for _, stage, module, _ in drawn["FLOW"]:
        assert (ROOT / "qnal" / "stages" / f"{stage}.py").is_file()
        assert (ROOT / "qnal" / module).is_file()


@pytest.mark.parametrize("path", re.findall(r"`((?:qnal|conf|docs)/[^` ]+)`", ARCHITECTURE))
def test_files_named_in_the_architecture_exist(path):
    path = path.rpartition("/")[0] if "NAME" in path else path
    assert (ROOT / path).exists()


@pages
def test_links(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.is_file(), target
        if anchor:
            assert anchor in {anchor_of(title) for title in titles(file)}, target


def test_names_on_the_quasarnp_page_are_in_their_modules():
    page = (ROOT / "docs" / "quasarnp.md").read_text()
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| `(qnal\.[\w.]+)` \|$", page, re.MULTILINE)
    assert len(rows) == 7
    for names, module in rows:
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
        for name in re.findall(r"\w+", names):
            assert re.search(rf"^(def|class) {name}\b|^{name}\b.* = ", source, re.MULTILINE), name


def titles(page):
    return [line.lstrip("# ") for line in page.read_text().splitlines() if line.startswith("#")]


def anchor_of(title):
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def known_keys():
    """Dotted keys of conf/, over all choices of each group."""
    keys = set()

    def visit(prefix, value):
        keys.add(prefix)
        if isinstance(value, dict):
            for name, below in value.items():
                visit(f"{prefix}.{name}", below)

    for file in (ROOT / "conf").glob("*/*.yaml"):
        visit(file.parent.name, yaml.safe_load(file.read_text()) or {})
    return keys


@current_pages
def test_configuration_keys_exist(page):
    known = known_keys()
    code = " ".join(re.findall(r"```.*?```|`[^`]+`", page.read_text(), re.DOTALL))
    named = re.findall(
        rf"(?<![\w./+-])(?:{'|'.join(GROUPS)})\.[a-z_]+(?:\.[a-z_]+)*(?=[=`\s,])", code
    )
    files = (".py", ".json", ".md", ".png", ".csv", ".parquet", ".npz")
    mistakes = {"executor.max_worker"}  # shown together with the error message
    mistakes |= {"reader.scale"}  # of the example of a reader's own
    assert {key for key in named if not key.endswith(files)} <= known | mistakes


@current_pages
def test_choices_exist(page):
    code = " ".join(re.findall(r"```.*?```|`[^`]+`", page.read_text(), re.DOTALL))
    for group, choice in re.findall(
        rf"(?<![\w.])({'|'.join(GROUPS)})=([a-z_]+(?:-[a-z0-9_]+)*)(?![\w.(])", code
    ):
        if (group, choice) not in (("experiment", "cmx"), ("reader", "text")):  # examples of own
            assert (ROOT / "conf" / group / f"{choice}.yaml").is_file(), f"{group}={choice}"


def commands():
    """Overrides of each ``qnal`` command in the pages; "…" stands for further ones."""
    found = []
    for page in PAGES:
        for block in page.read_text().split("```")[1::2]:
            for line in block.replace("\\\n", " ").splitlines():
                if re.match(r"(mpiexec .* -m )?qnal ", line):
                    words = [word for word in shlex.split(line, comments=True) if word != "…"]
                    overrides = words[words.index("qnal") + 1 :]
                    name = f"{page.stem}: {' '.join(overrides)[:40]}"
                    found.append(pytest.param(overrides, id=name))
    return found


@pytest.mark.parametrize("overrides", commands())
def test_commands_compose(overrides):
    if "hydra/launcher=joblib" in overrides:
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    # Of a sweep, the first value of each key.
    sweep = "-m" in overrides
    chosen = [re.sub(r",.*", "", word) if sweep else word for word in overrides if "=" in word]
    if chosen:
        with initialize_config_dir(str((ROOT / "conf").resolve()), version_base="1.3"):
            assert compose(
                "config", list(map(as_text, chosen))
            ).stage  # an unknown key or choice is refused
