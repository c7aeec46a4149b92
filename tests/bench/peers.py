# SPDX-License-Identifier: Apache-2.0
"""Who is measured. Each peer ends HTTPS on `port` and answers with what the backend says; all its
processes run on one core. The others use the relay's certificate, TLS 1.3, keep-alive on every leg,
as many requests per connection as the relay allows, and write no access log, which is to their
advantage."""

import getpass
import shutil
import subprocess
import time

import many
import ours
from processes import HOST, Process, cores, free_port

ANSWER = '{"result":"ok","guid":"1lzPszHWAEuvzxtXBMkzWQ","value":"true","text":"' + "x" * 49 + '"}'
CERTIFICATE = ("cert.pem", "key.pem", "ca.pem")
REQUESTS_PER_CONNECTION = 10000  # SESSION_REQUESTS_MAX of the relay
UNLIMITED = 1000000000
KEYS_USED_MAX = 200000  # of very many, so many are in use: more than any cache holds
COUNTS = "/nginx-counts"  # path at the backend: how many requests it has answered

NGINX = """
daemon off; worker_processes 1; pid {name}.pid; error_log {name}-error.log; {user}
events {{ worker_connections 9000; }}
http {{
  access_log off; default_type application/json;
  keepalive_requests {per_connection}; keepalive_timeout 60s;
  client_body_temp_path {name}-t1; proxy_temp_path {name}-t2; fastcgi_temp_path {name}-t3;
  uwsgi_temp_path {name}-t4; scgi_temp_path {name}-t5;
  {upstream}
  server {{ listen 127.0.0.1:{port} backlog=4096 {tls}; location / {{ {location} }} {counts} }}
}}
"""
TLS = "ssl; ssl_protocols TLSv1.3; ssl_certificate cert.pem; ssl_certificate_key key.pem"
# A proxy_set_header inside a location would cancel what is inherited; they all stand there.
UPSTREAM = (
    "upstream next {{ server 127.0.0.1:{next_port}; keepalive 1024; keepalive_requests 1000000000; }}"
)
PROXY = (
    'proxy_pass {scheme}://next; proxy_http_version 1.1; proxy_set_header Connection "";'
    " proxy_ssl_protocols TLSv1.3;"
)

HAPROXY = """
global
  nbthread 1
  maxconn 8000
  ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen hop
  bind 127.0.0.1:{port} {tls}
  server next 127.0.0.1:{next_port} {next_tls}
"""

SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/ssh_host
AuthorizedKeysFile {folder}/ssh_user.pub
StrictModes no
UsePAM no
PidFile none
PermitRootLogin yes
"""


def nginx(name, folder, core, port, tls, next_port=None, scheme="http"):
    location, upstream = f"return 200 '{ANSWER}';", ""
    if next_port is not None:
        location, upstream = PROXY.format(scheme=scheme), UPSTREAM.format(next_port=next_port)
    text = NGINX.format(
        name=name,
        port=port,
        tls=TLS if tls else "",
        upstream=upstream,
        counts="" if next_port else f"location = {COUNTS} {{ stub_status; }}",
        location=location,
        user="user root;" if getpass.getuser() == "root" else "",
        per_connection=REQUESTS_PER_CONNECTION if tls else UNLIMITED,
    )
    conf = folder / f"{name}.conf"
    conf.write_text(text)
    process = Process(name, core, folder, "nginx", "-p", folder, "-c", conf, "-e", "stderr")
    process.wait_port(port)
    return process


class Peer:
    """`label` for the tables; `processes` while it runs."""

    label = ""
    paths = None  # a file of those that wrk calls at random in turns, if there is more than one

    def __init__(self, folder, core, backend):
        self.folder, self.core, self.backend = folder, core, backend
        self.port = free_port()
        self.processes = []

    def start(self):
        raise NotImplementedError

    def stop(self):
        for process in reversed(self.processes):
            process.stop()
        self.processes = []

    def rss_kb(self):
        return sum(process.rss_kb() for process in self.processes)


class Nginx1(Peer):
    label = "nginx, 1 hop"

    def start(self):
        self.processes = [nginx("nginx-a", self.folder, self.core, self.port, True, self.backend)]


class Nginx2(Peer):
    label = "nginx, 2 hops"

    def start(self):
        middle = free_port()
        far = nginx("nginx-far", self.folder, self.core, middle, True, self.backend)
        near = nginx("nginx-near", self.folder, self.core, self.port, True, middle, "https")
        self.processes = [near, far]


class Haproxy2(Peer):
    label = "haproxy, 2 hops"

    def start(self):
        middle = free_port()
        pair = self.folder / "pair.pem"
        pair.touch(mode=0o600)
        pair.write_text((self.folder / "cert.pem").read_text())
        pair.write_text(pair.read_text() + (self.folder / "key.pem").read_text())
        tls = f"ssl crt {pair}"
        far = self._hop("haproxy-far", middle, self.backend, tls, "")
        near = self._hop("haproxy-near", self.port, middle, tls, "ssl verify none")
        self.processes = [near, far]

    def _hop(self, name, port, next_port, tls, next_tls):
        conf = self.folder / f"{name}.conf"
        conf.write_text(HAPROXY.format(port=port, tls=tls, next_port=next_port, next_tls=next_tls))
        process = Process(name, self.core, self.folder, "haproxy", "-db", "-f", conf)
        process.wait_port(port)
        return process


class Ssh(Peer):
    label = "nginx + ssh -R"

    def start(self):
        far_end, ssh_port = free_port(), free_port()
        for name in ("ssh_host", "ssh_user"):
            make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name]
            subprocess.run(make, check=True)
        conf = self.folder / "sshd.conf"
        conf.write_text(SSHD.format(port=ssh_port, folder=self.folder))
        if getpass.getuser() == "root":
            subprocess.run(["mkdir", "-p", "/run/sshd"], check=True)
        sshd = Process("sshd", self.core, self.folder, "/usr/sbin/sshd", "-D", "-e", "-f", conf)
        sshd.wait_port(ssh_port)
        forward = f"{HOST}:{far_end}:{HOST}:{self.backend}"
        options = ["-N", "-F", "none", "-i", self.folder / "ssh_user", "-p", ssh_port]
        options += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        options += ["-o", "ExitOnForwardFailure=yes", "-R", forward]
        user = f"{getpass.getuser()}@{HOST}"
        ssh = Process("ssh", self.core, self.folder, "ssh", *options, user)
        ssh.wait_port(far_end)
        near = nginx("nginx-ssh", self.folder, self.core, self.port, True, far_end)
        self.processes = [near, sshd, ssh]


class Ours(Peer):
    label = "relay + agent"
    log_level = "info"
    workers = 1
    build = ours.BUILD

    def __init__(self, folder, core, backend):
        super().__init__(folder, core, backend)
        self.home = folder / type(self).__name__
        self.port = None

    def start(self):
        self.port = ours.prepare_relay(self.home, self.build)
        for name in CERTIFICATE:
            shutil.copy(self.folder / name, self.home / name)
        ours.configure(self.home, "relay", log_level=self.log_level, workers=self.workers)
        self.prepare()
        started = time.monotonic()
        relay = ours.start_relay(self.home, self.core, self.port, self.build)
        self.start_s = time.monotonic() - started
        agent = ours.start_agent(self.home, self.core, self.port, self.backend, self.build)
        self.processes = [relay, agent]

    def prepare(self):
        """Of what else the relay is to begin with."""

    def target(self):
        return ours.target(self.home)


class OursWithoutLog(Ours):
    label = "relay + agent, no log"
    log_level = "warn"


def of_builds(folders):
    """Relay and agent of each build. The same one may be there twice: what differs then is noise."""
    labels = [f"{i}: {folder}" for i, folder in enumerate(folders, 1)]
    return {
        label: type(f"Build{i}", (Ours,), {"label": label, "build": folder.resolve()})
        for i, (label, folder) in enumerate(zip(labels, folders))
    }


class ManyKeys(Ours):
    """Each request takes one of them at random."""

    n_keys = 0

    def prepare(self):
        used = many.add_keys(self.home, self.n_keys, min(self.n_keys, KEYS_USED_MAX))
        self.paths = self.home / "paths"
        self.paths.write_text("".join(f"/{key}{ours.CALL}\n" for key in used))


def of_keys(counts):
    """Relays with so many keys each."""
    labels = [f"{i}: {n} keys" for i, n in enumerate(counts, 1)]
    return {
        label: type(f"Keys{i}", (ManyKeys,), {"label": label, "n_keys": n})
        for i, (label, n) in enumerate(zip(labels, counts))
    }


class OneWorker(Ours):
    """Not pinned: relay, agent, load and backend share two cores, as on a small machine."""

    label = "relay + agent, 1 worker, 2 cores"

    def __init__(self, folder, core, backend):
        super().__init__(folder, ",".join(map(str, cores())), backend)


class TwoWorkers(OneWorker):
    label = "relay + agent, 2 workers, 2 cores"
    workers = 2


ALL = {
    "nginx1": Nginx1,
    "nginx2": Nginx2,
    "haproxy2": Haproxy2,
    "ssh": Ssh,
    "ours": Ours,
    "ours-nolog": OursWithoutLog,
    "workers-1": OneWorker,
    "workers-2": TwoWorkers,
}
USUAL = list(ALL)[:6]
