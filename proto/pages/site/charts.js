// SPDX-License-Identifier: Apache-2.0
// Curves of requests per minute, drawn by dygraphs, which is fetched when the first is wanted.
import { m } from "./dom.js";

let library = null;
function load() {
    library ||= new Promise((resolve, reject) => {
        const style = document.createElement("link");
        style.rel = "stylesheet";
        style.href = "dygraph.css";
        const script = document.createElement("script");
        script.src = "dygraph.js";
        script.onload = () => {
            // Its legend sets inline styles, which our Content-Security-Policy refuses; none is shown.
            const { Dygraph } = window;
            Dygraph.PLUGINS = Dygraph.PLUGINS.filter(plugin => plugin !== Dygraph.Plugins.Legend);
            resolve(Dygraph);
        };
        script.onerror = reject;
        document.head.append(style, script);
    });
    return library;
}

const points = calls => {
    const now = Math.floor(Date.now() / 60000) * 60000;
    return calls.map((n, i) => [new Date(now - (calls.length - 1 - i) * 60000), n]);
};
const colour = dom => getComputedStyle(dom).getPropertyValue("--accent").trim();

const SMALL = { drawGrid: false, axes: { x: { drawAxis: false }, y: { drawAxis: false } }, highlightCircleSize: 0,
    showLabelsOnHighlight: false };

// attrs: calls (one number per minute), label (for screen readers), small
export const Curve = {
    async oncreate({ dom, attrs }) {
        const Dygraph = await load().catch(() => null);
        if (!Dygraph || !dom.isConnected) return;
        this.shown = attrs.calls.join();
        this.graph = new Dygraph(dom, points(attrs.calls), {
            labels: ["Time", "Requests"], fillGraph: true, strokeWidth: 1.5, colors: [colour(dom)], interactionModel: {},
            valueRange: [0, null], includeZero: true, rightGap: 2, ...(attrs.small ? SMALL : { axisLabelFontSize: 12, gridLineColor: "rgba(128,128,128,.25)" }),
        });
    },
    onupdate({ attrs }) {
        if (this.graph && this.shown !== attrs.calls.join()) {
            this.shown = attrs.calls.join();
            this.graph.updateOptions({ file: points(attrs.calls) });
        }
    },
    onremove() { if (this.graph) this.graph.destroy(); },
    view({ attrs }) {
        return m("div", { class: attrs.small ? "curve small" : "curve", role: "img", "aria-label": attrs.label });
    },
};
