// SPDX-License-Identifier: Apache-2.0
// The frame around all pages, and which page stands in it.
import { logOut, refreshSession, session } from "./api.js";
import { Audit } from "./audit.js";
import { Building } from "./building.js";
import { act, button, m, noticeBar } from "./dom.js";
import { Fleet } from "./fleet.js";
import { Login } from "./login.js";
import { Requests } from "./requests.js";
import { Site } from "./site.js";
import { T } from "./texts.js";

function turnTheme() {
    const root = document.documentElement;
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
}

const LINKS = {
    relay: [["/buildings", T.nav.fleet], ["/requests", T.nav.requests], ["/audit", T.nav.audit]],
    agent: [["/site/kit", T.nav.kit], ["/site/keys", T.nav.keys], ["/site/connection", T.nav.connection]],
};

function navigation() {
    const here = m.route.get() || "";
    const links = LINKS[session.role].map(([path, text]) =>
        m("a", { href: `#!${path}`, "aria-current": here.startsWith(path.replace(/s$/, "")) ? "page" : undefined }, text));
    return m("header.top", m(".inner", [
        m("a.brand", { href: "#!/" }, [m("img", { src: "icon.svg", alt: "", width: 28, height: 28 }), T.product]),
        session.operator ? m("nav", { "aria-label": T.nav.label }, links) : null,
        m(".end", [
            session.login_required && session.operator ? [m("span.operator", session.operator), button(T.logOut, () => act(logOut), { class: "plain" })] : null,
            button("◐", turnTheme, { class: "plain", "aria-label": T.theme, title: T.theme }),
        ]),
    ]));
}

const frame = Page => ({
    view: ({ attrs }) => [navigation(),
        m("main", { key: "main" }, session.operator ? m(Page, { key: attrs.serial || "page", ...attrs }) : m(Login)), noticeBar()],
});

async function begin() {
    const root = document.getElementById("app");
    try {
        await refreshSession();
    } catch {
        m.render(root, m("p.boot", T.offlinePage));
        setTimeout(begin, 2000);
        return;
    }
    if (session.role === "agent") {
        m.route(root, "/site/kit", { "/site/:tab": frame(Site) });
        return;
    }
    m.route(root, "/buildings", {
        "/buildings": frame(Fleet),
        "/building/:serial/:tab": frame(Building),
        "/building/:serial": frame(Building),
        "/requests": frame(Requests),
        "/audit": frame(Audit),
    });
}
begin();
