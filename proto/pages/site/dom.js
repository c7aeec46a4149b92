// SPDX-License-Identifier: Apache-2.0
// The pieces that pages are put together from. Each is a plain function that returns a vnode, but
// for those with a life of their own, which are components.
import { T } from "./texts.js";

export const m = window.m;

// One sentence at the bottom of the page, read out by screen readers, gone after a while.
let notice = { text: "", bad: false, timer: 0 };
export function say(text, bad = false) {
    clearTimeout(notice.timer);
    notice = { text, bad, timer: setTimeout(() => { notice.text = ""; m.redraw(); }, bad ? 8000 : 3000) };
    m.redraw();
}
export const complain = error => say(error.message || T.failed, true);
export const noticeBar = () =>
    m(".notice", { role: "status", "aria-live": "polite", class: notice.bad ? "bad" : "", hidden: !notice.text }, notice.text);

// Runs an asynchronous act of a button; what goes wrong is said.
export async function act(work) {
    try {
        return await work();
    } catch (error) {
        complain(error);
        return undefined;
    } finally {
        m.redraw();
    }
}

export const button = (text, onclick, attrs = {}) => m("button[type=button]", { onclick, ...attrs }, text);

export async function copy(text) {
    if (navigator.clipboard) {
        await navigator.clipboard.writeText(text);
    } else { // no secure context: a page over plain HTTP
        const area = document.createElement("textarea");
        area.value = text;
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
    }
    say(T.copied);
}
export const copyButton = (text, label = T.copy, attrs = {}) =>
    button(label, () => act(() => copy(typeof text === "function" ? text() : text)), { class: "small", ...attrs });

export function save(name, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

let ids = 0;
// A labelled input. `help` is tied to it for screen readers. (Not `tag`: Mithril takes attributes with one for a vnode.)
export const Field = {
    oninit() { this.id = `f${++ids}`; },
    view({ attrs: { label, help, input = {}, element = "input" }, children }) {
        const described = help ? { "aria-describedby": `${this.id}h` } : {};
        return m(".field", [
            m("label", { for: this.id }, label),
            m(element, { id: this.id, ...described, ...input }, children),
            help ? m("small", { id: `${this.id}h` }, help) : null,
        ]);
    },
};
export const check = (label, checked, onchange) =>
    m("label.check", m("input[type=checkbox]", { checked, onchange: e => onchange(e.target.checked) }), " ", label);

// A modal dialog; the browser keeps the focus inside and closes it with Escape.
export const Dialog = {
    oncreate({ dom }) { dom.showModal(); },
    onremove({ dom }) { if (dom.open) dom.close(); },
    view({ attrs: { title, onclose, wide }, children }) {
        return m("dialog", { class: wide ? "wide" : "", "aria-labelledby": "dialog-title", oncancel: e => { e.preventDefault(); onclose(); } }, [
            m("header", [m("h2#dialog-title", title), button("×", onclose, { class: "plain", "aria-label": T.close })]),
            children,
        ]);
    },
};

// What a table of objects looks like: on a phone each row becomes a card.
export function table(label, columns, rows, attrs = () => ({})) {
    return m(".table-frame", { tabindex: 0, role: "region", "aria-label": label },
        m("table", [
            m("thead", m("tr", columns.map(c => m("th[scope=col]", c.title)))),
            m("tbody", rows.map(row => m("tr", { key: row.key, ...attrs(row) },
                columns.map(c => m("td", { "data-label": c.title, class: c.class }, c.cell(row)))))),
        ]));
}

export const pill = (kind, text) => m("span.pill", { class: kind }, text);
export const json = text => {
    try {
        return JSON.stringify(JSON.parse(text), null, 2);
    } catch {
        return text;
    }
};

// Calls `work` now and every `every` ms while the page is seen.
export function poll(work, every) {
    let timer = 0;
    let ended = false;
    const turn = async () => {
        if (!document.hidden) await work().catch(() => {});
        if (!ended) timer = setTimeout(turn, every);
        m.redraw();
    };
    turn();
    return () => { ended = true; clearTimeout(timer); };
}
