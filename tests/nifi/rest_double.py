"""A server that speaks the endpoints of NiFi's REST API that `coilflow nifi` uses, and keeps what it is told."""

import copy
import json
import re
import ssl
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from flows.nifi.definition import definition_of
from flows.nifi.definitions_of import flows
from flows.nifi.describe.tls import TRUSTING

Json = dict[str, Any]
ROOT = "11111111-0000-0000-0000-000000000000"


class NifiDouble:
    """Process groups and parameter contexts, in memory; types are those of our flows."""

    def __init__(self) -> None:
        self.groups: dict[str, Json] = {}  # id -> snapshot
        self.parents: dict[str, str] = {}  # id of a group -> of the one that it is in, else at the root
        self.hidden: set[str] = set()  # groups and contexts that this user may not see
        self.defaults: dict[str, str] = {}  # of properties of all processors
        self.running: set[str] = set()  # ids of groups
        self.queued: dict[str, int] = {}  # identifier of a connection -> FlowFiles
        self.contexts: dict[str, Json] = {}
        self.changes: list[str] = []  # what was asked beside reading
        self.unknown_types: set[str] = set()
        self.python_version = "0.1.0"
        self.token: str | None = None  # that is asked for
        self.password: str | None = None  # that gets the token
        self.stuck: set[str] = set()  # services that no longer have what they need

    def answer(self, method: str, path: str, body: Any) -> Any:  # noqa: C901, PLR0911, PLR0912 - one branch an endpoint
        """What NiFi says; None: 404."""
        group = re.match(r"/process-groups/([\w-]+)", path) or re.match(r"/flow/process-groups/([\w-]+)", path)
        found = self.groups.get(group[1]) if group else None
        match method, re.sub(r"[\w]{8}-[\w-]{27}", "ID", path):
            case "GET", "/flow/about":
                return {"about": {"version": "2.9.0"}}
            case "GET", "/flow/process-groups/root":
                return {"processGroupFlow": {"id": ROOT}}
            case "GET", "/flow/processor-types":
                return {"processorTypes": self._types("processors")}
            case "GET", "/flow/controller-service-types":
                return {"controllerServiceTypes": self._types("controllerServices")}
            case "GET", "/flow/parameter-contexts":
                return {"parameterContexts": [self._entity(key, one) for key, one in self.contexts.items()]}
            case "GET", "/parameter-contexts/ID":
                key = path.rpartition("/")[2]
                return {"id": key, "revision": {"version": 1}, "component": _hidden(self.contexts[key])}
            case "DELETE", "/parameter-contexts/ID":
                return self.contexts.pop(path.rpartition("/")[2])
            case "POST", "/parameter-contexts":
                made = str(uuid.uuid4())
                self.contexts[made] = {"id": made, **body["component"]}
                return body
            case "POST", "/parameter-contexts/ID/update-requests":
                context = self.contexts[path.split("/")[2]]
                self._set(context, body["component"]["parameters"])
                if context["name"] == "coilflow":
                    self.stuck |= self._without_stores(context)
                return {"request": {"requestId": str(uuid.uuid4())}}
            case "GET", "/parameter-contexts/ID/update-requests/ID" if self.stuck:
                return {"request": {"complete": False}}  # as NiFi waits for a service that is not valid any more
            case (
                ("GET" | "DELETE"),
                ("/parameter-contexts/ID/update-requests/ID" | "/process-groups/replace-requests/ID"),
            ):
                return {"request": {"complete": True}}
            case "GET", "/process-groups/ID/process-groups":
                return {
                    "processGroups": [
                        self._entity(key, {name: one["flowContents"][name] for name in ("name", "comments")})
                        for key, one in self.groups.items()
                        if self.parents.get(key, ROOT) == path.split("/")[2]
                    ]
                }
            case "POST", "/process-groups/ID/process-groups/upload":
                key = str(uuid.uuid4())
                self.groups[key] = body
                return {"id": key, "revision": {"version": 0}}
        if found is None or group is None:
            return None
        contents, key = found["flowContents"], group[1]
        match method, path.partition(key)[2]:
            case "GET", "":
                return {"id": key, "revision": {"version": 3}}
            case "DELETE", "":
                if any(self.queued.get(one["identifier"]) for one in contents["connections"]):
                    return (409, "its queues are not empty")
                return self.groups.pop(key)
            case "GET", "/processors":
                state = "RUNNING" if key in self.running else "STOPPED"
                return {
                    "processors": [
                        {
                            "id": one["identifier"],
                            "revision": {"version": 0},
                            "component": {
                                "name": one["name"],
                                "config": {
                                    "descriptors": {key: {"defaultValue": text} for key, text in self.defaults.items()}
                                },
                                "state": state,
                                "relationships": [{"name": "any"}],
                                "validationStatus": "VALID",
                            },
                        }
                        for one in contents["processors"]
                    ]
                }
            case "GET", "/connections":
                return {"connections": [self._connection(one) for one in contents["connections"]]}
            case "GET", "/controller-services":
                return {"controllerServices": [{"id": "a", "component": {"name": "a", "state": found["services"]}}]}
            case "PUT", "/controller-services":
                found["services"] = body["state"]
                return {}
            case "PUT", "":
                if body["state"] == "RUNNING":
                    self.running.add(key)
                elif "components" not in body:
                    self.running.discard(key)
                else:  # what feeds is stopped, and the rest works off
                    to_funnels = {
                        one["identifier"] for one in contents["connections"] if one["destination"]["type"] == "FUNNEL"
                    }
                    self.queued = {one: count for one, count in self.queued.items() if one in to_funnels}
                return {}
            case "GET", "/status":
                return {"processGroupStatus": {"aggregateSnapshot": {"activeThreadCount": 0}}}
            case "GET", "/download":
                told = copy.deepcopy(found)
                for one in told["flowContents"]["processors"]:
                    one["instanceIdentifier"] = one["identifier"]
                    one["properties"] = self.defaults | one["properties"]
                return told
            case "POST", "/replace-requests":
                self.groups[key] = {**body["versionedFlowSnapshot"], "services": "ENABLED"}
                return {"request": {"requestId": str(uuid.uuid4())}}
            case "POST", "/empty-all-connections-requests":
                self.queued.clear()
                return {"dropRequest": {"id": str(uuid.uuid4())}}
        if "/empty-all-connections-requests/" in path:
            return {"dropRequest": {"finished": True}}
        return None

    def _entity(self, key: str, component: Json) -> Json:
        return {"id": key} if key in self.hidden else {"id": key, "component": component}

    def _types(self, kind: str) -> list[Json]:
        parts = [one for flow in flows(TRUSTING).values() for one in definition_of(flow)["flowContents"][kind]]
        known = {one["type"]: one["bundle"] for one in parts if one["type"] not in self.unknown_types}
        for bundle in known.values():
            if bundle["artifact"] == "python-extensions":
                bundle["version"] = self.python_version
        return [{"type": name, "bundle": bundle} for name, bundle in known.items()]

    def _connection(self, one: Json) -> Json:
        count = self.queued.get(one["identifier"], 0)
        shot = {"sourceName": one["source"]["name"], "destinationName": one["destination"]["name"]}
        return {
            "destinationId": one["destination"]["id"],
            "destinationType": one["destination"]["type"],
            "status": {"aggregateSnapshot": {**shot, "flowFilesQueued": count, "bytesQueued": count * 10}},
        }

    def _without_stores(self, context: Json) -> set[str]:
        unset = {one["parameter"]["name"] for one in context["parameters"] if one["parameter"].get("value") is None}
        services = [one for group in self.groups.values() for one in group["flowContents"]["controllerServices"]]
        return {
            one["identifier"]
            for one in services
            if any(f"#{{{name}}}" in one["properties"].values() for name in unset if name.endswith("store.file"))
        }

    @staticmethod
    def _set(context: Json, entities: list[Json]) -> None:
        present = {one["parameter"]["name"]: one["parameter"] for one in context["parameters"]}
        for one in entities:
            told = {name: value for name, value in one["parameter"].items() if value is not None}
            kept = present.get(told["name"], {})
            if told.pop("valueRemoved", False):
                kept.pop("value", None)
            present[told["name"]] = kept | told
        context["parameters"] = [{"parameter": one} for one in present.values()]


def _hidden(context: Json) -> Json:
    shown = copy.deepcopy(context)
    for one in shown["parameters"]:
        if one["parameter"].get("sensitive") and one["parameter"].get("value") is not None:
            one["parameter"]["value"] = "********"
    return shown


@contextmanager
def serving(double: NifiDouble, tls: ssl.SSLContext | None = None) -> Iterator[str]:  # noqa: C901 - its handler is within
    """Its URL while the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            path = self.path.partition("?")[0].removeprefix("/nifi-api")
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if path == "/access/token":
                self._sign_in(parse_qs(raw.decode()))
                return
            if double.token is not None and self.headers.get("Authorization") != f"Bearer {double.token}":
                self._send(401, b"Unauthorized")
                return
            said = double.answer(self.command, path, self._body(raw))
            if path.startswith("/flow/bulletin-board"):
                said = {"bulletinBoard": {"bulletins": []}}
            if self.command != "GET":
                double.changes.append(f"{self.command} {path}")
            if said is None:
                self._send(404, f"nothing at {path}".encode())
            elif isinstance(said, tuple):
                self._send(said[0], said[1].encode())
            else:
                self._send(200, json.dumps(said).encode())

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - as http.server calls them

        def _sign_in(self, form: dict[str, list[str]]) -> None:
            known = double.password is not None and form["password"] == [double.password]
            self._send(201 if known else 400, (double.token or "").encode() if known else b"unknown")

        def _body(self, raw: bytes) -> Any:
            kind = self.headers.get("Content-Type") or ""
            if kind.startswith("multipart/"):
                parts: Any = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + raw).get_payload()
                named = {one.get_param("name", header="content-disposition"): one for one in parts}
                return {**json.loads(named["file"].get_payload(decode=True)), "services": "DISABLED"}
            return json.loads(raw) if raw else None

        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
