"""Swagger UI in a real browser: what its user sees, and what it asks of the network."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service as Driver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import element_to_be_clickable
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.nginx import under_prefix
from tests.service import GROUP_ADMIN, TENANT_ADMIN, Service, codes_path, running
from tests.tools import needs

pytestmark = pytest.mark.long

OTHER_HOST = "barring.test"
"""A name for this machine that is not a loopback one."""

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--window-size=1280,900",
    f"--host-resolver-rules=MAP {OTHER_HOST} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


class Page:
    """Swagger UI, read and worked as a person does it."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser
        self.wait = WebDriverWait(
            browser, 15, poll_frequency=0.05, ignored_exceptions=[StaleElementReferenceException]
        )

    def open(self, url: str) -> None:
        """Open the page and wait for its operations."""
        self.browser.get(url)
        self.see(".opblock")

    def see(self, selector: str) -> WebElement:
        """The first element that the selector finds, once it can be clicked."""
        return self.wait.until(element_to_be_clickable((By.CSS_SELECTOR, selector)), selector)

    def tags(self) -> dict[str, set[str]]:
        """The ids of the operations under each tag."""
        found = {}
        for section in self.browser.find_elements(By.CSS_SELECTOR, ".opblock-tag-section"):
            tag = section.find_element(By.CSS_SELECTOR, ".opblock-tag").get_attribute("data-tag")
            blocks = section.find_elements(By.CSS_SELECTOR, ".opblock")
            ids = {(block.get_attribute("id") or "").rpartition("-")[2] for block in blocks}
            found[tag or ""] = ids
        return found

    def authorize(self, value: str, scheme: str = "caller") -> None:
        """Give a scheme its value in the dialog, and close the dialog."""
        self.see(".auth-wrapper .authorize").click()
        self.see(".auth-container input")
        forms = self.browser.find_elements(By.CSS_SELECTOR, ".auth-container")
        (form,) = [form for form in forms if form.text.split()[:1] == [scheme]]
        form.find_element(By.CSS_SELECTOR, "input").send_keys(value)
        form.find_element(By.CSS_SELECTOR, ".authorize").click()
        self.see(".auth-container .btn-done").click()
        self.wait.until_not(lambda browser: browser.find_elements(By.CSS_SELECTOR, ".dialog-ux"))

    def expand(self, operation: str, *owner: str, **more: str) -> None:
        """Open an operation, and name the owner and further parameters in its fields."""
        self.see(f"{_block(operation)} .opblock-summary-control").click()
        parameters = dict(zip(("tenant_id", "group_id", "user_id"), owner, strict=False)) | more
        for name, value in parameters.items():
            self._fill(f"{_block(operation)} [data-param-name={name}] input", value)

    def choose(self, operation: str, example: str) -> str:
        """Choose one of an operation's examples; gives the body that then stands there."""
        Select(self.see(f"{_block(operation)} .examples-select-element")).select_by_value(example)
        return self.see(f"{_block(operation)} textarea").get_attribute("value") or ""

    def write(self, operation: str, body: Any) -> None:
        """Write a body in place of the one that stands there."""
        self._fill(f"{_block(operation)} textarea", json.dumps(body))

    def _fill(self, selector: str, text: str) -> None:
        field = self.see(selector)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)
        self.wait.until(lambda _: field.get_attribute("value") == text, selector)

    def execute(self, operation: str) -> tuple[int, Any]:
        """Execute an operation; gives the status and the JSON that the page then shows."""
        block, answer = _block(operation), f"{_block(operation)} .live-responses-table .response"
        for clear in self.browser.find_elements(By.CSS_SELECTOR, f"{block} .btn-clear"):
            clear.click()
        self.wait.until_not(lambda browser: browser.find_elements(By.CSS_SELECTOR, answer))
        self.see(f"{block} .execute").click()
        status = self.see(f"{answer} .response-col_status").text
        body = self.see(f"{answer} .response-col_description pre").get_attribute("textContent")
        return int(status.split()[0]), json.loads(body or "")

    def requested(self) -> set[str]:
        """The origins that the page has asked for anything since the last call."""
        events = [json.loads(line["message"]) for line in self._log("performance")]
        urls = [
            urlsplit(event["message"]["params"]["request"]["url"])
            for event in events
            if event["message"]["method"] == "Network.requestWillBeSent"
        ]
        return {f"{u.scheme}://{u.netloc}" for u in urls if u.scheme not in ("data", "blob")}

    def complaints(self) -> list[dict[str, Any]]:
        """What the console holds of errors, of which a breach of the policy is one."""
        return [line for line in self._log("browser") if line["level"] == "SEVERE"]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = self.browser.get_log(kind)  # type: ignore[no-untyped-call]
        return lines


def _block(operation: str) -> str:
    return f"[id^=operations-][id$=-{operation}]"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A browser of its own, that has asked for nothing yet."""
    options = webdriver.ChromeOptions()
    options.binary_location = needs("chromium", "chromium-browser", "google-chrome")
    driver = needs("chromedriver")
    for option in (*OPTIONS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    with webdriver.Chrome(options, Driver(driver)) as browser:
        started = Page(browser)
        browser.get("about:blank")
        # Forgets what the browser's own start page loaded.
        started.requested()
        yield started


def test_the_page_works_the_api(page: Page, service: Service) -> None:
    """From / its reader reaches every operation, and creates, lists and removes codes with them."""
    owner = ("swagger", "accounts payable", "Zoë")
    codes = codes_path(*owner)
    page.open(f"{service.url}/")
    assert page.browser.current_url == f"{service.url}/docs/"
    page.authorize(GROUP_ADMIN["X-Role"])

    page.expand("createAuthorizationCodes", *owner)
    listed = json.loads(page.choose("createAuthorizationCodes", "a list of codes"))["authCodes"]
    assert page.execute("createAuthorizationCodes") == (201, {})
    assert "code" in json.loads(page.choose("createAuthorizationCodes", "one code"))
    single = {"code": "99", "description": "naïve"}
    page.write("createAuthorizationCodes", single)
    assert page.execute("createAuthorizationCodes") == (201, {})

    page.expand("listAuthorizationCodes", *owner)
    assert page.execute("listAuthorizationCodes") == (200, {"authCodes": [*listed, single]})
    with service.client() as client:
        assert client.get(codes).json() == {"authCodes": [*listed, single]}

    page.expand("deleteAuthorizationCodes", *owner)
    page.write("deleteAuthorizationCodes", {"authCodes": [{"code": c["code"]} for c in listed]})
    assert page.execute("deleteAuthorizationCodes") == (200, {})
    assert page.execute("listAuthorizationCodes") == (200, {"authCodes": [single]})

    assert page.requested() == {service.url}
    assert page.complaints() == []


@pytest.mark.parametrize(("level", "depth"), [("", 3), ("Group", 2), ("Tenant", 1)])
def test_the_page_works_every_level(page: Page, service: Service, level: str, depth: int) -> None:
    """At each level its reader creates a code from the example, changes it and reads it."""
    owner = ("swagger levels", "sales", "anna")[:depth]
    create, change = f"create{level}AuthorizationCodes", f"change{level}AuthorizationCode"
    page.open(f"{service.url}/docs/")
    page.authorize(TENANT_ADMIN["X-Role"])
    page.expand(create, *owner)
    code = json.loads(page.choose(create, "one code"))
    assert page.execute(create) == (201, {})
    page.expand(change, *owner, code=code["code"])
    page.write(change, {"description": "naïve", "classOfService": "international"})
    changed = {**code, "description": "naïve", "classOfService": "international"}
    assert page.execute(change) == (200, changed)
    page.expand(f"get{level}AuthorizationCode", *owner, code=code["code"])
    assert page.execute(f"get{level}AuthorizationCode") == (200, changed)
    with service.client(**TENANT_ADMIN) as client:
        path = codes_path(*owner, *[""] * (3 - depth))
        assert client.get(path).json() == {"authCodes": [changed]}
    assert page.complaints() == []


@pytest.mark.parametrize("scheme", ["caller", "platform"])
def test_the_page_verifies_codes(page: Page, tmp_path: Path, scheme: str) -> None:
    """Whoever authorizes by role, or as a platform by its secret, verifies a code on the page."""
    owner = ("swagger", "accounts payable", "Zoë")
    secret = "platform-secret-".ljust(32, "0")
    (tmp_path / "platforms").write_text(f"{secret} swagger\n")
    settings = {"BARRING_PLATFORM_SECRETS_FILE": str(tmp_path / "platforms")}
    with running(tmp_path, **settings) as service:
        with service.client() as client:
            night = {"code": "4711", "description": "Night shift", "classOfService": "national"}
            client.post(codes_path(*owner), json=night).raise_for_status()
        page.open(f"{service.url}/docs/")
        page.authorize({"caller": "Call Platform", "platform": secret}[scheme], scheme)
        page.expand("verifyAuthorizationCode", *owner)
        page.write("verifyAuthorizationCode", {"code": "4711"})
        found = {"level": "user", "classOfService": "national", "description": "Night shift"}
        assert page.execute("verifyAuthorizationCode") == (200, found)
        page.write("verifyAuthorizationCode", {"code": "0815"})
        status, error = page.execute("verifyAuthorizationCode")
        assert (status, [*error["errors"]["json"]]) == (403, ["code"])
        page.expand("getLockout", *owner)
        # For this operation the page does not send what only verification accepts.
        assert page.execute("getLockout")[0] == {"caller": 403, "platform": 401}[scheme]
        assert page.requested() == {service.url}


@pytest.mark.parametrize("stripped", [True, False])
def test_the_page_works_under_a_prefix(page: Page, tmp_path: Path, stripped: bool) -> None:
    """Behind nginx, which strips the prefix or not, the page and all that it names is under it."""
    owner, prefix = ("acme", "sales", "anna"), "/barring"
    with (
        running(tmp_path, BARRING_URL_PREFIX=prefix) as service,
        under_prefix(tmp_path, prefix, service.port, stripped=stripped) as origin,
        httpx.Client(base_url=origin, headers=GROUP_ADMIN) as client,
    ):
        page.open(f"{origin}{prefix}")
        assert page.browser.current_url == f"{origin}{prefix}/docs/"
        page.authorize(GROUP_ADMIN["X-Role"])
        page.expand("createAuthorizationCodes", *owner)
        page.choose("createAuthorizationCodes", "one code")
        page.write("createAuthorizationCodes", {"code": "99"})
        assert page.execute("createAuthorizationCodes") == (201, {})
        page.open(f"{origin}{prefix}/docs")
        assert page.requested() == {origin}
        assert page.complaints() == []
        created = client.post(f"{prefix}{codes_path(*owner)}", json={"code": "98"})
        assert client.get(created.headers["Location"]).json()["code"] == "98"
        assert len(client.get(f"{prefix}{codes_path(*owner)}").json()["authCodes"]) == 2


def test_a_name_that_leads_to_this_machine_reaches_no_code(page: Page, service: Service) -> None:
    """A page of another name, as after DNS rebinding, neither reads nor writes in mode local."""
    owner = ("swagger rebinding", "sales", "anna")
    page.open(f"http://{OTHER_HOST}:{service.port}/docs/")
    page.authorize("System Admin")
    for operation in ("listAuthorizationCodes", "createAuthorizationCodes"):
        page.expand(operation, *owner)
        status, error = page.execute(operation)
        assert (status, "localhost" in error["message"]) == (403, True)
    with service.client() as client:
        assert client.get(codes_path(*owner)).json() == {"authCodes": []}


@pytest.mark.parametrize("host", ["127.0.0.1", OTHER_HOST])
def test_the_page_asks_no_other_host(page: Page, service: Service, host: str) -> None:
    """Under whatever name, the page shows the whole document with the help of no other host."""
    document = httpx.get(f"{service.url}/openapi.json").json()
    origin = f"http://{host}:{service.port}"
    page.open(f"{origin}/docs/")
    shown = page.tags()
    assert list(shown) == [tag["name"] for tag in document["tags"]]
    assert [len(operations) for operations in shown.values()] == [6, 6, 6, 1, 2]
    for tag, operations in shown.items():
        assert operations == {
            operation["operationId"]
            for path in document["paths"].values()
            for name, operation in path.items()
            if name != "parameters" and operation["tags"] == [tag]
        }
    assert page.requested() == {origin}
    assert page.complaints() == []


def test_the_policy_lets_no_inline_script_run(service: Service) -> None:
    """The page's Content-Security-Policy runs the service's own script files, and nothing else."""
    policy = httpx.get(f"{service.url}/docs/").headers["Content-Security-Policy"]
    directives = {name: sources for name, *sources in map(str.split, policy.split(";"))}
    assert directives["script-src"] == ["'self'"]
    assert directives["default-src"] == ["'none'"]
