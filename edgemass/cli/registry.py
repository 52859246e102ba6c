"""`edgemass registry serve`: a folder of models and its trust metadata, for devices to fetch from."""

from __future__ import annotations

import argparse
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgemass.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from edgemass.registry.layout import Layout

_MOST_CONNECTIONS = 2048
_MOST_EXAMPLES = 10

EPILOG = """\
DIR is a folder in OCI image layout, as `edgemass model push BUNDLE DIR` makes it; DIR/trust holds what `edgemass trust`
signs. Both are served from one process. Other registries (docker-registry, Harbor, ghcr.io, ...) do as well for models.

example: edgemass registry serve registry --listen 0.0.0.0:5000 --tls-cert server.pem --tls-key server.key
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    registry = verbs.add_parser(
        "registry", help="serve models to devices", epilog="example: edgemass registry serve registry"
    )
    actions = registry.add_subparsers(dest="action", required=True, metavar="ACTION")
    parser = actions.add_parser("serve", help="serve a folder of models and its trust metadata", epilog=EPILOG)
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="a folder in OCI image layout")
    add("--listen", default="127.0.0.1:5000", metavar="HOST:PORT", help="where (default: 127.0.0.1:5000)")
    add("--tls-cert", type=Path, metavar="PEM", help="certificate chain of the server")
    add("--tls-key", type=Path, metavar="PEM", help="its private key")
    add("--user", metavar="NAME", help="who may fetch, with --password-file (default: anybody)")
    add("--password-file", type=Path, metavar="FILE", help="holds the password of --user")
    add("--writable", action="store_true", help="take pushes too: of --user, or without one from this machine")
    parser.set_defaults(call=call_serve)


def call_serve(options: argparse.Namespace) -> int:
    from edgemass.registry.layout import Layout
    from edgemass.registry.server import Login, application

    try:
        import uvicorn
    except ImportError as error:
        raise ConfigError("serving a registry needs uvicorn: pip install 'edgemass[http]'") from error
    layout = Layout(options.folder)
    if options.writable:
        layout.create()
    layout.index()  # that it is one
    host, port = _address(options.listen)
    _check_certificate(options)
    login = _login(options)
    _allow_many_files()
    with _socket(host, port) as listening:
        listening.listen(1024)  # from here on, whoever comes waits
        where = f"{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
        _tell(options, layout, where)
        server = uvicorn.Server(
            uvicorn.Config(
                application(options.folder, writable=options.writable, login=Login(*login)),
                log_level="warning",
                access_log=False,
                server_header=False,
                date_header=False,
                lifespan="on",
                ssl_certfile=options.tls_cert,
                ssl_keyfile=options.tls_key,
                limit_concurrency=_MOST_CONNECTIONS,
                backlog=1024,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=5,
            )
        )
        server.run(sockets=[listening])
    return 0


def _allow_many_files() -> None:
    """Each device takes two; what a shell allows is often 1024."""
    import resource

    least = 2 * _MOST_CONNECTIONS + 64
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = least if hard == resource.RLIM_INFINITY else min(hard, least)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _tell(options: argparse.Namespace, layout: Layout, where: str) -> None:
    """Where it serves, and what to type on a device."""
    scheme, oci_scheme = ("https", "oci") if options.tls_cert else ("http", "oci+http")
    print(f"serving {options.folder} at {scheme}://{where}, trust metadata at {scheme}://{where}/trust/")
    for name in layout.names()[:_MOST_EXAMPLES]:
        print(f"  edgemass model pull {oci_scheme}://{where}/{name}")
    if options.writable:
        print(f"  edgemass model push BUNDLE {oci_scheme}://{where}/NAME:TAG")
    if options.user and not options.tls_cert and not where.startswith(("127.", "localhost:", "[::1]")):
        print("without --tls-cert the password goes over the network as it is")
    sys.stdout.flush()


def _check_certificate(options: argparse.Namespace) -> None:
    """Raises UsageError: it cannot be used."""
    import ssl

    if options.tls_cert is None and options.tls_key is None:
        return
    if options.tls_cert is None or options.tls_key is None:
        raise UsageError("--tls-cert and --tls-key belong together")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(options.tls_cert, options.tls_key, password="")
    except OSError as error:
        raise UsageError(
            f"--tls-cert {options.tls_cert}, --tls-key {options.tls_key}: no certificate with its key as PEM ({error})"
        ) from error


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--listen {text!r}: wanted HOST:PORT, such as 127.0.0.1:5000")
    return host.strip("[]"), int(port)


def _socket(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        raise UsageError(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --listen") from error
    return listening


def _login(options: argparse.Namespace) -> tuple[str, str]:
    if options.user is None and options.password_file is None:
        return "", ""
    if options.user is None or options.password_file is None:
        raise UsageError("--user and --password-file belong together")
    try:
        password = options.password_file.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {options.password_file}: {error}") from error
    if not password or ":" in options.user:
        raise UsageError(f"wanted a --user without a colon, and a password in {options.password_file}; it is empty?")
    return options.user, password
