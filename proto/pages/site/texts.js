// SPDX-License-Identifier: Apache-2.0
// Every text of the pages, in one place.

export const T = {
    product: "Thinknx Cloud",
    nav: { label: "Pages", fleet: "Buildings", requests: "Requests", audit: "Audit", kit: "Integration Kit",
        keys: "Keys", connection: "Connection" },
    theme: "Light or dark",
    logOut: "Log out",
    loading: "Loading…",
    none: "—",
    yes: "yes",
    no: "no",
    cancel: "Cancel",
    close: "Close",
    done: "Done",
    copy: "Copy",
    copied: "Copied",
    download: "Download",
    more: "Show more",
    failed: "That did not work",
    offlinePage: "The relay does not answer. Trying again…",

    login: { title: "Log in", name: "Name", password: "Password", button: "Log in",
        help: "Operators are added on the relay: thinknx-relay operator add NAME" },

    fleet: { title: "Buildings", add: "Add a building", search: "Search by name or serial",
        onlyTrouble: "Only with trouble", empty: "No building yet. Add the first one.",
        nothing: "No building matches.", building: "Building", state: "State", legs: "Legs", since: "Since",
        rtt: "Round trip", calls: "Last hour", keys: "Keys", online: "online", offline: "offline",
        disabled: "disabled", never: "never connected", untested: "not tested yet",
        counts: (online, all) => `${online} of ${all} online` },

    legs: { client: "Callers to relay", tunnel: "Relay to agent", server: "Agent to server", ok: "ok", broken: "broken",
        draining: "draining", unknown: "not known" },

    callers: { since: (state, time) => `${state} for ${time}`, rtt: "round trip", rttNone: "not known",
        last: time => `last call ${time} ago`, lastNone: "no call yet" },

    add: { title: "Add a building", serial: "Serial",
        serialHelp: "1 to 64 letters, digits, “.”, “_”, “-”. The Thinknx server's serial number is a good one.",
        name: "Name", button: "Add",
        made: serial => `The agent of ${serial}`,
        hint: "Put these files in one folder on a machine beside the Thinknx server, fill in [server] in agent.conf, and run: thinknx-agent run --config agent.conf",
        once: "The token is shown only now." },

    building: { connection: "Connection", keys: "Keys", kit: "Integration Kit", settings: "Settings",
        tabs: "Parts of this building", agent: "Agent", address: "From address", connections: "Times connected", sinceStart: n => `${n} since the relay's start`, since: "Since",
        chart: "Requests per minute, last hour", chartNone: "No request in the last hour.",
        history: "Connection history", historyNone: "Nothing has happened yet.", relayBegan: "The relay started", leftOut: n => ` (${n} more before it, not kept)`,
        commands: "Last requests since the relay's start", commandsNone: "No request yet.",
        up: "up", down: "down", answering: "Agent to server: answers", silent: "Agent to server: broken",
        gone: "There is no such building." },

    settings: { title: "Settings", name: "Name", command: "Commands per second (0: the relay's default)",
        burst: "Commands at once", building: "The building may enable keys itself", save: "Save", saved: "Saved",
        token: "Make another agent token", tokenHelp: "The agent in the building stops working until it has the new one.",
        disable: "Disable", enable: "Enable", disableHelp: "Closes its connection and refuses its keys until it is enabled again.",
        remove: "Remove", removeHelp: "For good, with all its keys.",
        removeSure: serial => `Remove ${serial} with all its keys?`, tokenSure: "Make another token? The old one stops working at once." },

    keys: { title: "Integration Kit keys", enable: "Enable Integration Kit", none: "No key yet. A service calls this building with a key.",
        id: "Key", label: "Label", state: "State", limits: "Limits", may: "May", created: "Made", used: "Last used", expires: "Expires", actions: "Actions",
        labelHelp: "Who is going to use it", rate: "Requests per second", rateHelp: "Empty: the relay's default",
        burst: "Requests at once", burstHelp: "Empty: twice the rate", expiresHelp: "30d, 12h, 2026-12-31; empty: never",
        readOnly: "Status calls only", controllers: "Only these controllers", guids: "Only these devices (GUIDs)",
        groups: "Only these KNX groups", cidrs: "Only from these addresses", listHelp: "separated by commas; empty: all",
        change: "Change", save: "Save", saved: "Saved: it holds from now on",
        rotate: "Rotate", revoke: "Revoke", everything: "everything", defaults: "default",
        made: "Your new key", once: "It is shown only now. Whoever has it can operate the building.",
        key: "Key", url: "URL", show: "Show", hide: "Hide", never: "never",
        revokeSure: id => `Revoke ${id}? Calls with it are refused at once, for good.`,
        overlap: "Hours for which the old key still works", states: { active: "active", rotated: "replaced", expired: "expired", revoked: "revoked" } },

    kit: { title: "Integration Kit", import: "Import devices", search: "Search devices", byRoom: "By room", byClass: "By kind",
        empty: "No devices yet. Import the building's device file here, or give it to the agent: [server] devices in agent.conf.",
        emptyLocal: "No devices yet. Name the building's device file in agent.conf: [server] devices.",
        sources: { operator: "This list was imported here.", agent: "This list is the device file of the agent in the building." },
        forget: "Use the agent's list", forgetSure: "Forget the imported list? The agent's is shown then, if it has one.",
        importTitle: "Import devices", importHelp: "A JSON file like the simulator's ({\"rooms\":[…]}), or CSV with the columns room, class, guid, name and, where wanted, dimmable.",
        file: "Device file", text: "or paste it here", imported: n => `${n} devices imported`,
        choose: "Choose a device to see what it can do.", bus: "Server and bus", tree: "Devices", back: "← All devices", group: "KNX group address",
        simulate: "Simulate", ask: "Ask", fb: "Wait for the device's feedback (fb)", from: (a, b) => `${a} to ${b}`,
        request: "Request", answer: "Answer", took: (ms, server) => `${ms} ms, of which ${server} ms in the building`,
        copyUrl: "Copy URL", copyCurl: "Copy as curl", copyPython: "Copy as Python", sends: "sends",
        key: "Key for copying", keyHelp: "Stays in this browser tab; copied calls have KEY in its place without it.",
        notDelivered: "It did not reach the building.", mayBeDelivered: "Nobody can know whether it reached the building.",
        beginning: "Only the beginning of the answer is shown.", tooLong: "The answer is too long to be shown.",
        classes: { light: "Lights", blind: "Blinds", analog: "Values", thermostat: "Thermostats", hvac: "HVAC", scene: "Scenes", button: "Buttons" } },

    requests: { title: "Requests", time: "Time", building: "Building", key: "Key", client: "From", controller: "Call",
        status: "Status", took: "Took", filter: "Building, call, key or address", onlyFailed: "Only failed", pause: "Pause", resume: "Go on", clear: "Clear",
        empty: "Requests appear here as they are answered.", live: "live", paused: "paused", relayFault: "connection to the relay lost" },

    audit: { title: "Audit", who: "Who", what: "What", object: "On what", when: "When", detail: "Detail",
        refused: "refused", onlyRefused: "Only refused", empty: "Nothing found.", from: "Who (begins with)", act: "What (begins with)", on: "On what (contains)", apply: "Search" },

    site: { title: "This building", status: "Connection", enable: "Enable Integration Kit", label: "Label" },
};

// "k_1" and the like stay; machine words of the relay as people say them.
const REASONS = {
    server_offline: "the building is not connected", server_unreachable: "the server does not take the connection",
    server_auth: "the server refuses the agent's credentials", server_timeout: "no answer in time",
    key_refused: "key refused", not_allowed: "not allowed for this key", rate_limited: "over a rate limit",
    client_gone: "the caller went away", tunnel_lost: "the connection broke", overloaded: "too much at once",
    tunnel: "agent connected", relay_restart: "not back since the relay was restarted",
};
export const reason = word => (word ? REASONS[word] || word.replaceAll("_", " ") : "");

export function time(value) {
    if (!value) return T.none;
    const date = new Date(typeof value === "number" ? value * 1000 : value);
    return date.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });
}

const STEPS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
export function ago(seconds) {
    const s = Math.max(0, Math.round(seconds));
    const [size, unit] = STEPS.find(([n]) => s >= n) || STEPS[3];
    return `${Math.floor(s / size)} ${unit}`;
}
export const since = at => (at ? ago(Date.now() / 1000 - at) : T.none);
export const ms = us => (us ? `${(us / 1000).toFixed(us < 1000 ? 2 : us < 10000 ? 1 : 0)} ms` : T.none);
