"""How fast a report of many rows opens, filters and sorts in headless Chromium.

Run: python benchmarks/report_page.py --rows 100000 --repeat 3 --json FILE
"""

import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import parser, report
from playwright.sync_api import Page, sync_playwright

sys.path.append(str(Path(__file__).parents[1]))

from tests.report.made_page import page

# Until the browser has laid out and painted what the change led to.
_PAINTED = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
_FILTER = f"""async (text) => {{
  const box = document.getElementById("search");
  const started = performance.now();
  box.value = text;
  box.dispatchEvent(new Event("input"));
  await {_PAINTED};
  return performance.now() - started;
}}"""
_SORT = f"""async (key) => {{
  const started = performance.now();
  document.querySelector(`button[data-key=${{key}}]`).click();
  await {_PAINTED};
  return performance.now() - started;
}}"""


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--repeat", type=int, default=3)
    arguments = options.parse_args()
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("no browser: neither chromium nor google-chrome is on the path")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "report.html"
        file.write_text(page(arguments.rows), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        runs = [measure(browser.new_page(), file) for _ in range(arguments.repeat)]
        browser.close()
        found: dict[str, Any] = {"rows": arguments.rows, "mib": file.stat().st_size / 2**20}
    found |= {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    report({name: round(value, 1) for name, value in found.items()}, arguments.json)


def measure(view: Page, file: Path) -> dict[str, float]:
    """Gives milliseconds of each step, the median of several filters and sorts."""
    view.goto(file.as_uri())
    view.evaluate(_PAINTED)
    opened = view.evaluate("performance.now()")
    filters = [view.evaluate(_FILTER, text) for text in ("c", "clip_1", "clip_12", "none", "")]
    sorts = {key: view.evaluate(_SORT, key) for key in ("name", "duration_s", "score")}
    view.close()
    return {
        "open_ms": opened,
        "filter_ms": statistics.median(filters),
        "slowest_filter_ms": max(filters),
        **{f"sort_{key}_ms": spent for key, spent in sorts.items()},
    }


if __name__ == "__main__":
    main()
