"""Projects: optional, made by being used, and never a reason to fail."""

from __future__ import annotations

from tests.api.asking import QUICK, places, problem
from tests.service import Service


async def test_a_project_that_is_used_exists(api: Service) -> None:
    answer = await api.generate(**QUICK, projectId="shop")
    await api.finished(answer["id"])
    projects = api.app.state.services.projects
    known: list[str] = []

    async def look() -> None:
        known[:] = [each.id for each in await projects.list(10, None)]

    for _ in range(100):
        await look()
        if known:
            break
    project = (await api.http.get("/api/projects/shop")).json()

    assert known == ["shop"]
    assert (project["id"], project["title"], project["counts"]) == ("shop", None, {"succeeded": 1})


async def test_a_project_can_be_made_beforehand_and_its_generations_listed(api: Service) -> None:
    made = await api.http.post("/api/projects", json={"id": "a/b", "title": "Both", "metadata": {"order": 7}})
    answer = await api.generate(**QUICK, projectId="a/b")

    project = (await api.http.get("/api/projects/a/b")).json()
    listed = (await api.http.get("/api/generations", params={"projectId": "a/b"})).json()["items"]

    assert made.status_code == 201
    assert (project["title"], project["metadata"]) == ("Both", {"order": 7})
    assert [each["id"] for each in listed] == [answer["id"]]


async def test_a_project_without_a_name_gets_one(api: Service) -> None:
    made = await api.http.post("/api/projects")

    assert made.status_code == 201
    assert len(made.json()["id"]) == 36


async def test_a_second_project_of_an_id_is_refused(api: Service) -> None:
    await api.http.post("/api/projects", json={"id": "shop"})

    answer = await api.http.post("/api/projects", json={"id": "shop"})

    assert problem(answer, 409, "project_exists")


async def test_an_unknown_project_is_told(api: Service) -> None:
    assert problem(await api.http.get("/api/projects/nothing"), 404, "not_found")


async def test_projects_are_listed_page_by_page_newest_first(api: Service) -> None:
    for number in range(5):
        await api.http.post("/api/projects", json={"id": f"p{number}"})

    seen: list[str] = []
    query: dict[str, str] = {"limit": "2"}
    while True:
        page = (await api.http.get("/api/projects", params=query)).json()
        seen += [each["id"] for each in page["items"]]
        if page["nextCursor"] is None:
            break
        query["cursor"] = page["nextCursor"]

    assert seen == ["p4", "p3", "p2", "p1", "p0"]


async def test_an_empty_project_is_none_and_a_field_too_many_is_told(api: Service) -> None:
    empty = await api.generate(**QUICK | {"projectId": ""})

    assert empty["projectId"] is None
    assert (await api.http.get("/api/projects")).json()["items"] == []
    assert places(await api.http.post("/api/projects", json={"id": "a", "x": 1})).keys() == {"/x"}
