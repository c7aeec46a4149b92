// SPDX-License-Identifier: Apache-2.0
// The agent's pages, in the building: the Integration Kit of this one server, its keys, which leg is
// broken.
import { get, post, session } from "./api.js";
import { Field, act, button, m, pill, poll, table } from "./dom.js";
import { Explorer } from "./explorer.js";
import { KINDS, Made } from "./keys.js";
import { T, time } from "./texts.js";

const POLL_MS = 2000;

const Kit = { view: () => m("div", [m(".title", [m("h1", T.kit.title), m("span.quiet", session.serial)]), m(Explorer, { serial: session.serial, local: true })]) };

const SiteKeys = {
    oninit() {
        this.reload = async () => { this.keys = (await get("/keys")).reverse(); };
        act(this.reload);
    },
    view() {
        const submit = e => {
            e.preventDefault();
            const label = new FormData(e.target).get("label");
            act(async () => { this.made = await post("/keys", { label }); await this.reload(); });
        };
        return m("section.panel", [
            m("h1", T.keys.title),
            m("form.filters", { onsubmit: submit }, [m(Field, { label: T.keys.label, help: T.keys.labelHelp, input: { name: "label", maxlength: 128 } }), m("button.primary", T.keys.enable)]),
            !this.keys || this.keys.length === 0 ? m("p.quiet", T.keys.none) : table(T.keys.title, [
                { title: T.keys.id, class: "first", cell: k => k.id }, { title: T.keys.label, cell: k => k.label || T.none },
                { title: T.keys.state, cell: k => pill(KINDS[k.state], T.keys.states[k.state]) },
                { title: T.keys.used, cell: k => k.last_used_at ? time(k.last_used_at) : T.keys.never },
                { title: T.keys.actions, cell: k => k.state === "active" ? button(T.keys.revoke, () => confirm(T.keys.revokeSure(k.id)) && act(async () => { await post(`/keys/${k.id}/revoke`); await this.reload(); }), { class: "small danger", "aria-label": `${T.keys.revoke} ${k.id}` }) : null },
            ], this.keys.map(k => ({ key: k.id, ...k }))),
            this.made ? m(Made, { made: this.made, onclose: () => { this.made = null; } }) : null,
        ]);
    },
};

const line = (name, good, state, why) => m("li", { class: good ? "good" : "bad" }, [m("span.dot"), m("strong", name), " ", m("span", state), why ? m("small", ` ${why}`) : null]);

const Connection = {
    oninit() { this.stop = poll(async () => { this.status = await get("/status"); }, POLL_MS); },
    onremove() { this.stop(); },
    view() {
        const s = this.status;
        return m("section.panel", [m("h1", T.site.status), !s ? m("p.quiet", T.loading) : m("ol.history", [
            ...s.relays.map(r => line(r.relay, r.state === "open", r.state, r.last_error)),
            line(s.server.url, s.server.state === "ok", s.server.state, s.server.last_error)])]);
    },
};

const TABS = { kit: Kit, keys: SiteKeys, connection: Connection };

const Site = { view: ({ attrs: { tab } }) => m("div", [m(TABS[tab] || Kit, { key: tab })]) };

export const site = {
    links: [["/site/kit", T.nav.kit], ["/site/keys", T.nav.keys], ["/site/connection", T.nav.connection]],
    pages: { "/site/:tab": Site },
};
