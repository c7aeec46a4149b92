// SPDX-License-Identifier: Apache-2.0
// The live log of requests.
import { live } from "./api.js";
import { button, check, m, pill, table } from "./dom.js";
import { T, ms, reason } from "./texts.js";

const KEPT = 300; // rows

const clock = at => new Date(at * 1000).toLocaleTimeString("en-GB") + "." + String(Math.floor(at * 1000) % 1000).padStart(3, "0");
export const columns = [
    { title: T.requests.time, class: "first", cell: r => clock(r.at) },
    { title: T.requests.building, cell: r => r.serial ? m("a", { href: `#!/building/${r.serial}` }, r.serial) : T.none },
    { title: T.requests.controller, cell: r => m("code", r.controller || r.method || T.none) },
    { title: T.requests.status, cell: r => [pill(r.status < 400 ? "good" : "bad", r.status), r.reason ? m("small", reason(r.reason)) : null] },
    { title: T.requests.key, cell: r => r.key || T.none },
    { title: T.requests.client, cell: r => r.client },
    { title: T.requests.took, cell: r => ms(r.us) },
];

export const Requests = {
    oninit() {
        this.rows = [];
        this.n = 0;
        this.search = "";
        this.onlyFailed = false;
        this.paused = false;
        this.live = false;
        this.waiting = false;
        this.stop = live("", r => this.take(r), on => { this.live = on; if (on && !this.paused) this.rows = []; m.redraw(); });
    },
    onremove() { this.stop(); },
    take(r) {
        if (this.paused) return;
        this.rows.unshift({ key: ++this.n, ...r });
        this.rows.length = Math.min(this.rows.length, KEPT);
        if (!this.waiting) { // many come at once: one draw for all
            this.waiting = true;
            requestAnimationFrame(() => { this.waiting = false; m.redraw(); });
        }
    },
    view() {
        const words = this.search.toLowerCase();
        const rows = this.rows.filter(r => (!this.onlyFailed || r.status >= 400) &&
            (!words || `${r.serial} ${r.controller} ${r.key} ${r.client} ${r.id}`.toLowerCase().includes(words)));
        return m("div", [
            m(".title", [m("h1", T.requests.title), pill(this.paused ? "off" : this.live ? "good" : "bad", this.paused ? T.requests.paused : this.live ? T.requests.live : T.requests.relayFault),
                button(this.paused ? T.requests.resume : T.requests.pause, () => { this.paused = !this.paused; }), button(T.requests.clear, () => { this.rows = []; })]),
            m(".filters", [m("input[type=search]", { "aria-label": T.requests.filter, placeholder: T.requests.filter, value: this.search, oninput: e => { this.search = e.target.value; } }),
                check(T.requests.onlyFailed, this.onlyFailed, on => { this.onlyFailed = on; })]),
            rows.length === 0 ? m("p.empty", T.requests.empty) : table(T.requests.title, columns, rows),
        ]);
    },
};
