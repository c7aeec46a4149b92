// SPDX-License-Identifier: Apache-2.0
// What can be called, from the Integration Kit's OpenAPI document, and how a call is written down.
import { get, session } from "./api.js";

let loaded = null;
// [{controller, title, class, role, object, dimmable, target, value, fb}]
export function loadKit() {
    loaded ||= get("/kit.json").then(describe);
    return loaded;
}

function describe(kit) {
    return Object.entries(kit.paths).map(([path, { get: call }]) => {
        const shared = call.parameters.filter(p => p.$ref).map(p => p.$ref.split("/").pop());
        return {
            controller: path.slice(1), title: call.summary, class: call.tags[0], role: call["x-role"], object: call["x-object"], dimmable: call["x-dimmable"],
            target: shared.find(name => name !== "fb"), fb: shared.includes("fb"), value: call.parameters.find(p => !p.$ref),
        };
    });
}

// The calls that a device has; an analog value brings a range of its own.
export function callsOf(kit, device) {
    return kit.filter(c => c.class === device.class && (!c.dimmable || device.dimmable)).map(c =>
        c.value && c.controller === "setvalue" && device.min !== undefined
            ? { ...c, value: { ...c.value, schema: { ...c.value.schema, minimum: device.min, maximum: device.max } } } : c);
}

export function queryOf(call, target, value, fb) {
    const parts = [];
    if (call.target) parts.push(`${call.target}=${encodeURI(target)}`);
    if (call.value) parts.push(`${call.value.name}=${encodeURIComponent(value)}`);
    if (fb) parts.push("fb");
    return parts.join("&");
}
export const pathOf = (call, query) => `/api/V1/${call.controller}${query ? `?${query}` : ""}`;
export const urlOf = (path, key) => session.role === "agent" ? `${session.server_url}${path}` : `${session.public_url}/${key || "KEY"}${path}`;
export const curlOf = url => `curl "${url}"`;
export const pythonOf = url => `import urllib.request

url = "${url}"
with urllib.request.urlopen(url, timeout=35) as answer:
    print(answer.read().decode())
`;
