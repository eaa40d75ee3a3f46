"""The search page in Chromium, what stands on it, and what the API answers to the same question."""

from __future__ import annotations

import re

import httpx2 as httpx
import pyarrow.parquet as pq

SYSTEMS = ["pretrained", "mnr", "matryoshka", "bm25"]
IDS = "rows => rows.map(row => row.dataset.id)"
READY = "body:is([data-state=empty], [data-state=results]):not(:has([aria-busy=true]))"


class Visit:
    """A page of the server and all that happened on it: nothing may leave the server, nothing may be complained of."""

    def __init__(self, browser, server, path="/", *, width=1280, scheme="light", refused=False):
        self.url, self.refused = server.url, refused
        self.context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.requests, self.said = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(self.url + path)
        if not refused:
            settled(self.page)

    def __enter__(self):
        return self.page

    def __exit__(self, *failure):
        evil = self.page.evaluate("window.pwned")
        self.context.close()
        if failure[0] is None:
            refusals = [text for text in self.said if text.startswith("Failed to load resource")]
            assert self.said == (refusals if self.refused else [])
            assert evil is None
            assert self.requests and all(url.startswith(self.url + "/") for url in self.requests)


def settled(page, patience=30_000):
    """Wait until the page shows what its address asks for, at most so many milliseconds."""
    page.locator(READY).wait_for(timeout=patience)


def box(page):
    return page.get_by_role("searchbox", name="Query")


def search(page, query):
    box(page).fill(query)
    settled(page)


def column(page, system):
    """A system's column, whether it ranks alone or is mixed with keyword search."""
    return page.get_by_role("region", name=re.compile(rf"^{re.escape(system)}( \+ keyword search)?$"))


def ids(page, system):
    return column(page, system).get_by_role("listitem").evaluate_all(IDS)


def shown(page):
    return {system: ids(page, system) for system in SYSTEMS}


def told(page, system):
    """A column's figures: term to description."""
    terms = column(page, system).get_by_role("term").all_inner_texts()
    return dict(zip(terms, column(page, system).get_by_role("definition").all_inner_texts(), strict=True))


def asked(server, query, system, dimension=384, precision="float32", **fused):
    """What the API answers; to BM25 alone, `fused` is nothing."""
    point = {} if system == "bm25" else {"dimension": dimension, "precision": precision, **fused}
    body = {"query": query, "k": 10, "system": system, **point}  # the first search loads models: give it time
    answer = httpx.post(f"{server.url}/v1/search", json=body, timeout=60).raise_for_status().json()
    hits = answer["results"][0]["hits"]
    answer["hits"] = [hit for hit in hits if hit["score"] > 0] if system == "bm25" else hits
    answer["judged"] = answer["results"][0]["judged"]
    return answer


def expected(server, query, *point, **fused):
    answers = {system: asked(server, query, system, *point, **fused) for system in SYSTEMS}
    return {system: [hit["id"] for hit in answer["hits"]] for system, answer in answers.items()}


def facts(server):
    """GET /v1/run."""
    return httpx.get(f"{server.url}/v1/run").raise_for_status().json()


def beginning(server):
    """The dimension and precision that the page begins with."""
    default = facts(server)["default"]
    return default["dimension"], default["precision"]


def measured(run, system, dimension, precision, axes=False):
    """A point of the surface."""
    [points] = [entry["points"] for entry in run["systems"] if entry["name"] == system]
    place = (None, None, False) if system == "bm25" else (dimension, precision, axes)
    [point] = [point for point in points if (point["dimension"], point["precision"], point["axes"]) == place]
    return point


def judged_queries(run, split="test"):
    """The queries of one of a run's splits."""
    table = pq.read_table(run / "data" / "records.parquet").to_pylist()
    return list(dict.fromkeys(row["query"] for row in table if row["split"] == split))
