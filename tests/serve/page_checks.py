"""What tests of the page in a browser share."""

from axe_playwright_python.sync_playwright import Axe


def upload(page, data, name="photo.jpg"):
    page.locator("#photo").set_input_files({"name": name, "mimeType": "image/jpeg", "buffer": data})


def violations(page):
    found = Axe().run(page).response["violations"]
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]


def fits(page):
    # the window itself grows on phones where the page is too wide
    return page.evaluate("document.documentElement.scrollWidth <= screen.width")
