"""Malformed, ambiguous and oversized requests, over raw sockets against the live server."""

import json
import socket

import pytest

from tests.service import Service, codes_path, received

PATH = codes_path(user="malformed")
ADMIN = "X-Role: Group Admin\r\n"
JSON = "Content-Type: application/json\r\n"


def exchange(service: Service, raw: str | bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """Everything answered to these bytes, after which the client has no more to say."""
    with service.connect() as connection:
        connection.sendall(raw if isinstance(raw, bytes) else raw.encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        stream = received(connection)
    answers = []
    while stream:
        head, _, stream = stream.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {n.lower(): v for n, _, v in (line.partition(": ") for line in lines)}
        length = int(headers["content-length"])
        answers.append((int(status.split()[1]), headers, stream[:length]))
        stream = stream[length:]
    return answers


def only(service: Service, raw: str | bytes) -> int:
    """The status of the one answer, which is JSON in the shape of errors if it is one."""
    ((status, headers, body),) = exchange(service, raw)
    if status >= 400:
        assert headers["content-type"] == "application/json"
        error = json.loads(body)
        assert error["code"] == status
        assert error["message"]
    return status


def get(target: str = PATH, headers: str = ADMIN) -> str:
    """A GET with these header lines."""
    return f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"


def post(body: str, headers: str = "", framing: str | None = None) -> str:
    """A POST as a Group Admin."""
    framing = f"Content-Length: {len(body)}\r\n" if framing is None else framing
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    return f"{head}{ADMIN}{JSON}{headers}{framing}\r\n{body}"


@pytest.mark.parametrize(
    "header",
    [
        "SCRIPT_NAME: /x",
        "PATH_INFO: /docs/",
        "X_Role: System Admin",
        "X_Tenant_Id: t",
        "REMOTE_ADDR: ::1",
        f"X_{'Y' * 60}: 1",
    ],
)
def test_header_with_underscore_is_refused(service: Service, header: str) -> None:
    """A header that could pass for a variable of the server, or for another header, is 400.

    The response names the header, cut to 40 characters; the log does not.
    """
    raw = get(headers=f"{ADMIN}{header}\r\n")
    assert only(service, raw) == 400
    ((_, _, body),) = exchange(service, raw)
    name = header.partition(":")[0].upper()[:40]
    assert f"The header {name} is refused" in json.loads(body)["message"]
    assert service.logged(event="refused")
    assert name not in service.log_file.read_text()


@pytest.mark.parametrize("header", ["Script-Name: /x", "Path-Info: /docs/", "X.Role: End User"])
def test_header_of_a_like_name_is_ignored(service: Service, header: str) -> None:
    """A header spelt with hyphens or dots moves no path and gives no role."""
    assert only(service, get(headers=f"{ADMIN}{header}\r\n")) == 200
    assert only(service, get(headers=f"{header}\r\n")) == 401


@pytest.mark.parametrize(
    "headers",
    [
        ADMIN * 2,
        "X-Role: End User\r\nX-Role: System Admin\r\n",
        "X-Role: Group Admin\r\nX-Role: GROUP_ADMIN\r\n",
        "X-Role: Group Admin\x0b\r\n",
        "X-Role: Gr\xf6up Admin\r\n",
        "X-Role: Group\xa0Admin\r\n",
    ],
)
def test_role_that_is_not_exactly_one_is_nobody(service: Service, headers: str) -> None:
    """A doubled role, or one with a stray byte, is 401, or 400 where HTTP itself forbids it."""
    assert only(service, get(headers=headers)) in ((400, 401) if "\x0b" in headers else (401,))


@pytest.mark.parametrize(
    "raw",
    [
        post('{"code": "12"}', framing="Content-Length: 14\r\nTransfer-Encoding: chunked\r\n"),
        post('{"code": "12"}', framing="Content-Length: 14\r\nContent-Length: 15\r\n"),
        post('{"code": "12"}', framing="Content-Length: +14\r\n"),
        post('{"code": "12"}', framing="Content-Length: -1\r\n"),
        post('{"code": "12"}', framing="Content-Length: 0x0e\r\n"),
        post("0\r\n\r\n", framing="Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        get(headers=ADMIN + "Host: y\r\n"),
        get(headers=ADMIN).replace("\r\n", "\n"),
        get(headers=ADMIN + " folded: x\r\n"),
        get(headers="X-Role : Group Admin\r\n"),
        get(headers=ADMIN + "No-Colon\r\n"),
        f"GET {PATH}\r\n\r\n",
        f"GET {PATH} HTTP/9.9\r\nHost: localhost\r\n\r\n",
        f"GE(T {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
        get(target=PATH.replace("malformed", "\x80")),
    ],
)
def test_ambiguous_http_is_refused_and_closed(service: Service, raw: str) -> None:
    """What two servers may read differently is 400, and the connection ends there."""
    ((status, headers, _),) = exchange(service, raw + get())
    assert status == 400
    assert headers["connection"] == "close"


def test_unknown_transfer_coding_is_refused(service: Service) -> None:
    """A transfer coding other than chunked is 501, or 400 where it is not the last."""
    assert only(service, post("", framing="Transfer-Encoding: gzip\r\n")) in (400, 501)
    assert only(service, post("", framing="Transfer-Encoding: chunked, gzip\r\n")) in (400, 501)


@pytest.mark.parametrize(
    "body",
    [
        "zz\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}X\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "5\r\n{}",
        "fffffffffffffffffff\r\n{}",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "",
    ],
)
def test_malformed_chunks_are_refused(service: Service, body: str) -> None:
    """A chunk that is not what it says is 400."""
    assert only(service, post(body, framing="Transfer-Encoding: chunked\r\n")) == 400


def test_short_body_is_refused(service: Service) -> None:
    """A body that ends before its Content-Length is 400, and nothing is stored."""
    assert only(service, post('{"code": "12"}', framing="Content-Length: 50\r\n")) == 400
    assert exchange(service, get())[0][2].strip() == b'{"authCodes":[]}'


def test_oversized_bodies_are_refused(service: Service) -> None:
    """Beyond 16 MiB a body is 413, announced or in chunks, before it is read."""
    assert only(service, post("", framing="Content-Length: 16777217\r\n")) == 413
    assert only(service, post("", framing=f"Content-Length: {'9' * 30}\r\n")) == 413
    chunk = f"{1 << 20:x}\r\n{' ' * (1 << 20)}\r\n"
    chunked = post(chunk * 16 + "1\r\n \r\n0\r\n\r\n", framing="Transfer-Encoding: chunked\r\n")
    assert only(service, chunked) == 413


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (get(PATH + "x" * (8190 - len(f"GET {PATH}/ HTTP/1.1")) + "/"), 404),
        (get(PATH + "x" * 8190), 414),
        (get(headers=ADMIN + f"X-Long: {'x' * 8190}\r\n"), 431),
        (get(headers=ADMIN + "X-Many: x\r\n" * 101), 431),
    ],
)
def test_long_lines_are_refused(service: Service, raw: str, status: int) -> None:
    """A request line of 8,190 bytes fits; a longer one is 414, and too many headers are 431."""
    assert only(service, raw) == status


@pytest.mark.parametrize(
    ("segment", "status"),
    [
        ("a%2Fb", 400),
        ("a%2fb", 400),
        ("%C0%AF", 400),
        ("%FF", 400),
        ("%ED%A0%80", 400),
        ("%E0%80%AF", 400),
        ("%F4%90%80%80", 400),
        ("%00", 404),
        (".", 404),
        ("..", 404),
        ("%2E%2E", 404),
        ("", 404),
        ("x" * 162, 404),
        ("%252F", 200),
        ("%zz", 200),
        ("%F0%9F%98%80", 200),
        ("a#b", 400),
        ("a%23b", 200),
    ],
)
def test_path_is_read_strictly(service: Service, segment: str, status: int) -> None:
    """An id is one segment of valid UTF-8, decoded once."""
    assert only(service, get(PATH.replace("malformed", segment))) == status
    absolute = f"http://x{PATH.replace('malformed', segment)}"
    assert only(service, get(absolute)) == status


def test_query_and_fragment_change_nothing(service: Service) -> None:
    """What follows a question mark is not part of the path."""
    assert only(service, get(PATH + "?x=%2F&y=%ff")) == 200


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"code":' + "9" * 5000 + "}",
        '{"code": "12", "description": "\\ud800"}',
        '{"code": "12", "code": "13"}',
        '{"code": "12\0"}',
        '{"code": "12", "description": "\\u0000"}',
        "\x00",
    ],
)
def test_hostile_json_is_refused(service: Service, body: str) -> None:
    """Deep, long, doubled, half or hidden JSON is 400."""
    assert only(service, post(body)) == 400


def test_what_follows_a_refused_body_is_not_a_request(service: Service) -> None:
    """An unread body is not taken for the next request: the response ends the connection."""
    inner = f"DELETE {PATH} HTTP/1.1\r\nHost: localhost\r\nX-Role: System Admin\r\n\r\n"
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nX-Role: End User\r\n"
    raw = f"{head}Content-Length: {len(inner)}\r\n\r\n{inner}{get()}"
    assert [status for status, *_ in exchange(service, raw)] == [403]


def test_refused_body_that_is_malformed_gets_one_answer(service: Service) -> None:
    """A body that was refused unread, and is malformed, brings no second answer."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nX-Role: End User\r\n"
    raw = f"{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n"
    assert [status for status, *_ in exchange(service, raw)] == [403]


def test_no_answer_is_a_server_error(service: Service) -> None:
    """Whatever came before, the service did not fail once in this process."""
    assert service.logged(event="unexpected_error") == []
    assert not [line for line in service.logged(event="request") if line["status"] >= 500]
