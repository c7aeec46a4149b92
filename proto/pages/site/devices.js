// SPDX-License-Identifier: Apache-2.0
// Device files: JSON as the simulator takes them, or CSV.

// One line of CSV; quotes may hold commas, doubled quotes stand for one.
function cells(line, separator) {
    const found = [];
    let cell = "";
    let quoted = false;
    for (let i = 0; i < line.length; i++) {
        const c = line[i];
        if (quoted && c === '"' && line[i + 1] === '"') { cell += '"'; i++; }
        else if (c === '"') quoted = !quoted;
        else if (c === separator && !quoted) { found.push(cell); cell = ""; }
        else cell += c;
    }
    found.push(cell);
    return found.map(c => c.trim());
}

function fromCsv(text) {
    const lines = text.split(/\r?\n/).filter(line => line.trim());
    const separator = lines[0].includes(";") ? ";" : ",";
    const head = cells(lines[0], separator).map(c => c.toLowerCase());
    const rooms = new Map();
    for (const name of ["room", "class", "guid"]) {
        if (!head.includes(name)) throw new Error(`The first line must name the columns; "${name}" is missing.`);
    }
    for (const line of lines.slice(1)) {
        const row = Object.fromEntries(cells(line, separator).map((c, i) => [head[i], c]));
        const device = { class: row.class, guid: row.guid };
        if (row.name) device.name = row.name;
        if (/^(1|yes|true)$/i.test(row.dimmable || "")) device.dimmable = true;
        for (const bound of ["min", "max"]) {
            if (row[bound]) device[bound] = Number(row[bound]);
        }
        if (!rooms.has(row.room)) rooms.set(row.room, []);
        rooms.get(row.room).push(device);
    }
    return [...rooms].map(([name, devices]) => ({ name, devices }));
}

// {rooms: […]}, to be checked by the relay. Throws an Error with a sentence.
export function parseDevices(text) {
    const trimmed = text.trim();
    if (!trimmed) throw new Error("The file is empty.");
    if (!trimmed.startsWith("{")) return { rooms: fromCsv(trimmed) };
    try {
        return { rooms: JSON.parse(trimmed).rooms };
    } catch (error) {
        throw new Error(`This is no JSON: ${error.message}`);
    }
}
