"""Pictures of the MLflow UI for docs/mlflow.md and docs/first_hour.md, from a headless Chromium.

Command: python docs/mlflow_pictures.py WORK http://127.0.0.1:5000

WORK is the work folder of docs/first_hour.md, and the address that of ``mlflow ui`` on its store.
"""

import json
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
SECONDS = 60
COLUMNS = (
    "params.`network.layers`", "params.`train.learning_rate`", "metrics.`oob/completeness`",
    "metrics.`oob/purity`",
)  # fmt: skip

# The chat, which opens by itself at the first visit.
CLOSE = "document.querySelector('[data-component-id$=\"assistant.chat_panel.close\"]')?.click()"

SHORTEN = """
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (arguments[0] && texts.nextNode())
      texts.currentNode.textContent = texts.currentNode.textContent.replace(arguments[0], '');
"""


class Ui:
    """The MLflow UI in a browser.

    Args:
        driver: Selenium's driver of the browser.
        url: address of the UI.
    """

    def __init__(self, driver: Any, url: str) -> None:
        self.driver, self.url = driver, url
        self.home = ""  # start of paths that pictures leave out
        self.page("/#/experiments", "Model training")
        # Charts and models instead of traces; no chat beside the page.
        self._store("mlflow.assistant.panelOpen_v1", "false")
        self._store("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true")
        self.driver.refresh()
        self.wait("Model training")
        self.click("Model training")

    def text(self) -> str:
        """What is on the page."""
        return str(self.driver.execute_script("return document.body.innerText"))

    def page(self, address: str, *texts: str) -> str:
        """Open a page and wait until the texts are on it; returns what is on it."""
        self._open(address)
        for text in texts:
            self.wait(text)
        return self.text()

    def wait(self, text: str) -> None:
        """Wait for a text."""
        self.wait_for(f"document.body.innerText.includes({json.dumps(text)})")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression in JavaScript is true."""
        end = time.monotonic() + SECONDS
        while not self.driver.execute_script(f"return Boolean({condition})"):
            if time.monotonic() > end:
                raise TimeoutError(f"{condition} is not true on this page:\n{self.text()}")
            time.sleep(0.2)

    def click(self, text: str) -> None:
        """Click the innermost element with this text."""
        script = """
            const all = [...document.querySelectorAll('*')].filter(
              e => e.innerText && e.innerText.trim() === arguments[0]);
            all.at(-1).click();
        """
        self.driver.execute_script(script, text)

    def show(self, experiment: str, expanded: Iterable[str]) -> None:
        """Choose the columns of the list of runs, and the runs whose children it shows."""
        key = f'MLflowLocalStorage-1.1-ExperimentPage-["{experiment}"]-ReactComponentState'
        state = self.driver.execute_script("return localStorage.getItem(arguments[0])", key)
        chosen = {"selectedColumns": list(COLUMNS), "runsExpanded": dict.fromkeys(expanded, True)}
        self._store(key, json.dumps(json.loads(state or "{}") | chosen))

    def picture(self, path: Path, width: int = 1200, height: int = 700) -> None:
        """Save what the window shows once it stands still."""
        self.driver.set_window_size(width, height)
        self.driver.execute_script(CLOSE)
        self.driver.execute_script(SHORTEN, self.home)
        last = b""
        for _ in range(20):
            time.sleep(1)
            now = self.driver.get_screenshot_as_png()
            if now == last:
                break
            last = now
        path.write_bytes(last)

    def _open(self, address: str) -> None:
        self.driver.get("about:blank")  # a change of the fragment alone would not load the page
        self.driver.get(f"{self.url}{address}")

    def _store(self, key: str, value: str) -> None:
        self.driver.execute_script("localStorage.setItem(arguments[0], arguments[1])", key, value)


@contextmanager
def opened(url: str) -> Iterator[Ui]:
    """The UI in a Chromium with a profile of its own.

    Raises:
        FileNotFoundError: Chromium or its driver is not installed.
    """
    from selenium import webdriver

    binary = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    program = shutil.which("chromedriver")
    if not binary or not program:
        raise FileNotFoundError("no Chromium with chromedriver in PATH")
    with TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for option in (*OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        service = webdriver.ChromeService(executable_path=program)
        driver = webdriver.Chrome(options=options, service=service)
        driver.set_window_size(1200, 700)
        try:
            yield Ui(driver, url)
        finally:
            driver.quit()


def runs_of(client: MlflowClient, stage: str) -> list[Run]:
    """The runs of a stage, newest first."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, f"tags.`qnal.stage` = '{stage}'"))


def take(ui: Ui, client: MlflowClient, folder: Path) -> None:
    """Take all pictures: of the oldest training and its first member, and of the sweep's jobs."""
    trained = runs_of(client, "train")
    first, member, sweep = trained[-1], runs_of(client, "member")[-1], runs_of(client, "sweep")[0]
    below = f"/#/experiments/{first.info.experiment_id}/runs"
    ui.page(below, "Run Name")
    parts = [run.info.run_id for run in (sweep, *runs_of(client, "pipeline"))]
    ui.show(first.info.experiment_id, parts)
    ui.page(below, "layers=")
    ui.picture(folder / "mlflow_runs.png", 1300)
    ui.page(f"{below}/{member.info.run_id}/model-metrics", "epoch")
    ui.picture(folder / "mlflow_member.png", 1300, 850)
    for name, run in (("note", first), ("sweep", sweep)):
        ui.page(f"{below}/{run.info.run_id}", "Description")
        ui.click("Show more")
        ui.wait_for("[...document.images].some(i => i.src.includes('note') && i.naturalWidth > 99)")
        ui.picture(folder / f"mlflow_{name}.png", 1300, 950)
    ui.page(f"{below}/{first.info.run_id}/artifacts/figures/confusion.png", "confusion.png")
    ui.picture(folder / "mlflow_figure.png", 1300)
    two = "%22,%22".join(run.info.run_id for run in trained[:2])
    experiments = f"[%22{first.info.experiment_id}%22]"
    ui.page(f"/#/compare-runs?runs=[%22{two}%22]&experiments={experiments}", "Run details")
    ui.picture(folder / "mlflow_compare.png", 1300, 1000)
    ui.page("/#/models/qnal-ensemble", "Version 1", "champion")
    ui.picture(folder / "mlflow_model.png", 1300, 1000)


def main() -> None:
    """Take the pictures of a work folder."""
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    client = MlflowClient(f"sqlite:///{Path(sys.argv[1]).absolute() / 'mlflow.db'}")
    with opened(sys.argv[2]) as ui:
        ui.home = f"{Path(sys.argv[1]).absolute().parent}/"
        take(ui, client, Path(__file__).parent)


if __name__ == "__main__":
    main()
