"""Checks the built documentation site: python3 site_links.py FOLDER

Every link and picture leads to a file and, with a fragment, to a heading; every document and every operation and message of the API documents
has its place; no page loads anything from another host, and none has an inline script or style, which the content policy would block.
Also the source: a relative link of a document, which the site resolves, names a file of the repository.
"""

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

BASE = "/docs/"


class Page(HTMLParser):
    """Links, ids and faults of one page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.ids, self.faults = [], set(), []
        self.inside = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if "id" in values:
            self.ids.add(values["id"])
        for name in ("href", "src"):
            if values.get(name):
                loads = tag not in ("a", "area")
                self.links.append((values[name], loads))
        if tag == "script" and "src" not in values and values.get("type") != "application/json":
            self.faults.append("an inline script")
        if tag == "style" or "style" in values:
            self.faults.append(f"an inline style in <{tag}>: {values.get('style', '')}")
        for name in values:
            if name.startswith("on"):
                self.faults.append(f"an inline handler {name} in <{tag}>")


def address_of(folder, path):
    """The address under which nginx serves a file."""
    name = path.relative_to(folder).as_posix()
    if name.endswith("index.html"):
        return BASE + name.removesuffix("index.html")
    return BASE + name.removesuffix(".html")


def check(folder):
    pages, files, faults = {}, {}, []
    for path in folder.rglob("*"):
        if path.is_file():
            address = address_of(folder, path)
            files[address] = path
            if path.suffix == ".html":
                pages[address] = Page(path.read_text(encoding="utf-8"))
    links = 0
    for address, page in pages.items():
        faults += [f"{address}: {fault}" for fault in page.faults]
        for link, loads in page.links:
            url = urlsplit(urljoin(f"http://site{address}", link))
            if url.netloc != "site" or url.scheme != "http":
                if loads:
                    faults.append(f"{address}: loads {link} from elsewhere")
                continue
            links += 1
            path = unquote(url.path)
            if path.startswith("/api/"):
                continue
            if path not in files and path + "/" not in files:
                faults.append(f"{address}: {link} leads nowhere")
            elif url.fragment and path in pages and unquote(url.fragment) not in pages[path].ids:
                faults.append(f"{address}: {link}: the page has no such heading")
    faults += check_contents(pages)
    return len(pages), links, faults


def check_contents(pages):
    """Every document, operation and message is on a page."""
    addresses = {address.rstrip("/") for address in pages}
    ids = set().union(*(page.ids for address, page in pages.items() if address.startswith((BASE + "rest/", BASE + "asyncapi/"))))
    for document in Path("docs").glob("*.md"):
        if BASE + document.stem.lower() not in addresses:
            yield f"{document} has no page"
    openapi = json.loads(Path("openapi/openapi.json").read_text(encoding="utf-8"))
    for item in openapi["paths"].values():
        for operation in item.values():
            if isinstance(operation, dict) and operation.get("operationId") not in ids:
                yield f"the operation {operation.get('operationId')} has no place"
    asyncapi = json.loads(Path("openapi/asyncapi.json").read_text(encoding="utf-8"))
    for message in asyncapi["components"]["messages"]:
        if message not in ids:
            yield f"the message {message} has no place"


def check_sources():
    """Relative links in the documents name files of the repository, also those that the generator would not see."""
    documents = [Path("README.md"), Path("CHANGELOG.md"), *Path("docs").glob("*.md")]
    documents += [path for path in Path("examples").rglob("README.md") if "node_modules" not in path.parts]
    for document in documents:
        text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.S)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if not re.match(r"([a-z]+:|/|#)", link, re.I) and not (document.parent / unquote(link.split("#")[0])).exists():
                yield f"{document}: {link} leads nowhere"


def main():
    folder = Path(sys.argv[1])
    pages, links, faults = check(folder)
    faults += check_sources()
    for fault in sorted(set(faults)):
        print(fault, file=sys.stderr)
    if faults or pages < 40:
        sys.exit(f"The site has {len(set(faults))} faults on {pages} pages.")
    print(f"{pages} pages, {links} links: all lead somewhere.")


main()
