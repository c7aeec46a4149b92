// SPDX-License-Identifier: Apache-2.0
import { logIn } from "./api.js";
import { Field, act, m } from "./dom.js";
import { T } from "./texts.js";

export const Login = {
    view() {
        const submit = e => {
            e.preventDefault();
            const form = new FormData(e.target);
            act(() => logIn(form.get("name"), form.get("password")));
        };
        return m("form.panel.login", { onsubmit: submit }, [
            m("h1", T.login.title),
            m(Field, { label: T.login.name, input: { name: "name", autocomplete: "username", required: true, autocapitalize: "none" } }),
            m(Field, { label: T.login.password, input: { name: "password", type: "password", autocomplete: "current-password", required: true } }),
            m("button.primary", T.login.button),
            m("small", T.login.help),
        ]);
    },
};
