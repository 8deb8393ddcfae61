"""The page at / in Debian's Chromium, steered by Playwright.

SLUICE_SCREENSHOTS names a folder of this tree for the pictures that docs/ shows; else they go into the
build folder.
"""

import base64
import json
import os
import pathlib
import re
import unittest

import client_packages

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    client_packages.enter()

from sluice_server import HOUSE, PATIENCE, SOURCE, Picture, Server

CHROMIUM = "/usr/bin/chromium"
SCREENSHOTS = SOURCE / os.environ.get(
    "SLUICE_SCREENSHOTS", f"{os.environ['SLUICE_BUILD_DIR']}/screenshots"
)
PNG = "data:image/png;base64,"
TIME = re.compile(r"\d m?s$")
CAT = "cat face, noto style"
DESK, PHONE = {"width": 1120, "height": 1330}, {"width": 390, "height": 844}


class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(HOUSE))
        cls.url = f"http://127.0.0.1:{cls.server.port}"
        cls.playwright = cls.enterClassContext(sync_playwright())
        # Its sandbox cannot be had by root, nor in most containers; the page is ours.
        cls.browser = cls.playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        cls.addClassCleanup(cls.browser.close)
        expect.set_options(timeout=PATIENCE * 1000)

    def open(self, path="/", is_clean=True, **options):
        """A fresh browser's page. One that is clean says nothing wrong in its console."""
        context = self.browser.new_context(**{"viewport": DESK, **options})
        context.set_default_timeout(PATIENCE * 1000)
        self.addCleanup(context.close)
        page = context.new_page()
        wrong = []
        page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else 0)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "request",
            lambda r: wrong.append(r.url) if not r.url.startswith((self.url, "data:")) else 0,
        )
        if is_clean:
            self.addCleanup(self.assertEqual, wrong, [])
        page.goto(self.url + path)
        expect(page.locator("#seed")).not_to_have_value("")
        return page

    def ask(self, page, prompt=CAT, seed=7, steps=None):
        page.get_by_label("Seed", exact=True).fill(str(seed))
        if steps is not None:
            page.get_by_role("slider", name="Steps").evaluate(
                "(slider, i) => { slider.value = i; tell_steps(); }", self.stop(page, steps)
            )
        page.get_by_role("textbox", name="Prompt").fill(prompt)
        page.get_by_role("button", name="Draw", exact=True).click()

    def stop(self, page, steps):
        """The slider's position for so many steps."""
        return page.evaluate("(steps) => stops.indexOf(steps)", steps)

    def finished(self, page, steps):
        """The file that is shown when it is finished."""
        expect(page.locator("#picture")).to_have_attribute("data-steps", str(steps))
        source = page.locator("#picture").get_attribute("src")
        self.assertTrue(source.startswith(PNG))
        return base64.b64decode(source.removeprefix(PNG))

    def canceled(self):
        return self.server.metrics()("sluice_canceled_total", reason="client")

    def test_draw(self):
        page = self.open()
        self.ask(page, steps=8)
        expected = self.server.picture(
            {"prompt": CAT, "seed": 7, "steps": 8, "guidance": float(page.input_value("#guidance"))}
        )
        self.assertEqual(self.finished(page, 8), expected)
        for name in ("#link", "#history a"):
            link = page.locator(name).first.get_attribute("href")
            self.assertEqual(self.server.get(link).body, expected)
            answer = self.server.get(link, method="HEAD")
            self.assertIn("immutable", answer.headers["Cache-Control"])
        with page.expect_download() as download:
            page.locator("#download").click()
        self.assertEqual(download.value.suggested_filename, "sluice-7-8.png")
        self.assertEqual(pathlib.Path(download.value.path()).read_bytes(), expected)
        page.reload()  # the history is kept
        page.locator("#history button").click()
        self.assertEqual(self.finished(page, 8), expected)

    def test_drag(self):
        """Ten positions of the slider: the last one's picture, and nobody else's work."""
        page = self.open()
        page.get_by_label("Solver").select_option("heun")
        self.finished(page, page.evaluate("chosen_steps()"))
        page.get_by_role("textbox", name="Prompt").fill(CAT)
        slider = page.get_by_role("slider", name="Steps")
        box = slider.bounding_box()
        last = page.evaluate("stops.length - 1")
        thumb = 26

        def place(position):
            part = position / last
            return (
                box["x"] + thumb / 2 + part * (box["width"] - thumb),
                box["y"] + box["height"] / 2,
            )

        before = self.canceled()
        page.mouse.move(*place(int(slider.input_value())))
        page.mouse.down()
        dragged = [100, 80, 64, 50, 40, 64, 80, 100, 80, 50]
        for steps in dragged:
            # It streams: it is let in, and a second of work lies before it.
            with page.expect_response(
                lambda r, steps=steps: r.request.post_data_json["steps"] == steps
            ):
                page.mouse.move(*place(self.stop(page, steps)))
        page.mouse.up()
        expect(page.locator("#steps-text")).to_have_text("50 steps")
        shown = self.finished(page, dragged[-1])
        self.server.wait_for_gauges(running=0, queued=0)
        self.assertEqual(self.canceled() - before, len(dragged) - 1)
        self.assertEqual(page.locator("#history li").count(), 2)
        request = page.evaluate("asked()")
        self.assertEqual((request["steps"], request["prompt"]), (50, CAT))
        self.assertEqual(shown, self.server.picture(request))

    def test_previews(self):
        page = self.open()
        page.evaluate(
            """() => {
                window.seen = [];
                new MutationObserver(() => seen.push(picture.src))
                    .observe(picture, { attributes: true, attributeFilter: ["src"] });
            }"""
        )
        self.ask(page, steps=16)
        self.finished(page, 16)
        seen = page.evaluate("seen")
        self.assertGreater(len(set(seen)), 2, "it grew before it was there")
        for source in seen:
            Picture(base64.b64decode(source.removeprefix(PNG)))

    def test_keyboard(self):
        page = self.open()
        prompt = page.get_by_role("textbox", name="Prompt")
        expect(prompt).to_be_focused()
        page.keyboard.type("red balloon")
        page.keyboard.press("Enter")
        steps = page.evaluate("chosen_steps()")
        self.finished(page, steps)
        expect(page.locator("#spoken")).to_contain_text(f"Drawn in {steps} steps")
        expect(page.get_by_role("img", name="red balloon", exact=True)).to_be_visible()
        slider = page.get_by_role("slider", name="Steps")
        slider.focus()
        page.keyboard.press("Home")
        self.finished(page, 1)
        self.assertEqual(slider.get_attribute("aria-valuetext"), "1 step")
        page.keyboard.press("ArrowRight")
        self.finished(page, 2)

    def test_everything_has_a_name(self):
        page = self.open()
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll("input, select, textarea, button, img")]
                .filter((e) => e.checkVisibility() && !e.labels?.length && !e.ariaLabel
                    && !e.textContent.trim() && !e.hasAttribute("alt")
                    && !e.querySelector("img[alt]"))
                .map((e) => e.outerHTML)"""
        )
        self.assertEqual(unnamed, [])

    def test_strip(self):
        page = self.open()
        self.ask(page, steps=4)
        self.finished(page, 4)
        page.get_by_role("button", name="Draw all").click()
        expect(page.locator("#strip .took").last).to_have_text(TIME)
        texts = page.locator("#strip .took").all_text_contents()
        self.assertEqual(len(texts), 6)
        for text in texts:
            self.assertRegex(text, TIME)
        sources = page.locator("#strip img").evaluate_all("(images) => images.map((i) => i.src)")
        self.assertEqual(len(set(sources)), 6)
        page.locator("#strip button").nth(1).click()
        self.assertEqual(self.finished(page, 2), base64.b64decode(sources[1].removeprefix(PNG)))

    def test_refusal(self):
        page = self.open(is_clean=False)  # Chromium itself reports each 422
        self.ask(page, seed=-1)
        expect(page.locator("#note")).to_contain_text("seed")
        self.assertEqual(page.locator("#seed").get_attribute("aria-invalid"), "true")
        self.ask(page, seed=1, steps=1)
        self.finished(page, 1)
        self.assertIsNone(page.locator("#seed").get_attribute("aria-invalid"))

    def test_examples(self):
        page = self.open()
        page.get_by_role("button", name="red heart").click()
        self.finished(page, page.evaluate("chosen_steps()"))
        self.assertEqual(page.input_value("#prompt"), "red heart")
        expect(page.locator("#examples")).to_be_hidden()

    def fail_once(self, page, path, status, fields):
        """The next request of that path is refused without reaching the service."""
        page.route(
            f"**{path}",
            lambda route: route.fulfill(
                status=status,
                content_type="application/problem+json",
                body=json.dumps({"title": "No", "status": status, **fields}),
            ),
            times=1,
        )

    def test_model_unknown_at_first(self):
        page = self.open(is_clean=False)
        self.fail_once(page, "/v1/model", 503, {})
        page.reload()
        expect(page.locator("#note")).to_contain_text("503")
        page.get_by_role("textbox", name="Prompt").fill(CAT)
        page.get_by_role("button", name="Draw", exact=True).click()
        expect(page.locator("#seed")).not_to_have_value("")
        self.finished(page, page.evaluate("chosen_steps()"))

    def test_later(self):
        """Why it waits is told; it can be stopped, and else draws when the time has come."""
        page = self.open(is_clean=False)
        self.ask(page, steps=2)
        self.finished(page, 2)
        used_up = {"detail": "the rate is used up", "retry_after": 2}
        for is_stopped in (True, False):
            self.fail_once(page, "/v1/generate", 429, used_up)
            self.ask(page, steps=1)
            for name in ("#note", "#spoken"):
                expect(page.locator(name)).to_have_text(
                    "the rate is used up; trying again in 2 s."
                )
            expect(page.locator("#stop")).to_be_visible()
            if is_stopped:
                page.locator("#stop").click()
                expect(page.locator("#note")).to_have_text("Stopped.")
                expect(page.locator("#stop")).to_be_hidden()
                shown = page.locator("#picture").get_attribute("src")
                self.assertEqual(page.locator("#download").get_attribute("href"), shown)
        self.finished(page, 1)
        expect(page.locator("#stop")).to_be_hidden()

    def test_with_a_key(self):
        """A drag draws once, and nothing is linked that would be refused."""
        page = self.open()
        page.evaluate("sessionStorage.setItem(KEY, 'secret')")
        page.get_by_role("textbox", name="Prompt").fill(CAT)
        sent = []
        page.on("request", lambda r: sent.append(r) if r.url.endswith("/v1/generate") else 0)
        page.get_by_role("slider", name="Steps").evaluate(
            """(slider) => {
                for (const value of [3, 2, 1, 0]) {
                    slider.value = value;
                    slider.dispatchEvent(new Event("input"));
                }
                slider.dispatchEvent(new Event("change"));
            }"""
        )
        self.finished(page, 1)
        self.assertEqual([r.post_data_json["steps"] for r in sent], [1])
        for name in ("#link", "#history a"):
            self.assertIsNone(page.locator(name).first.get_attribute("href"))

    def test_strip_is_of_one_request(self):
        page = self.open()
        self.ask(page, steps=1)
        self.finished(page, 1)
        sent = []
        page.on("request", lambda r: sent.append(r.post_data_json) if r.post_data else 0)
        page.evaluate("draw_strip(); $('seed').value = 8; undefined")
        expect(page.locator("#strip .took").last).to_have_text(TIME)
        self.assertEqual({request["seed"] for request in sent}, {7})
        self.assertEqual([request["steps"] for request in sent], [1, 2, 4, 8, 16, 32])

    def test_policy(self):
        """What is not the page's own script does not run."""
        page = self.open(is_clean=False)
        tried = page.evaluate(
            """async () => {
                const blocked = [];
                addEventListener("securitypolicyviolation", (e) => blocked.push(e.effectiveDirective));
                for (const attempt of [
                    () => document.body.append(Object.assign(document.createElement("script"), { textContent: "window.ran = 1" })),
                    () => document.body.setAttribute("onclick", "window.ran = 1"),
                    () => document.body.insertAdjacentHTML("beforeend", "<b>"),
                    () => document.body.append(Object.assign(new Image(), { src: "http://elsewhere.invalid/" })),
                    () => fetch("http://elsewhere.invalid/").catch(() => 0),
                ]) { try { await attempt(); } catch { /* trusted types throw */ } }
                document.body.click();
                await new Promise((done) => setTimeout(done, 50));
                return { ran: window.ran ?? 0, blocked };
            }"""
        )
        self.assertEqual(tried["ran"], 0)
        for directive in ("img-src", "connect-src", "require-trusted-types-for"):
            self.assertIn(directive, tried["blocked"])

    def test_narrow(self):
        page = self.open(viewport=PHONE)
        self.ask(page, steps=4)
        self.finished(page, 4)
        self.assertTrue(
            page.evaluate("document.documentElement.scrollWidth <= innerWidth"),
            "nothing sticks out",
        )

    def test_screenshots(self):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        faces = (2, 6, 4, 5)  # seeds of "grinning face": how well it grins is the model's
        for scheme, viewport, name in (
            ("light", DESK, "page-light"),
            ("dark", DESK, "page-dark"),
            ("light", PHONE, "page-phone"),
        ):
            page = self.open(viewport=viewport, color_scheme=scheme)
            for seed in faces:
                self.ask(page, "grinning face, noto style", seed, steps=32)
                self.finished(page, 32)
            page.get_by_role("button", name="Draw all").click()
            expect(page.locator("#strip .took").last).not_to_have_text("")
            page.evaluate("document.activeElement.blur()")
            page.mouse.move(0, 0)
            path = SCREENSHOTS / f"{name}.png"
            page.screenshot(path=path, animations="disabled", full_page=viewport is PHONE)
            self.assertGreater(path.stat().st_size, 10000)


if __name__ == "__main__":
    unittest.main()
