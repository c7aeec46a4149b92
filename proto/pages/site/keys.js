// SPDX-License-Identifier: Apache-2.0
// The keys of one building: enabled, limited, changed, rotated, revoked. A key's text is shown once; this tab
// remembers it for copying calls until it is closed.
import { get, of, post } from "./api.js";
import { Dialog, Field, act, button, copyButton, m, pill, say, table } from "./dom.js";
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

// What the form says. `none` stands where nothing does: null takes away what was there, undefined is left out.
function settingsOf(form, none) {
    const number = name => (form.get(name) ? Number(form.get(name)) : none);
    const scope = { read_only: form.get("readOnly") ? true : none };
    for (const name of LISTS) scope[name] = list(form.get(name)).length > 0 ? list(form.get(name)) : none;
    return { label: form.get("label"), expires: form.get("expires") || none, rate: number("rate"), burst: number("burst"), scope };
}

// A new key's form, or with `is` that of one that is there.
const Form = {
    view({ attrs: { title, word, is, onclose, onsettings } }) {
        const submit = e => {
            e.preventDefault();
            const settings = settingsOf(new FormData(e.target), is ? null : undefined);
            act(() => onsettings(settings));
        };
        const { label, rate, burst, expires_at: expires, scope } = { ...is, scope: (is && is.scope) || {} };
        return m(Dialog, { title, onclose }, m("form", { onsubmit: submit }, [
            m(Field, { label: T.keys.label, help: T.keys.labelHelp, input: { name: "label", maxlength: 128, autofocus: true, defaultValue: label || "" } }),
            m(".pair", [
                m(Field, { label: T.keys.rate, help: T.keys.rateHelp, input: { name: "rate", type: "number", min: 1, max: 1000000, defaultValue: rate || "" } }),
                m(Field, { label: T.keys.burst, help: T.keys.burstHelp, input: { name: "burst", type: "number", min: 1, max: 1000000, defaultValue: burst || "" } })]),
            m(Field, { label: T.keys.expires, help: T.keys.expiresHelp, input: { name: "expires", defaultValue: expires || "" } }),
            m("label.check", m("input[type=checkbox][name=readOnly]", { defaultChecked: scope.read_only === true }), " ", T.keys.readOnly),
            m("details", { open: LISTS.some(name => scope[name]) }, [m("summary", T.keys.limits), LISTS.map(name =>
                m(Field, { key: name, label: T.keys[name], help: T.keys.listHelp, input: { name, spellcheck: false, defaultValue: (scope[name] || []).join(", ") } }))]),
            m("footer", [button(T.cancel, onclose), m("button.primary", word)]),
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
            m(Field, { label: T.keys.overlap, input: { name: "hours", type: "number", min: 0, max: 8760, step: "any", defaultValue: 24 } }),
            m("footer", [button(T.cancel, onclose), m("button.primary", T.keys.rotate)]),
        ]));
    },
};

function mayText(key) {
    if (!key.scope) return T.keys.everything;
    return Object.entries(key.scope).filter(([, value]) => value).map(([name, value]) =>
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
                button(T.keys.change, () => { this.dialog = { change: k }; }, { class: "small", "aria-label": `${T.keys.change} ${k.id}` }),
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
        if (this.dialog.rotate) return m(Rotate, { id: this.dialog.rotate, onclose, onmade });
        const is = this.dialog.change;
        return is ? m(Form, { title: `${T.keys.change} ${is.id}`, word: T.keys.save, is, onclose, onsettings: async settings => {
            await post(`/keys/${is.id}`, settings);
            onclose();
            say(T.keys.saved);
            await this.reload();
        } }) : m(Form, { title: T.keys.enable, word: T.keys.enable, onclose, onsettings: async settings => onmade(await post(of(serial, "/keys"), settings)) });
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
