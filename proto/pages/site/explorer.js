// SPDX-License-Identifier: Apache-2.0
// The Integration Kit: the building's tree, what each device can do, and doing it.
import { ApiError, get, of, post } from "./api.js";
import { callsOf, curlOf, loadKit, pathOf, pythonOf, queryOf, urlOf } from "./calls.js";
import { parseDevices } from "./devices.js";
import { Dialog, Field, act, button, check, copyButton, json, m, pill, say } from "./dom.js";
import { Secret, known } from "./keys.js";
import { T } from "./texts.js";

const BUS = { class: "system", guid: "", name: T.kit.bus };

const Import = {
    oninit() { this.text = ""; },
    view({ attrs: { serial, onclose, ondone } }) {
        const submit = e => {
            e.preventDefault();
            act(async () => {
                const done = await post(of(serial, "/devices"), parseDevices(this.text));
                say(T.kit.imported(done.devices));
                await ondone();
            });
        };
        const read = async e => { this.text = e.target.files[0] ? await e.target.files[0].text() : ""; m.redraw(); };
        return m(Dialog, { title: T.kit.importTitle, onclose, wide: true }, m("form", { onsubmit: submit }, [
            m("p", T.kit.importHelp),
            m(Field, { label: T.kit.file, input: { type: "file", accept: ".json,.csv,.txt", onchange: read } }),
            m(Field, { label: T.kit.text, element: "textarea", input: { rows: 8, value: this.text, spellcheck: false, oninput: e => { this.text = e.target.value; } } }),
            m("footer", [button(T.cancel, onclose), m("button.primary", { disabled: !this.text.trim() }, T.kit.import)]),
        ]));
    },
};

// Rooms with devices, or kinds with devices; [[name, devices]].
function groups(rooms, byRoom, search) {
    const words = search.toLowerCase();
    const found = new Map();
    for (const room of rooms) {
        for (const device of room.devices) {
            if (words && !`${room.name} ${device.name} ${device.guid}`.toLowerCase().includes(words)) continue;
            const name = byRoom ? room.name : T.kit.classes[device.class];
            if (!found.has(name)) found.set(name, []);
            found.get(name).push({ ...device, name: device.name || device.guid, room: room.name });
        }
    }
    return [...found];
}
const same = (a, b) => a && a.guid === b.guid && a.class === b.class && a.room === b.room;

function valueInput(call, value, onvalue) {
    const { schema } = call.value;
    if (schema.oneOf) {
        return m(".segments", { role: "group", "aria-label": call.title }, schema.oneOf.map(choice =>
            button(choice.title, () => onvalue(choice.const), { key: choice.const, "aria-pressed": String(value === choice.const) })));
    }
    const bounded = schema.type === "integer" || Math.abs(schema.maximum) < 1e5;
    const range = bounded ? { min: schema.minimum, max: schema.maximum } : {};
    const number = m("input[type=number]", { ...range, value, step: schema.type === "integer" ? 1 : "any", required: true, "aria-label": `${call.title}: ${call.value.name}`, oninput: e => onvalue(e.target.value) });
    if (!bounded) return number;
    return m(".range", [m("input[type=range]", { ...range, value, step: schema.type === "integer" ? 1 : 0.5, "aria-label": `${call.title}: ${call.value.name}`, oninput: e => onvalue(e.target.value) }),
        number, m("small", T.kit.from(schema.minimum, schema.maximum))]);
}

function firstValue(call) {
    if (!call.value) return null;
    const { schema } = call.value;
    if (schema.oneOf) return schema.oneOf[schema.oneOf.length - 1].const;
    return schema.minimum > 0 || schema.maximum < 0 ? schema.minimum : schema.maximum === 100 ? 50 : 0;
}

// Refusals that come before a call is sent, beside all of status 4xx.
const UNSENT = ["overloaded", "server_offline"];
const isUnsent = error => error instanceof ApiError && error.reason !== "" && (error.status < 500 || UNSENT.includes(error.reason));

function result(r) {
    const good = r.status >= 200 && r.status < 300;
    const server = r.server_ms ? r.server_ms.toFixed(1) : "0";
    return m(".result", { "aria-live": "polite" }, [
        m(".line", [m("span.label", T.kit.request), m("code", `GET ${r.path}`)]),
        m(".line", [m("span.label", T.kit.answer), pill(good ? "good" : "bad", r.status || "!"), m("span.quiet", r.error ? r.error : T.kit.took(r.ms.toFixed(1), server))]),
        r.delivered === false ? m("small", T.kit.notDelivered) : null,
        r.delivered === "unknown" ? m("small", T.kit.mayBeDelivered) : null,
        r.body ? m("pre", { tabindex: 0, "aria-label": T.kit.answer }, json(r.body)) : null,
        r.truncated ? m("small", r.body === null ? T.kit.tooLong : T.kit.beginning) : null,
    ]);
}

// One command of one device.
const Command = {
    oninit({ attrs: { call } }) {
        this.value = firstValue(call);
        this.fb = call.fb;
        this.group = "1/0/1";
    },
    async simulate(serial, call, query) {
        this.busy = true;
        const path = pathOf(call, query);
        try {
            this.result = { path, ...await post(of(serial, "/call"), { controller: call.controller, query }) };
        } catch (error) {
            this.result = { path, status: error.status, error: error.message, delivered: isUnsent(error) ? false : "unknown" };
        }
        this.busy = false;
        m.redraw();
    },
    view({ attrs: { call, device, serial } }) {
        const query = queryOf(call, call.target === "group" ? this.group : device.guid, this.value, this.fb && call.fb);
        const url = () => urlOf(pathOf(call, query), known.get(serial));
        const submit = e => { e.preventDefault(); this.simulate(serial, call, query); };
        return m("form.command", { onsubmit: submit, "data-controller": call.controller, "aria-label": `${call.title} (${call.controller})` }, [
            m("header", [m("h3", call.title), m("code", call.controller)]),
            call.target === "group" ? m(Field, { label: T.kit.group, input: { value: this.group, required: true, pattern: "[0-9]+(/[0-9]+){1,2}", oninput: e => { this.group = e.target.value; } } }) : null,
            call.value ? valueInput(call, this.value, v => { this.value = v; }) : null,
            call.fb ? check(T.kit.fb, this.fb, on => { this.fb = on; }) : null,
            m(".actions", [
                m("button.primary", { disabled: this.busy }, call.role === "set" ? T.kit.simulate : T.kit.ask),
                copyButton(url, T.kit.copyUrl), copyButton(() => curlOf(url()), T.kit.copyCurl), copyButton(() => pythonOf(url()), T.kit.copyPython),
            ]),
            this.result ? result(this.result) : null,
        ]);
    },
};

const KeyForCopying = {
    view({ attrs: { serial } }) {
        const key = known.get(serial);
        return m(".panel.key", key ? m(Secret, { label: T.kit.key, text: key })
            : m(Field, { label: T.kit.key, help: T.kit.keyHelp, input: { type: "password", autocomplete: "off", onchange: e => { if (/^[A-Za-z0-9]{32}$/.test(e.target.value)) known.set(serial, e.target.value); } } }));
    },
};

export const Explorer = {
    oninit({ attrs: { serial } }) {
        this.search = "";
        this.byRoom = true;
        this.reload = async () => { this.list = await get(of(serial, "/devices")); };
        this.forget = () => confirm(T.kit.forgetSure) && act(async () => { await post(of(serial, "/devices"), { rooms: [] }); await this.reload(); });
        act(async () => { [this.kit] = await Promise.all([loadKit(), this.reload()]); });
    },
    leaf(device) {
        return m("li", button([m("span.kind", { class: device.class, "aria-hidden": "true" }), device.name], () => { this.device = device; },
            { class: "leaf", "aria-current": same(this.device, device) ? "true" : undefined, "data-guid": device.guid }));
    },
    tree(attrs) {
        const { rooms, source, problem } = this.list;
        const found = groups(rooms, this.byRoom, this.search);
        return m("nav.tree", { "aria-label": T.kit.tree }, [
            m("input[type=search]", { "aria-label": T.kit.search, placeholder: T.kit.search, value: this.search, oninput: e => { this.search = e.target.value; } }),
            m(".segments", { role: "group", "aria-label": T.kit.tree }, [
                button(T.kit.byRoom, () => { this.byRoom = true; }, { "aria-pressed": String(this.byRoom) }),
                button(T.kit.byClass, () => { this.byRoom = false; }, { "aria-pressed": String(!this.byRoom) })]),
            found.map(([name, devices]) => m("details[open]", [m("summary", [name, m("small", devices.length)]), m("ul", devices.map(d => this.leaf(d)))])),
            rooms.length === 0 && !problem ? m("p.quiet", attrs.local ? T.kit.emptyLocal : T.kit.empty) : null,
            problem ? m("p.warning", problem) : null,
            m("ul", this.leaf(BUS)),
            source === "none" ? null : m("small.quiet", T.kit.sources[source]),
            attrs.local ? null : button(T.kit.import, () => { this.importing = true; }),
            attrs.local || source !== "operator" ? null : button(T.kit.forget, this.forget, { class: "small" }),
        ]);
    },
    detail(serial) {
        const device = this.device;
        if (!device) return m("div", { key: "none" }, m("p.empty", T.kit.choose));
        const calls = callsOf(this.kit, device);
        return m("div", { key: `${device.class}/${device.guid}` }, [m(".device", [m("h2", device.name), m("span.quiet", [device.room ? `${device.room} · ` : "", device.guid ? m("code", device.guid) : null])]),
            m(".commands", calls.map(call => m(Command, { key: `${device.class}/${device.guid}/${call.controller}`, call, device, serial })))]);
    },
    view({ attrs }) {
        if (!this.kit || !this.list) return m("p.quiet", T.loading);
        return m(".explorer", { class: this.device ? "chosen" : "" }, [
            this.tree(attrs),
            m(".detail", [
                m("div", this.device ? button(T.kit.back, () => { this.device = null; }, { class: "back" }) : ""),
                m("div", attrs.local ? "" : m(KeyForCopying, attrs)),
                m("div", [this.detail(attrs.serial)])]),
            this.importing ? m(Import, { serial: attrs.serial, onclose: () => { this.importing = false; }, ondone: async () => { this.importing = false; await this.reload(); } }) : null,
        ]);
    },
};
