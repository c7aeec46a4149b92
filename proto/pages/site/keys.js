// SPDX-License-Identifier: Apache-2.0
// The keys of one building: enabled, limited, rotated, revoked. A key's text is shown once; this tab
// remembers it for copying calls until it is closed.
import { get, of, post } from "./api.js";
import { Dialog, Field, act, button, copyButton, m, pill, table } from "./dom.js";
import { T, time } from "./texts.js";

// serial → the key made or pasted last; never stored anywhere.
export const known = new Map();

const MASK = "•".repeat(12);
// A secret that is hidden until asked.
export const Secret = {
    oninit() { this.shown = false; },
    view({ attrs: { label, text, masked = MASK } }) {
        return m(".secret", [
            m("span.label", label), m("code", this.shown ? text : masked),
            button(this.shown ? T.keys.hide : T.keys.show, () => { this.shown = !this.shown; }, { class: "small", "aria-label": `${this.shown ? T.keys.hide : T.keys.show}: ${label}` }),
            copyButton(text, T.copy, { "aria-label": `${T.copy} ${label}` }),
        ]);
    },
};

export const Made = {
    view({ attrs: { made, onclose } }) {
        return m(Dialog, { title: T.keys.made, onclose }, [
            m("p.warning", T.keys.once),
            m(Secret, { label: T.keys.key, text: made.key }),
            m(Secret, { label: T.keys.url, text: made.url, masked: made.url.replace(made.key, MASK) }),
            m("footer", button(T.done, onclose, { class: "primary" })),
        ]);
    },
};

const list = text => text.split(",").map(t => t.trim()).filter(t => t);
const LISTS = ["controllers", "guids", "groups", "cidrs"];

function settingsOf(form) {
    const settings = { label: form.get("label"), expires: form.get("expires"), scope: {} };
    for (const name of ["rate", "burst"]) {
        if (form.get(name)) settings[name] = Number(form.get(name));
    }
    if (form.get("readOnly")) settings.scope.read_only = true;
    for (const name of LISTS) {
        if (list(form.get(name)).length > 0) settings.scope[name] = list(form.get(name));
    }
    return settings;
}

const Enable = {
    view({ attrs: { serial, onclose, onmade } }) {
        const submit = e => {
            e.preventDefault();
            const settings = settingsOf(new FormData(e.target));
            act(async () => onmade(await post(of(serial, "/keys"), settings)));
        };
        return m(Dialog, { title: T.keys.enable, onclose }, m("form", { onsubmit: submit }, [
            m(Field, { label: T.keys.label, help: T.keys.labelHelp, input: { name: "label", maxlength: 128, autofocus: true } }),
            m(".pair", [
                m(Field, { label: T.keys.rate, help: T.keys.rateHelp, input: { name: "rate", type: "number", min: 1, max: 1000000 } }),
                m(Field, { label: T.keys.burst, input: { name: "burst", type: "number", min: 1, max: 1000000 } })]),
            m(Field, { label: T.keys.expires, help: T.keys.expiresHelp, input: { name: "expires" } }),
            m("label.check", m("input[type=checkbox][name=readOnly]"), " ", T.keys.readOnly),
            m("details", [m("summary", T.keys.limits), LISTS.map(name => m(Field, { key: name, label: T.keys[name], help: T.keys.listHelp, input: { name, spellcheck: false } }))]),
            m("footer", [button(T.cancel, onclose), m("button.primary", T.keys.enable)]),
        ]));
    },
};

const Rotate = {
    view({ attrs: { id, onclose, onmade } }) {
        const submit = e => {
            e.preventDefault();
            const hours = Number(new FormData(e.target).get("hours"));
            act(async () => onmade(await post(`/keys/${id}/rotate`, { overlap_s: Math.round(hours * 3600) })));
        };
        return m(Dialog, { title: `${T.keys.rotate} ${id}`, onclose }, m("form", { onsubmit: submit }, [
            m(Field, { label: T.keys.overlap, input: { name: "hours", type: "number", min: 0, max: 8760, step: "any", value: 24 } }),
            m("footer", [button(T.cancel, onclose), m("button.primary", T.keys.rotate)]),
        ]));
    },
};

function mayText(key) {
    if (!key.scope) return T.keys.everything;
    return Object.entries(key.scope).map(([name, value]) =>
        m("span.scope", { key: name }, name === "read_only" ? T.keys.readOnly : `${T.keys[name]}: ${value.join(", ")}`));
}
export const KINDS = { active: "good", rotated: "warn", expired: "off", revoked: "off" };

export const Keys = {
    oninit({ attrs: { serial } }) {
        this.keys = null;
        this.dialog = null;
        this.reload = async () => { this.keys = (await get(of(serial, "/keys"))).reverse(); };
        act(this.reload);
    },
    columns() {
        return [
            { title: T.keys.id, class: "first", cell: k => k.id }, { title: T.keys.label, cell: k => k.label || T.none },
            { title: T.keys.state, cell: k => pill(KINDS[k.state], T.keys.states[k.state]) },
            { title: T.keys.limits, cell: k => k.rate ? `${k.rate}/s, ${k.burst}` : T.keys.defaults },
            { title: T.keys.may, cell: mayText },
            { title: T.keys.used, cell: k => k.last_used_at ? time(k.last_used_at) : T.keys.never },
            { title: T.keys.expires, cell: k => k.expires_at ? time(k.expires_at) : T.keys.never },
            { title: T.keys.actions, cell: k => k.state === "active" ? m(".actions", [
                button(T.keys.rotate, () => { this.dialog = { rotate: k.id }; }, { class: "small", "aria-label": `${T.keys.rotate} ${k.id}` }),
                button(T.keys.revoke, () => confirm(T.keys.revokeSure(k.id)) && act(async () => { await post(`/keys/${k.id}/revoke`); await this.reload(); }), { class: "small danger", "aria-label": `${T.keys.revoke} ${k.id}` }),
            ]) : null },
        ];
    },
    dialogs(serial) {
        const onclose = () => { this.dialog = null; };
        const onmade = made => { known.set(serial, made.key); this.dialog = { made }; act(this.reload); };
        if (!this.dialog) return null;
        if (this.dialog.made) return m(Made, { made: this.dialog.made, onclose });
        return this.dialog.rotate ? m(Rotate, { id: this.dialog.rotate, onclose, onmade }) : m(Enable, { serial, onclose, onmade });
    },
    view({ attrs: { serial } }) {
        return m("section.panel", [
            m(".title", [m("h2", T.keys.title), button(T.keys.enable, () => { this.dialog = { enable: true }; }, { class: "primary" })]),
            !this.keys ? m("p.quiet", T.loading) : this.keys.length === 0 ? m("p.empty", T.keys.none)
                : table(T.keys.title, this.columns(), this.keys.map(k => ({ key: k.id, ...k }))),
            this.dialogs(serial),
        ]);
    },
};
