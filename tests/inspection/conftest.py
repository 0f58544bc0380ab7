"""A small selection with its spectra, pages made of it, and a browser to open them in."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qnal.inspection.inspect_task import InspectOptions, Pages, make_pages
from qnal.inspection.selected import SelectedTargets

FILE = "tiles/coadd-0-1000-exp00110000.fits"
HOSTILE = '<img src=x onerror="window.hacked=1">'


@pytest.fixture
def make_selection(tmp_path: Path, coadd_parts: Callable[..., Any]) -> Callable[..., Path]:
    """Write a coadd and a selection of all of its rows; columns can be added or replaced."""

    def make(rows: int = 12, **columns: Any) -> Path:
        parts = coadd_parts(rows)
        parts.write(tmp_path / "pool" / FILE)
        low = np.linspace(0.9, 0.2, rows)
        table = {
            "TARGETID": parts.hdus["FIBERMAP"]["TARGETID"],
            "FILE": [FILE] * rows,
            "ROW": np.arange(rows, dtype=np.int32),
            "TILEID": np.full(rows, 1000, np.int32),
            "EXPID": np.full(rows, 110000, np.int32),
            "TARGET_RA": np.linspace(150, 151, rows),
            "TARGET_DEC": np.linspace(-2, 2, rows),
            "FLUX_R": np.full(rows, 10.0),
            "C_NOT": 1 - low,
            "C_QSO_LZ": low,
            "C_QSO_HZ": np.zeros(rows),
            "Z": np.linspace(0.5, 2, rows).round(6),
            "BMU": np.arange(rows, dtype=np.int32) // 3,
            "Z_RR": np.linspace(0.4, 1.9, rows),
            "SPECTYPE_RR": ["GALAXY"] * rows,
            "CONTROL": [False] * (rows - 1) + [True],
            "REASON": [HOSTILE] * rows,
        } | columns
        path = tmp_path / "selection.parquet"
        pq.write_table(pa.table(table), path)
        return path

    return make


@pytest.fixture
def make_page(tmp_path: Path) -> Callable[..., Pages]:
    def make(selection: Path, **options: Any) -> Pages:
        settings = InspectOptions(tmp_path / "pool", **options)
        return make_pages(
            SelectedTargets.read(selection), settings, tmp_path / "page", lambda n: None
        )

    return make


OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,720",
)
SECONDS = 30
ENTER = "\ue007"


class Browser:
    """The page as an inspector uses it: keys, and what is on the screen."""

    def __init__(self, driver: Any, downloads: Path) -> None:
        self.driver = driver
        self.downloads = downloads

    def script(self, code: str, *arguments: object) -> Any:
        return self.driver.execute_script(code, *arguments)

    def wait(self, condition: str) -> None:
        """Wait until an expression in JavaScript is true."""
        from selenium.webdriver.support.ui import WebDriverWait

        wait = WebDriverWait(self.driver, SECONDS, poll_frequency=0.05)
        wait.until(lambda driver: driver.execute_script(f"return Boolean({condition})"), condition)

    def open(self, page: Path, inspector: str = "ada") -> None:
        self.driver.get(page.as_uri())
        self.wait("document.documentElement.dataset.ready === 'name'")
        self.script("document.getElementById('name').value = ''")
        self.press(inspector + ENTER)
        self.wait("document.documentElement.dataset.ready === 'labels'")
        self.drawn()

    def drawn(self) -> None:
        """Wait until the spectrum of the target shown is drawn."""
        self.wait("document.documentElement.dataset.drawn === current().id")

    def press(self, keys: str) -> None:
        self.driver.switch_to.active_element.send_keys(keys)

    def text(self, name: str) -> str:
        return self.script("return document.getElementById(arguments[0]).textContent", name)

    def target(self) -> dict[str, Any]:
        return self.script("return current()")

    def label(self) -> dict[str, Any]:
        return self.script("return labels.get(current().id)")

    def errors(self) -> list[str]:
        return [e["message"] for e in self.driver.get_log("browser") if e["level"] == "SEVERE"]

    def saved(self) -> Path:
        """Press d, and wait for the CSV."""
        before = set(self.downloads.glob("*.csv"))
        self.press("d")
        self.wait("document.getElementById('message').textContent.startsWith('Saved')")
        for _ in range(20 * SECONDS):
            if new := set(self.downloads.glob("*.csv")) - before:
                return new.pop()
            self.driver.execute_async_script("setTimeout(arguments[0], 50)")
        raise TimeoutError(f"no CSV in {self.downloads}")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """Start a Chromium with a profile of its own; the test is skipped where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    binary = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no Chromium with chromedriver in PATH (Debian: chromium, chromium-driver)")
    downloads = tmp_path / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for option in (*OPTIONS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(option)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    started = webdriver.Chrome(options=options, service=service)
    try:
        yield Browser(started, downloads)
    finally:
        started.quit()
