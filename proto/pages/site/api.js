// SPDX-License-Identifier: Apache-2.0
// The admin API, as promises. Nothing is kept here but the session.

export const session = { role: "relay", login_required: false, operator: null, csrf: null, public_url: "",
    server_url: "", serial: "" /* of an agent */ };

export class ApiError extends Error {
    constructor(status, body) {
        super(body.error || `status ${status}`);
        this.status = status;
        this.reason = body.reason || "";
    }
}

async function ask(method, path, body) {
    const options = { method, headers: {}, cache: "no-store", credentials: "same-origin" };
    if (method === "POST") {
        options.headers = { "Content-Type": "application/json", "X-Csrf-Token": session.csrf || "" };
        options.body = JSON.stringify(body || {});
    }
    const answer = await fetch("/api/v1" + path, options);
    const value = await answer.json().catch(error => {
        if (answer.ok) throw error; // the connection closed in the middle
        return {};
    });
    if (!answer.ok) {
        if (answer.status === 401 && path !== "/session") session.operator = null;
        throw new ApiError(answer.status, value);
    }
    return value;
}

export const get = path => ask("GET", path);
export const post = (path, body) => ask("POST", path, body);
export const of = (serial, rest = "") => `/servers/${encodeURIComponent(serial)}${rest}`;

export async function refreshSession() {
    Object.assign(session, await get("/session"));
}
export async function logIn(name, password) {
    Object.assign(session, await post("/session", { name, password }));
}
export async function logOut() {
    await post("/session/end");
    await refreshSession();
}

// Calls onEvent with each request as it is answered; returns what ends it.
export function live(serial, onEvent, onState) {
    const query = serial ? `?serial=${encodeURIComponent(serial)}` : "";
    const source = new EventSource("/api/v1/requests/live" + query);
    source.onmessage = message => onEvent(JSON.parse(message.data));
    source.onopen = () => onState(true);
    source.onerror = () => onState(false);
    return () => source.close();
}
