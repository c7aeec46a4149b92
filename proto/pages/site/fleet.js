// SPDX-License-Identifier: Apache-2.0
// All buildings: which is up, since when, which leg is broken.
import { get, post } from "./api.js";
import { Curve } from "./charts.js";
import { Dialog, Field, act, button, check, copyButton, m, pill, poll, save, table } from "./dom.js";
import { T, ms, reason, since } from "./texts.js";

const POLL_MS = 2000;
const PAGE = 50; // rows drawn at once

// What is the matter with a building: [kind of pill, word, reason].
export function stateOf(server) {
    const t = server.tunnel;
    if (server.state === "disabled") return ["off", T.fleet.disabled, ""];
    if (!t) return ["off", T.fleet.never, ""];
    if (!t.tunnel_up) return ["bad", T.fleet.offline, reason(t.tunnel_reason)];
    if (t.server_leg === "broken") return ["bad", T.fleet.offline, reason(t.server_reason)];
    return t.online ? ["good", T.fleet.online, ""] : ["warn", T.fleet.untested, ""];
}

const leg = (name, state, text) =>
    m("span.leg", { class: state, title: `${name}: ${text}` }, [m("span.dot"), name, m("span.hidden", `: ${text}`)]);
export function legs(tunnel) {
    if (!tunnel) return T.none;
    const up = tunnel.tunnel_up;
    return m(".legs", [
        leg(T.legs.tunnel, up ? "good" : "bad", up ? T.legs.ok : `${T.legs.broken}, ${reason(tunnel.tunnel_reason)}`),
        leg(T.legs.server, { ok: "good", broken: "bad", unknown: "off" }[tunnel.server_leg],
            T.legs[tunnel.server_leg] + (tunnel.server_reason ? `, ${reason(tunnel.server_reason)}` : "")),
    ]);
}
// The leg that all buildings share, in a line.
function callers(relay) {
    const rtt = relay.client_rtt_samples > 0 ? ms(relay.client_rtt_us) : T.callers.rttNone;
    const call = relay.last_call ? T.callers.last(since(relay.last_call)) : T.callers.lastNone;
    return m("p.callers", [leg(T.legs.client, { ok: "good", broken: "bad", draining: "warn" }[relay.client_leg], T.legs[relay.client_leg]),
        m("span.quiet", `${T.callers.since(T.legs[relay.client_leg], since(relay.client_since))}, ${T.callers.rtt} ${rtt}, ${call}`)]);
}
const sum = calls => calls.reduce((a, b) => a + b, 0);

// The files of a new agent, shown once.
export const Kit = {
    view({ attrs: { kit, onclose } }) {
        const files = [["agent.conf", kit.agent_conf], ["agent.token", kit.token + "\n"]];
        if (kit.ca_pem) files.push(["ca.pem", kit.ca_pem]);
        return m(Dialog, { title: T.add.made(kit.serial), onclose, wide: true }, [
            m("p", T.add.hint),
            files.map(([name, text]) => m("section.file", { key: name }, [
                m("h3", name),
                m(".actions", [copyButton(text, T.copy, { "aria-label": `${T.copy} ${name}` }),
                    button(T.download, () => save(name, text), { class: "small", "aria-label": `${T.download} ${name}` })]),
                m("pre", { tabindex: 0, "aria-label": name, "data-file": name }, text),
                name === "agent.token" ? m("small", T.add.once) : null,
            ])),
            m("footer", button(T.done, onclose, { class: "primary" })),
        ]);
    },
};

const AddBuilding = {
    view({ attrs: { onclose, onmade } }) {
        const submit = e => {
            e.preventDefault();
            const form = new FormData(e.target);
            act(async () => onmade(await post("/servers", { serial: form.get("serial"), name: form.get("name") })));
        };
        return m(Dialog, { title: T.add.title, onclose }, m("form", { onsubmit: submit }, [
            m(Field, { label: T.add.serial, help: T.add.serialHelp,
                input: { name: "serial", required: true, pattern: "[A-Za-z0-9._\\-]{1,64}", autofocus: true, autocomplete: "off", spellcheck: false } }),
            m(Field, { label: T.add.name, input: { name: "name", maxlength: 128, autocomplete: "off" } }),
            m("footer", [button(T.cancel, onclose), m("button.primary", T.add.button)]),
        ]));
    },
};

export const Fleet = {
    oninit() {
        this.servers = null;
        this.search = "";
        this.trouble = false;
        this.shown = PAGE;
        this.dialog = null;
        this.stop = poll(async () => { [this.servers, this.relay] = await Promise.all([get("/servers"), get("/relay")]); }, POLL_MS);
    },
    onremove() { this.stop(); },

    wanted() {
        const words = this.search.toLowerCase();
        return this.servers.filter(s => (!words || `${s.serial} ${s.name}`.toLowerCase().includes(words)) &&
            (!this.trouble || stateOf(s)[0] !== "good"));
    },
    rows(servers) {
        return table(T.fleet.title, [
            { title: T.fleet.building, class: "first", cell: s => m("a", { href: `#!/building/${s.serial}` }, [m("strong", s.name || s.serial), s.name ? m("small", s.serial) : null]) },
            { title: T.fleet.state, cell: s => { const [kind, word, why] = stateOf(s); return [pill(kind, word), why ? m("small", why) : null]; } },
            { title: T.fleet.legs, cell: s => legs(s.tunnel) },
            { title: T.fleet.since, cell: s => s.tunnel ? since(s.tunnel.tunnel_since) : T.none },
            { title: T.fleet.rtt, cell: s => s.tunnel ? ms(s.tunnel.agent_rtt_us || s.tunnel.server_us) : T.none },
            { title: T.fleet.calls, class: "chart", cell: s => { const n = sum(s.calls); return [n > 0 ? m(Curve, { calls: s.calls, small: true, label: `${T.fleet.calls}: ${n}` }) : null, m("span", n)]; } },
            { title: T.fleet.keys, cell: s => s.keys },
        ], servers.map(s => ({ key: s.serial, ...s })));
    },
    list() {
        if (!this.servers) return m("p.quiet", T.loading);
        if (performance.getEntriesByName("first-table").length === 0) performance.mark("first-table");
        if (this.servers.length === 0) return m("p.empty", T.fleet.empty);
        const wanted = this.wanted();
        if (wanted.length === 0) return m("p.empty", T.fleet.nothing);
        return [this.rows(wanted.slice(0, this.shown)),
            wanted.length > this.shown ? button(T.more, () => { this.shown += PAGE; }) : null];
    },
    view() {
        const all = this.servers || [];
        const online = all.filter(s => stateOf(s)[0] === "good").length;
        return m("div", [
            m(".title", [m("h1", T.fleet.title), this.servers ? m("span.quiet", T.fleet.counts(online, all.length)) : null,
                button(T.fleet.add, () => { this.dialog = "add"; }, { class: "primary" })]),
            this.relay ? callers(this.relay) : null,
            m(".filters", [
                m("input[type=search]", { "aria-label": T.fleet.search, placeholder: T.fleet.search, value: this.search, oninput: e => { this.search = e.target.value; this.shown = PAGE; } }),
                check(T.fleet.onlyTrouble, this.trouble, on => { this.trouble = on; }),
            ]),
            m("div", [this.list()]),
            this.dialog === "add" ? m(AddBuilding, { onclose: () => { this.dialog = null; }, onmade: kit => { this.dialog = kit; } }) : null,
            this.dialog && this.dialog !== "add" ? m(Kit, { kit: this.dialog, onclose: () => { this.dialog = null; } }) : null,
        ]);
    },
};
