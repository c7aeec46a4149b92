// SPDX-License-Identifier: Apache-2.0
// One building: its connection, its keys, its tree, its settings.
import { get, of, post } from "./api.js";
import { Curve } from "./charts.js";
import { Field, act, button, m, pill, poll, say, table } from "./dom.js";
import { Explorer } from "./explorer.js";
import { Kit, legs, stateOf } from "./fleet.js";
import { Keys } from "./keys.js";
import { columns } from "./requests.js";
import { T, reason, since, time } from "./texts.js";

const POLL_MS = 2000;
const LATEST = 20; // requests shown

function eventText(e) {
    if (e.leg === "server") return e.up ? T.building.answering : `${T.building.silent}${e.reason ? `, ${reason(e.reason)}` : ""}`;
    if (e.leg === "relay") return T.building.relayBegan;
    return `${T.legs.tunnel}: ${e.up ? T.building.up : T.building.down}${e.reason ? `, ${reason(e.reason)}` : ""}`;
}

const Connection = {
    oninit({ attrs: { serial } }) {
        this.history = [];
        this.latest = [];
        this.stop = poll(async () => {
            [this.history, this.latest] = await Promise.all([get(of(serial, "/history")), get(`/requests?serial=${encodeURIComponent(serial)}`)]);
        }, POLL_MS);
    },
    onremove() { this.stop(); },
    view({ attrs: { server } }) {
        const t = server.tunnel;
        return [
            m("section.panel", [legs(t), t ? m("dl.facts", [
                m("dt", T.building.since), m("dd", `${time(t.tunnel_since)} (${since(t.tunnel_since)})`),
                m("dt", T.building.agent), m("dd", t.agent || T.none), m("dt", T.building.address), m("dd", t.address || T.none),
                m("dt", T.building.connections), m("dd", T.building.sinceStart(t.connections))]) : m("p", T.fleet.never)]),
            m("section.panel", [m("h2", T.building.chart),
                server.calls.some(n => n > 0) ? m(Curve, { calls: server.calls, label: T.building.chart }) : m("p.quiet", T.building.chartNone)]),
            m("section.panel", [m("h2", T.building.commands), this.latest.length === 0 ? m("p.quiet", T.building.commandsNone)
                : table(T.building.commands, columns.filter(c => c.title !== T.requests.building), this.latest.slice(0, LATEST).map(r => ({ key: r.id + r.at, ...r })))]),
            m("section.panel", [m("h2", T.building.history), this.history.length === 0 ? m("p.quiet", T.building.historyNone)
                : m("ol.history", this.history.map(e => m("li", { class: e.leg === "relay" ? "" : e.up ? "good" : "bad" }, [m("span.dot"), m("time", time(e.at)), m("span", [eventText(e), e.left_out ? m("small", T.building.leftOut(e.left_out)) : null])])))]),
        ];
    },
};

const Settings = {
    view({ attrs: { server, reload, onkit } }) {
        const submit = e => {
            e.preventDefault();
            const form = new FormData(e.target);
            act(async () => {
                await post(of(server.serial), { name: form.get("name"), may_enable_keys: form.get("building") === "on",
                    command_rate: Number(form.get("rate") || 0), command_burst: Number(form.get("burst") || 0) });
                say(T.settings.saved);
                await reload();
            });
        };
        const is = server.state === "enabled";
        return [m("form.panel", { onsubmit: submit }, [
            m("h2", T.settings.title),
            m(Field, { label: T.settings.name, input: { name: "name", defaultValue: server.name, maxlength: 128 } }),
            m(Field, { label: T.settings.command, input: { name: "rate", type: "number", min: 0, max: 1000000, defaultValue: server.command_rate || 0 } }),
            m(Field, { label: T.settings.burst, input: { name: "burst", type: "number", min: 0, max: 1000000, defaultValue: server.command_burst || 0 } }),
            m("label.check", m("input[type=checkbox][name=building]", { defaultChecked: server.may_enable_keys }), " ", T.settings.building),
            m("footer", m("button.primary", T.settings.save)),
        ]),
        m("section.panel.rows", [
            m(".row", [m("p", T.settings.tokenHelp), button(T.settings.token, () => confirm(T.settings.tokenSure) && act(async () => onkit(await post(of(server.serial, "/token")))))]),
            m(".row", [m("p", T.settings.disableHelp), button(is ? T.settings.disable : T.settings.enable, () => act(async () => { await post(of(server.serial, is ? "/disable" : "/enable")); await reload(); }))]),
            m(".row", [m("p", T.settings.removeHelp), button(T.settings.remove, () => confirm(T.settings.removeSure(server.serial)) && act(async () => { await post(of(server.serial, "/remove")); m.route.set("/buildings"); }), { class: "danger" })]),
        ])];
    },
};

const TABS = [["connection", T.building.connection, Connection], ["keys", T.building.keys, Keys], ["kit", T.building.kit, Explorer], ["settings", T.building.settings, Settings]];

export const Building = {
    oninit({ attrs: { serial } }) {
        this.reload = async () => {
            try {
                this.server = await get(of(serial));
            } catch (error) {
                this.gone = error.status === 404;
                throw error;
            }
        };
        this.stop = poll(this.reload, POLL_MS);
    },
    onremove() { this.stop(); },
    view({ attrs: { serial, tab = "connection" } }) {
        const server = this.server;
        if (this.gone) return m("p.empty", T.building.gone);
        if (!server) return m("p.quiet", T.loading);
        const [kind, word, why] = stateOf(server);
        const [name, , Page] = TABS.find(([t]) => t === tab) || TABS[0];
        return m("div", [
            m(".title", [m("h1", server.name || serial), server.name ? m("span.quiet", serial) : null, pill(kind, word), why ? m("span.quiet", why) : null]),
            m("nav.tabs", { "aria-label": T.building.tabs }, TABS.map(([t, text]) =>
                m("a", { href: `#!/building/${serial}/${t}`, "aria-current": t === name ? "page" : undefined }, text))),
            m("div", [m(Page, { key: name, serial, server, reload: this.reload, onkit: kit => { this.kit = kit; } })]),
            this.kit ? m(Kit, { kit: this.kit, onclose: () => { this.kit = null; } }) : null,
        ]);
    },
};
