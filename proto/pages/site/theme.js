// SPDX-License-Identifier: Apache-2.0
// Before the first draw: the theme that was chosen, if not the system's.
"use strict";
const chosenTheme = localStorage.getItem("theme");
if (chosenTheme === "dark" || chosenTheme === "light") {
    document.documentElement.dataset.theme = chosenTheme;
}
