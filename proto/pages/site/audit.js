// SPDX-License-Identifier: Apache-2.0
// Who did what.
import { get } from "./api.js";
import { Field, act, m, pill, table } from "./dom.js";
import { T, time } from "./texts.js";

const ROWS = 200;
const columns = [
    { title: T.audit.when, class: "first", cell: r => time(r.at) }, { title: T.audit.who, cell: r => r.who },
    { title: T.audit.what, cell: r => [m("code", r.what), r.refused ? pill("bad", T.audit.refused) : null] },
    { title: T.audit.object, cell: r => r.object || T.none }, { title: T.audit.detail, class: "wrap", cell: r => r.detail || T.none },
];

export const Audit = {
    oninit() {
        this.filter = {};
        this.load = async () => {
            const query = new URLSearchParams({ last: ROWS, ...this.filter });
            this.rows = await get(`/audit?${query}`);
        };
        act(this.load);
    },
    view() {
        const submit = e => {
            e.preventDefault();
            this.filter = Object.fromEntries([...new FormData(e.target)].filter(([, value]) => value));
            act(this.load);
        };
        return m("div", [
            m(".title", m("h1", T.audit.title)),
            m("form.filters", { onsubmit: submit }, [
                m(Field, { label: T.audit.from, input: { name: "who" } }), m(Field, { label: T.audit.act, input: { name: "what" } }), m(Field, { label: T.audit.on, input: { name: "object" } }),
                m("label.check", m("input[type=checkbox][name=refused][value=1]"), " ", T.audit.onlyRefused), m("button.primary", T.audit.apply)]),
            !this.rows ? m("p.quiet", T.loading) : this.rows.length === 0 ? m("p.empty", T.audit.empty)
                : table(T.audit.title, columns, this.rows.map(r => ({ key: r.id, ...r }))),
        ]);
    },
};
