"""Who is let in: hosts, origins, tokens, and the secrets of the token endpoints."""

from __future__ import annotations

import jwt
import pytest

from bankmlops.emulator.web import tokens
from support.served_emulator import Served

ARM = "https://management.azure.com/"


@pytest.mark.parametrize("host", ["evil.example", "management.azure.com.evil.example", "blob.core.windows.net.evil.example", ""])
def test_strange_hosts(served: Served, host: str) -> None:
    """A name that is neither Azure's nor this machine's is refused, so that no page can reach the emulator by rebinding one."""
    answer = served.client.get("/discovery", headers={"Host": host})
    assert answer.status_code in (400, 403)


@pytest.mark.parametrize("host", ["127.0.0.1:4711", "localhost", "management.azure.com", "login.microsoftonline.com:443"])
def test_known_hosts(served: Served, host: str) -> None:
    """Loopback and Azure's own names are answered, with or without a port."""
    assert served.client.get("/discovery", headers={"Host": host}).status_code == 200


def test_strange_origins(served: Served) -> None:
    """A web page's call is refused unless the page is the emulator's own."""
    assert served.client.get("/discovery", headers={"Origin": "https://evil.example"}).status_code == 403
    assert served.client.get("/discovery", headers={"Origin": served.emulator.base_url}).status_code == 200


def test_without_a_token(served: Served) -> None:
    """Every service behind ARM answers 401 in Azure's form to who brings none."""
    for path in ("", "/computes/x"):
        answer = served.client.get(served.workspace.path + path)
        assert answer.status_code == 401
        assert "token" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "bad",
    [
        lambda emulator: tokens.issue(emulator, ARM, lifetime=-10),
        lambda emulator: tokens.issue(emulator, "https://vault.azure.net"),
        lambda _: jwt.encode({"aud": ARM, "exp": 4e9, "tid": "t"}, "another-key-that-is-long-enough-for-hs256", "HS256"),
        lambda _: jwt.encode({"aud": ARM, "exp": 4e9, "tid": "t"}, None, "none"),
        lambda emulator: jwt.encode({"aud": ARM, "tid": "t"}, emulator.secrets.signing_key, "HS256"),
        lambda emulator: tokens.issue(emulator, ARM).rpartition(".")[0] + ".",
        lambda emulator: ".".join([tokens.issue(emulator, ARM)[:-43] + "A" * 43]),
        lambda _: "nonsense",
        lambda _: "..",
        lambda _: "münchen.é",
    ],
    ids=[
        *("expired", "another audience", "another key", "unsigned", "without expiry", "without signature", "false signature"),
        *("nonsense", "nothing", "not ASCII"),
    ],
)
def test_bad_tokens(served: Served, bad: object) -> None:
    """A token that is expired, meant for another service, forged or no token at all is a 401."""
    token = bad(served.emulator)  # type: ignore[operator]
    headers = {b"Authorization": f"Bearer {token}".encode()}
    assert served.client.get(served.workspace.path, headers=headers).status_code == 401


AUDIENCES = {
    "management.azure.com": "https://management.azure.com/",
    "management.core.windows.net": "https://management.core.windows.net/",
    "ml": "https://ml.azure.com",
    "storage": "https://storage.azure.com/",
    "graph": "https://graph.windows.net/",
    "vault": "https://vault.azure.net",
}
SERVICES = {
    "ARM": ("", "", {"management.azure.com", "management.core.windows.net"}),
    "compute": ("", "/computes", {"management.azure.com", "management.core.windows.net"}),
    "run history": ("/history/v1.0", "/experiments/one", {"management.azure.com", "management.core.windows.net", "ml"}),
    "model management": ("/modelmanagement/v1.0", "/models", {"management.azure.com", "management.core.windows.net", "ml"}),
    "pipelines": ("/pipelines/v1.0", "/Pipelines", {"management.azure.com", "management.core.windows.net", "ml"}),
}


@pytest.mark.parametrize("service", SERVICES)
def test_the_audience_of_a_service(served: Served, service: str) -> None:
    """A service takes tokens that are meant for it, of all that the token endpoints hand out, and no others."""
    prefix, path, wanted = SERVICES[service]
    served.call("POST", "/history/v1.0", "/experiments/one", json={})
    for name, audience in AUDIENCES.items():
        answer = served.client.get(f"{prefix}{served.workspace.path}{path}", headers=served.bearing(audience))
        assert answer.status_code == (200 if name in wanted else 401), (name, answer.text)


def test_the_audience_of_the_storage(served: Served) -> None:
    """It takes tokens for Azure's storage, or for the very account, and no management token."""
    own = f"https://{served.workspace.account}.blob.core.windows.net"
    for audience in (*AUDIENCES.values(), own, "https://another.blob.core.windows.net"):
        answer = served.blob("GET", "/c?restype=container&comp=list", headers=served.bearing(audience))
        assert answer.status_code == (200 if audience in (AUDIENCES["storage"], own) else 403), (audience, answer.text)


def test_the_managed_identity_wants_the_secret(served: Served) -> None:
    """Its endpoint gives a good token to who knows the instance's secret, by GET and by POST, and nothing to others."""
    path = f"/msi/{served.emulator.secrets.msi}/token"
    for answer in (served.client.post(path, data={"resource": ARM}), served.client.get(path, params={"resource": ARM})):
        assert answer.json()["resource"] == ARM
        tokens.verify(served.emulator, f"Bearer {answer.json()['access_token']}", tokens.MANAGEMENT)
    assert served.client.post("/msi/guess/token", data={"resource": ARM}).status_code == 401


def test_a_service_principal_wants_its_secret(served: Served) -> None:
    """The instance's client secret lets any tenant and client in, with that tenant in the token; a wrong one is a 401."""
    form = {"client_id": "me", "client_secret": served.emulator.secrets.client_secret, "scope": f"{ARM}/.default"}
    granted = served.client.post("/my-tenant/oauth2/v2.0/token", data=form).json()
    assert jwt.decode(granted["access_token"], options={"verify_signature": False})["tid"] == "my-tenant"
    tokens.verify(served.emulator, f"Bearer {granted['access_token']}", tokens.MANAGEMENT)
    refused = served.client.post("/my-tenant/oauth2/v2.0/token", data={**form, "client_secret": "guess"})
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


def test_paths_as_the_sdk_writes_them(served: Served) -> None:
    """Doubled slashes and the native reader's lower-case segments reach the same workspace."""
    path = served.workspace.path
    wanted = served.client.get(path, headers=served.authorization).json()["properties"]["workspaceId"]
    variants = [
        "/" + path,
        path.replace("/resourceGroups/", "/resourcegroups/"),
        path.replace("Microsoft.Machine", "microsoft.machine"),
    ]
    for variant in variants:
        answer = served.client.get(f"{served.emulator.base_url}{variant}", headers=served.authorization)
        assert answer.json()["properties"]["workspaceId"] == wanted


def test_an_unknown_route(served: Served) -> None:
    """It is a 501 that names the path, and the status lists it with its count."""
    for _ in range(2):
        answer = served.call("POST", "/notemulated/v9.0", "/things")
        assert answer.status_code == 501
        assert "/things" in answer.json()["error"]["message"]
    control = {"x-bankmlops-control": served.emulator.secrets.control}
    status = served.client.get("/emulator/status", headers=control).json()
    assert {"route": "POST /notemulated/v9.0{WS}/things", "count": 2} in status["unanswered"]


def test_the_secret_of_a_path_is_not_written_down(served: Served) -> None:
    """An unknown path below the managed-identity endpoint is listed without the secret in it."""
    served.client.get(f"/msi/{served.emulator.secrets.msi}/elsewhere")
    control = {"x-bankmlops-control": served.emulator.secrets.control}
    status = served.client.get("/emulator/status", headers=control).text
    assert "GET /msi/.../elsewhere" in status
    assert served.emulator.secrets.msi not in status


def test_the_control_routes_want_the_secret(served: Served) -> None:
    """Status and faults are for the holder of the control secret; a bearer token is not enough."""
    for headers in ({}, served.authorization, {"x-bankmlops-control": "guess"}):
        assert served.client.get("/emulator/status", headers=headers).status_code == 401


def test_faults(served: Served) -> None:
    """An armed fault answers the next requests of its route in Azure's form, and then the route is as before."""
    control = {"x-bankmlops-control": served.emulator.secrets.control}
    fault = {"route": f"GET {served.workspace.path}", "status": 503, "times": 2}
    assert served.client.post("/emulator/faults", headers=control, json=fault).status_code == 200
    statuses = [served.call("GET", "", "").status_code for _ in range(3)]
    assert statuses == [503, 503, 200]
    assert served.client.post("/emulator/faults", headers=control, json={"status": 1}).status_code == 400


def test_subscriptions_that_it_was_told_of(served: Served) -> None:
    """The list holds the emulator's own, those of workspaces that were asked for, and those it was told of."""
    control = {"x-bankmlops-control": served.emulator.secrets.control}
    served.client.post("/emulator/subscriptions", headers=control, json=["told"])
    _ = served.workspace
    listed = served.client.get("/subscriptions", headers=served.authorization).json()["value"]
    assert {"00000000-0000-0000-0000-000000000000", "told", "sub"} <= {each["subscriptionId"] for each in listed}


def test_a_body_too_large(served: Served) -> None:
    """A JSON document beyond the limit is refused, however it is sent."""
    answer = served.call("POST", "/dataset/v1.0", "/datasets", content=b" " * ((32 << 20) + 1))
    assert answer.status_code == 400
    assert "bytes" in answer.json()["error"]["message"]


def test_secrets_show_nowhere(served: Served) -> None:
    """No repr of the emulator's values has a key in it."""
    text = repr(served.emulator.secrets) + repr(served.workspace)
    secrets = served.emulator.secrets
    for secret in (secrets.msi, secrets.signing_key, secrets.control, secrets.client_secret, served.workspace.account_key):
        assert secret not in text
