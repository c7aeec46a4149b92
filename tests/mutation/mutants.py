# SPDX-License-Identifier: Apache-2.0
"""The mutants: each breaks one promise on purpose, by one replacement in one file, or a few.

`old` must stand in the file exactly once; when the code has moved on, the run fails until the mutant
is brought up to date. `tests` are those that must notice: unit tests by CTest's name, others as
"file::expression" for pytest -k in tests/blackbox."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Mutant:
    name: str
    breaks: str  # the promise
    file: str
    old: str
    new: str
    tests: tuple
    also: tuple = ()  # further (file, old, new)

    @property
    def replacements(self):
        return ((self.file, self.old, self.new), *self.also)


MUTANTS = (
    Mutant(
        "resend-on-reconnect",
        "1: a request that may have left is not sent to another tunnel",
        "relay/front/exchange_answer.c",
        "reason == HEAD_RESET_TUNNEL_LOST && delivered == HEAD_DELIVERED_NO;",
        "reason == HEAD_RESET_TUNNEL_LOST;",
        ("test_tunnel_life.py::killed_agent_is_offline",),
    ),
    Mutant(
        "agent-repeats-commands",
        "1: the agent repeats nothing but what only reads",
        "agent/upstream/exchange.c",
        "return c->call->reads && c->is_reused",
        "return c->is_reused",
        ("unit/upstream/lifetime", "unit/upstream/upstream", "unit/upstream/connection"),
    ),
    Mutant(
        "delivered-no-for-unknown",
        "1: `delivered: false` is said only of what never left",
        "proto/wire/mux_serve.c",
        "return s->stage == MUX_STAGE_OPEN ? HEAD_DELIVERED_UNKNOWN : HEAD_DELIVERED_YES;",
        "return s->stage == MUX_STAGE_OPEN ? HEAD_DELIVERED_NO : HEAD_DELIVERED_YES;",
        ("unit/wire/mux", "unit/wire/mux_cut", "unit/wire/mux_model", "unit/wire/conformance"),
    ),
    Mutant(
        "reused-stream-id",
        "1: a stream's id is used once",
        "proto/wire/mux_serve.c",
        "if (h->stream == 0 || h->stream <= m->last_on_wire) {",
        "if (h->stream == 0) {",
        ("unit/wire/conformance", "unit/wire/mux_fault"),
    ),
    Mutant(
        "no-answer-deadline",
        "2: every request is answered within its deadline",
        "relay/front/exchange.c",
        "    wheel_set(&x->worker->wheel, &x->deadline, x->answer_by_ms);\n}\n\nvoid exchange_unpark",
        "}\n\nvoid exchange_unpark",
        ("test_tunnel_life.py::no_late_answer_reaches",),
    ),
    Mutant(
        "lost-stream-untold",
        "2: a lost tunnel answers its requests at once",
        "proto/wire/mux_serve.c",
        "    if (m->events.on_reset != NULL) {",
        "    if (m->events.on_reset != NULL && reason != HEAD_RESET_TUNNEL_LOST) {",
        ("unit/wire/mux", "unit/wire/mux_model"),
    ),
    Mutant(
        "half-a-text",
        "2: an answer for which there is no memory is told as that, not sent by half",
        "proto/json/json_text.c",
        "    now.failed = true;\n    return first",
        "    return first",
        ("unit/json/json_text",),
    ),
    Mutant(
        "no-generation-fence",
        "3: a late message finds nothing, not another's exchange",
        "relay/front/exchange_table.c",
        "if (index >= t->n_slots || t->slots[index].ref != ref) {",
        "if (index >= t->n_slots) {",
        ("unit/relay/exchange_table",),
    ),
    Mutant(
        "value-ends-a-line",
        "3: no value of a building can begin a second answer",
        "proto/wire/head_check.c",
        "return text_run(value) == value.len || charset_covers(&CHARSET_FIELD_VALUE, value);",
        "return value.p != NULL || text_run(value) == value.len;",
        ("unit/wire/head", "unit/wire/conformance"),
    ),
    Mutant(
        "two-hosts",
        "3: what a request is for is said once",
        "proto/http/request_head.c",
        'if (count_field(r, span_of("Host"), &host) != 1 ||',
        'if (count_field(r, span_of("Host"), &host) < 1 ||',
        ("unit/http/request", "test_call.py::malformed_request"),
    ),
    Mutant(
        "goes-on-after-the-last-answer",
        "3: what follows a refused request is not read as one",
        "relay/front/session.c",
        "    s->close_after = !keep;",
        "    s->close_after = false;",
        ("test_call.py::malformed_request",),
    ),
    Mutant(
        "any-tunnel",
        "3: a request goes to its own building or to none",
        "relay/tunnel/registry.c",
        "    return e != NULL ? e->tunnel : 0;",
        "    size_t cursor = 0;\n"
        "    while ((e == NULL || e->tunnel == 0) &&\n"
        "           (e = map_next(&r->servers, &cursor)) != NULL) {\n    }\n"
        "    return e != NULL ? e->tunnel : 0;",
        ("test_isolation.py::away",),
    ),
    Mutant(
        "any-token",
        "3: who lacks a building's token cannot stand in for it",
        "relay/store/directory.c",
        "    usable &= secret_equal(entry->server.token_hash, hash, sizeof(hash));",
        "",
        ("unit/store/directory", "test_isolation.py::token"),
    ),
    Mutant(
        "any-key",
        "3: a key is compared whole",
        "relay/store/directory_entry.c",
        "directory_entry_prefix(key) &&\n           secret_equal(entry->hash, key, sizeof(entry->hash));",
        "directory_entry_prefix(key);",
        ("unit/store/directory",),
    ),
    Mutant(
        "ignored-window-in",
        "4: a peer sends no more than its credit",
        "proto/wire/mux_serve.c",
        "if (len > m->recv_credit || (s != NULL && len > s->recv_credit)) {",
        "if (false) {",
        ("unit/wire/conformance", "unit/wire/mux_flow", "unit/wire/mux_fault"),
    ),
    Mutant(
        "ignored-window-out",
        "4: we send no more than our credit",
        "proto/wire/mux_pull.c",
        "size_t len = min_size(s->queue.len, min_size(s->send_credit, m->send_credit));",
        "size_t len = min_size(s->queue.len, m->send_credit);",
        ("unit/wire/mux_flow", "unit/wire/mux_model"),
    ),
    Mutant(
        "no-flood-limit",
        "4: frames that cost the peer nothing are limited",
        "proto/wire/mux_recv.c",
        "return mux_fail(m, MUX_FAULT_FLOOD);\n    }\n    return 0;\n}\n\n/* The peer's name",
        "return 0;\n    }\n    return 0;\n}\n\n/* The peer's name",
        ("unit/wire/mux_limit", "unit/wire/mux_fault"),
    ),
    Mutant(
        "message-without-a-limit",
        "4: a websocket message has a maximum",
        "proto/websocket/websocket.c",
        "if (f->payload_length > WEBSOCKET_MESSAGE_BYTES_MAX - w->message_bytes) {",
        "if (false) {",
        ("unit/websocket/receive", "unit/websocket/control"),
    ),
    Mutant(
        "unmasked-frames",
        "4: a client's frames are masked (RFC 6455 5.1)",
        "proto/websocket/websocket.c",
        "if ((f->mask != 0) != must_be_masked || f->rsv != 0) {",
        "if ((f->mask != 0 && !must_be_masked) || f->rsv != 0) {",
        ("unit/websocket/receive",),
    ),
    Mutant(
        "slow-poll",
        "5: a change by another process counts within 0.5 s",
        "relay/store/store.h",
        "#define STORE_POLL_MS 100",
        "#define STORE_POLL_MS 1000",
        ("unit/store/store", "test_front_keys.py::revoked_key"),
    ),
    Mutant(
        "disabled-server-serves",
        "5: a disabled server's keys are refused",
        "relay/store/directory.c",
        "usable &= entry->key.enabled & owner->server.enabled & in_time(&entry->key, now_s);",
        "usable &= entry->key.enabled & in_time(&entry->key, now_s);",
        ("unit/store/directory", "unit/store/store"),
    ),
    Mutant(
        "key-kept-for-ever",
        "5: what is found of a key lasts for a turn of the loop",
        "relay/store/directory.c",
        "    r->key = NULL;\n    r->owner = NULL;\n    grace_leave(&r->grace);",
        "    grace_leave(&r->grace);",
        ("unit/store/directory",),
    ),
    Mutant(
        "reset-is-an-end",
        "2: half an answer is never passed off as a whole one",
        "agent/upstream/exchange.c",
        "end_of_connection(c, n == 0 && !c->is_broken);",
        "end_of_connection(c, n == 0);",
        ("unit/upstream/deadline",),
    ),
    Mutant(
        "expired-keys",
        "5: a key ends at its time",
        "relay/store/directory.c",
        "return (key->not_after_s == 0) | (now_s < key->not_after_s);",
        "return key->id != 0 || now_s > 0;",
        ("unit/store/directory",),
    ),
    Mutant(
        "unlogged-transaction",
        "6: what a command has confirmed survives",
        "relay/store/database.c",
        'COMMIT[] = "COMMIT";',
        'COMMIT[] = "ROLLBACK";',
        ("unit/store/keys", "unit/store/database"),
    ),
    Mutant(
        "late-commit",
        "6: what a command prints is committed by then",
        "relay/store/audit.c",
        "        return database_end(db, rc, e);",
        "        return rc != 0 ? database_end(db, rc, e) : 0;",
        ("test_keys_store.py::every_key_that_was_printed",),
        (
            (
                "relay/admin/console.c",
                "    database_close(o->db);\n    relay_config_free(&o->config);\n    o->db = NULL;",
                "    struct error_text e;\n    (void)database_commit(o->db, &e);\n"
                "    database_close(o->db);\n    relay_config_free(&o->config);\n    o->db = NULL;",
            ),
        ),
    ),
    Mutant(
        "key-in-the-log",
        "7: no key in a log",
        "relay/front/access.c",
        'log_put_span(&l, "controller", controller_of(s))',
        'log_put_span(&l, "controller", parsed ? request->path : (struct span){NULL, 0})',
        ("test_call.py::callers_credentials",),
    ),
    Mutant(
        "any-certificate",
        "7: the token goes to the right relay only",
        "agent/tunnel/trust.c",
        "(t->pins_only || verify_chain(t, store)) && (t->n_pins == 0 || match_pins(t, store));",
        "(t->pins_only || verify_chain(t, store) || true) &&"
        " (t->n_pins == 0 || match_pins(t, store));",
        ("unit/agent/trust",),
    ),
    Mutant(
        "scope-takes-the-first",
        "scope: a parameter given twice decides nothing",
        "relay/store/scope.c",
        "        }\n    }\n    return n == 1;\n}",
        "        }\n    }\n    return n >= 1;\n}",
        ("unit/store/scope",),
    ),
    Mutant(
        "slow-readers-in-the-way",
        "slow readers: their answers take no connection from others",
        "agent/upstream/pool.c",
        "return u->n_open - (n_paused < u->max_paused ? n_paused : u->max_paused);",
        "return u->n_open - (n_paused < u->max_paused ? 0 * n_paused : 0 * u->max_paused);",
        ("unit/upstream/paused",),
    ),
    Mutant(
        "waits-that-grow",
        "3 s: who has reached nobody does not wait longer and longer",
        "agent/tunnel/retry.c",
        "return unreachable_ms(random);",
        "return unreachable_ms(random) + next_ms(r, random);",
        ("unit/agent/retry",),
    ),
    Mutant(
        "one-round-only",
        "3 s: all addresses are tried again while nobody answers",
        "agent/tunnel/race.c",
        "        r->resting = false;\n        r->next = 0;",
        "        r->resting = false;",
        ("unit/agent/race",),
    ),
    Mutant(
        "patience-with-dns",
        "3 s: a resolver that hangs is not waited for",
        "agent/tunnel/race.c",
        "if (rc == 0 && n_known > 0) {",
        "if (rc == 0 && n_known > LOOKUP_ADDRESSES_MAX) {",
        ("unit/agent/race",),
    ),
    Mutant(
        "silence-is-nothing",
        "3 s: a line that is silent gets a new tunnel",
        "agent/tunnel/tunnel.c",
        "    t->silent = silent_in_ms == 0;",
        "    t->silent = false;",
        ("test_tunnel_silence.py::router_forgot",),
    ),
    Mutant(
        "takes-itself-for-another",
        "3 s: an agent that replaced its own tunnel does not stay away",
        "agent/tunnel/dialer_tunnels.c",
        "class == RETRY_REPLACED && leg->rivalled",
        "class == RETRY_REPLACED && leg == NULL",
        ("test_tunnel_silence.py::replaced_itself",),
    ),
    Mutant(
        "replaced-is-cut",
        "2: a silent tunnel that is replaced still gives its answers",
        "relay/tunnel/tunnel_events.c",
        "} else if (!t->replaced) {",
        "} else {",
        ("test_tunnel_silence.py::long_command",),
    ),
    Mutant(
        "half-a-context",
        "3 s: TLS that lacks what did not fit into memory is not used",
        "proto/io/crypto.c",
        "        failed = true;",
        "        failed = false;",
        ("unit/agent/trust",),
    ),
    Mutant(
        "gathered-and-forgotten",
        "2: a request or an answer never waits for others that may not come",
        "relay/worker.c",
        "        uv_idle_start(&w->again, on_again); /* fails only without a callback */",
        "",
        ("test_gathering.py::quick",),
        also=(
            (
                "agent/tunnel/link_set.c",
                "    (void)uv_idle_start(&l->set->again, on_again); /* fails only without a callback */",
                "    (void)l, (void)on_again;",
            ),
        ),
    ),
    Mutant(
        "relay-never-sleeps",
        "idle: who waits uses no processor",
        "relay/worker.c",
        "        uv_idle_stop(&w->again);",
        "        (void)0;",
        ("test_gathering.py::quick",),
    ),
    Mutant(
        "agent-never-sleeps",
        "idle: who waits uses no processor",
        "agent/tunnel/link_set.c",
        "    (void)uv_idle_stop(&s->again);",
        "",
        ("test_gathering.py::quick",),
    ),
)
