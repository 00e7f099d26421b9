"""What tests of the page in a browser share."""

from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe

DESKTOP = {"width": 1280, "height": 900}


@contextmanager
def watched(new_page, url, ready, usual=()):
    """Give a function that opens pages; at the end none may have complained or asked another host.

    Args:
        new_page: the fixture.
        url: of the page, unless a test names another address.
        ready: called with a page before it goes anywhere.
        usual: parts of complaints that every page may make.
    """
    pages = []

    def opened(expected=(), address=url, **options):
        # no smooth scrolling to wait for
        page = new_page(**{"viewport": DESKTOP, "reduced_motion": "reduce", **options})
        ready(page)
        page.goto(address)
        pages.append((page, (*usual, *expected), address))
        return page

    yield opened
    for page, expected, address in pages:
        complaints = [text for text in page.said if not any(part in text for part in expected)]
        assert complaints == [], complaints
        elsewhere = [asked for asked in page.requested if not asked.startswith((address, "data:", "blob:"))]
        assert elsewhere == [], elsewhere


def upload(page, data, name="photo.jpg"):
    page.locator("#photo").set_input_files({"name": name, "mimeType": "image/jpeg", "buffer": data})


def violations(page):
    found = Axe().run(page).response["violations"]
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]


def fits(page):
    # the window itself grows on phones where the page is too wide
    return page.evaluate("document.documentElement.scrollWidth <= screen.width")
