"""The page without Airflow, and a browser beside it, for the tests that need no more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.dags.airflow_home import isolate
from tests.e2e.browser_stack import chromium
from tests.e2e.page_alone import served
from tests.e2e.test_loop import free_ports


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the page of ten made-up models, and give its address."""
    if chromium() is None:
        pytest.skip("no Chromium here: install the Debian package chromium")
    isolate()
    with served(tmp_path_factory.mktemp("page"), free_ports(1)[0]) as address:
        yield address


@pytest.fixture(scope="module")
def browser(url: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield opened
        opened.close()
