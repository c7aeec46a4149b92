// SPDX-License-Identifier: Apache-2.0
// The frame around all pages. Which pages stand in it (relay.js, site.js) depends on the program that
// serves them, and only that program has them.
import { logOut, refreshSession, session } from "./api.js";
import { act, button, m, noticeBar } from "./dom.js";
import { T } from "./texts.js";

function turnTheme() {
    const root = document.documentElement;
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
}

function navigation(links) {
    const here = m.route.get() || "";
    return m("header.top", m(".inner", [
        m("a.brand", { href: "#!/" }, [m("img", { src: "icon.svg", alt: "", width: 28, height: 28 }), T.product]),
        session.operator ? m("nav", { "aria-label": T.nav.label }, links.map(([path, text]) =>
            m("a", { href: `#!${path}`, "aria-current": here.startsWith(path.replace(/s$/, "")) ? "page" : undefined }, text))) : null,
        m(".end", [
            session.login_required && session.operator ? [m("span.operator", session.operator), button(T.logOut, () => act(logOut), { class: "plain" })] : null,
            button("◐", turnTheme, { class: "plain", "aria-label": T.theme, title: T.theme }),
        ]),
    ]));
}

const frame = (Page, { links, Login }) => ({
    view: ({ attrs }) => [navigation(links),
        m("main", { key: "main" }, session.operator ? m(Page, { key: attrs.serial || "page", ...attrs }) : m(Login)), noticeBar()],
});

async function begin() {
    const root = document.getElementById("app");
    const wait = then => {
        m.render(root, m("p.boot", T.offlinePage));
        setTimeout(then, 2000);
    };
    try {
        await refreshSession();
    } catch {
        wait(begin);
        return;
    }
    let site;
    try {
        ({ site } = await (session.role === "agent" ? import("./site.js") : import("./relay.js")));
    } catch {
        wait(() => location.reload()); // a module that did not come is not asked for again
        return;
    }
    const routes = Object.entries(site.pages).map(([path, Page]) => [path, frame(Page, site)]);
    m.route(root, site.links[0][0], Object.fromEntries(routes));
}
begin();
