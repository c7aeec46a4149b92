/* SPDX-License-Identifier: Apache-2.0 */
/* Device files. */
#include "proto/pages/house.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/http/controller.h"
#include "proto/json/json_text.h"

/* ---- what is kept ---- */

/* Of compact JSON: a device with all its members and a room, without what their texts hold
 * (numbers have at most 24 characters); and all devices' together with those texts, each of which
 * may be a file's text once escaped, or a GUID twice. */
#define DEVICE_BYTES_MAX                                                                           \
    (sizeof("{'class':'','guid':'','name':'','dimmable':false,'min':,'max':},") + (size_t)2 * 24)
#define ROOM_BYTES_MAX sizeof("{'name':'','devices':[]},")
#define EMPTY_BYTES    sizeof("{'rooms':[]}")
_Static_assert(HOUSE_DEVICES_MAX *DEVICE_BYTES_MAX + HOUSE_ROOMS_MAX * ROOM_BYTES_MAX +
                       EMPTY_BYTES + 2 * HOUSE_FILE_BYTES_MAX <=
                   HOUSE_LIST_BYTES_MAX,
               "the list of any file fits");
/* A device: itself and six members; a room: itself, its name and its array. */
_Static_assert(HOUSE_DEVICES_MAX * 7 + HOUSE_ROOMS_MAX * 3 + 2 <= HOUSE_VALUES_MAX,
               "any list is parsed again");

static bool is_text(const json_t *value, size_t max)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);

    if (text == NULL || len == 0 || len > max) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

/* A GUID goes into URLs as it is. */
static bool is_guid(const json_t *value)
{
    static const char ALLOWED[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.{}";
    return is_text(value, HOUSE_GUID_BYTES) &&
           strspn(json_string_value(value), ALLOWED) == json_string_length(value);
}

static int no_memory(struct error_text *e)
{
    return error_set(e, ERROR_NOMEM, "no memory");
}

/* What is kept of it, owned. */
static int take_device(const json_t *given, json_t **device, struct error_text *e)
{
    static const char *const BOUNDS[] = {"min", "max"};
    const json_t *name = json_object_get(given, "name");
    const json_t *guid = json_object_get(given, "guid");
    enum controller_class device_class = CONTROLLER_CLASS_SYSTEM;
    const char *class_name = json_string_value(json_object_get(given, "class"));

    if (controller_class_parse(span_of(class_name), &device_class) != 0 ||
        device_class == CONTROLLER_CLASS_SYSTEM) {
        return error_set(e, ERROR_CONFIG,
                         "each device needs a \"class\": light, blind, analog, thermostat, hvac, "
                         "scene or button");
    }
    if (!is_guid(guid) || (name != NULL && !is_text(name, HOUSE_NAME_BYTES))) {
        return error_set(e, ERROR_CONFIG,
                         "each device needs a \"guid\" of at most %d letters, digits and _-.{}, "
                         "and may have a \"name\" of at most %d bytes",
                         HOUSE_GUID_BYTES, HOUSE_NAME_BYTES);
    }
    json_t *kept =
        json_pack("{s:s, s:s, s:s}", "class", class_name, "guid", json_string_value(guid), "name",
                  name != NULL ? json_string_value(name) : json_string_value(guid));
    if (kept == NULL) {
        return no_memory(e);
    }
    json_t *dimmable = json_object_get(given, "dimmable");
    if (json_is_boolean(dimmable)) {
        (void)json_object_set(kept, "dimmable", dimmable); /* the text tells */
    }
    for (size_t i = 0; i < sizeof(BOUNDS) / sizeof(BOUNDS[0]); i++) {
        json_t *value = json_object_get(given, BOUNDS[i]);
        if (json_is_number(value)) {
            (void)json_object_set(kept, BOUNDS[i], value); /* likewise */
        }
    }
    *device = kept;
    return 0;
}

/* A room's devices, kept in `to`; `*n` counts them all. */
static int take_devices(const json_t *given, json_t *to, size_t *n, struct error_text *e)
{
    size_t i = 0;
    const json_t *device = NULL;

    if (!json_is_array(given)) {
        return error_set(e, ERROR_CONFIG, "each room needs an array \"devices\"");
    }
    for (i = 0; i < json_array_size(given); i++) {
        device = json_array_get(given, i);
        json_t *kept = NULL;
        int rc = take_device(device, &kept, e);
        if (rc != 0) {
            return rc;
        }
        if (json_array_append_new(to, kept) != 0) {
            return no_memory(e);
        }
        if (++*n > HOUSE_DEVICES_MAX) {
            return error_set(e, ERROR_CONFIG, "at most %d devices", HOUSE_DEVICES_MAX);
        }
    }
    return 0;
}

static int take_rooms(const json_t *given, json_t *to, size_t *n, struct error_text *e)
{
    if (!json_is_array(given) || json_array_size(given) > HOUSE_ROOMS_MAX) {
        return error_set(e, ERROR_CONFIG, "\"rooms\" must be an array of at most %d",
                         HOUSE_ROOMS_MAX);
    }
    for (size_t i = 0; i < json_array_size(given); i++) {
        const json_t *room = json_array_get(given, i);
        const json_t *name = json_object_get(room, "name");
        if (!is_text(name, HOUSE_NAME_BYTES)) {
            return error_set(e, ERROR_CONFIG, "each room needs a \"name\" of at most %d bytes",
                             HOUSE_NAME_BYTES);
        }
        json_t *kept = json_pack("{s:s, s:[]}", "name", json_string_value(name), "devices");
        if (json_array_append_new(to, kept) != 0) {
            return no_memory(e); /* or there is none to append */
        }
        int rc =
            take_devices(json_object_get(room, "devices"), json_object_get(kept, "devices"), n, e);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int house_take(const json_t *given, json_t **house, size_t *n_devices, struct error_text *e)
{
    json_t *rooms = json_array();
    size_t n = 0;

    if (rooms == NULL) {
        return no_memory(e);
    }
    int rc = take_rooms(json_object_get(given, "rooms"), rooms, &n, e);
    if (rc != 0) {
        json_decref(rooms);
        return rc;
    }
    json_t *made = json_pack("{s:O}", "rooms", rooms);
    json_decref(rooms);
    if (made == NULL) {
        return no_memory(e);
    }
    *house = made;
    *n_devices = n;
    return 0;
}

/* ---- CSV ---- */

enum column { ROOM, CLASS, GUID, NAME, DIMMABLE, MIN, MAX, N_COLUMNS };

static const char *const COLUMNS[N_COLUMNS] = {"room",     "class", "guid", "name",
                                               "dimmable", "min",   "max"};

/* Longest cell, with NUL; a longer one is refused. */
#define CELL_BYTES 256
/* Cells of a line that are looked at. */
#define CELLS_MAX 32

struct line {
    char cells[CELLS_MAX][CELL_BYTES];
    size_t n_cells;
};

static int add_char(struct line *line, size_t *len, char c)
{
    if (c == '\0' || *len + 1 >= CELL_BYTES) {
        return ERROR_LIMIT;
    }
    line->cells[line->n_cells][(*len)++] = c;
    return 0;
}

static void end_cell(struct line *line, size_t *len)
{
    char *cell = line->cells[line->n_cells++];
    struct span trimmed;

    cell[*len] = '\0';
    trimmed = span_trim(span_of(cell));
    memmove(cell, trimmed.p, trimmed.len);
    cell[trimmed.len] = '\0';
    *len = 0;
}

/* Takes one line off the text; quotes may hold separators, doubled quotes stand for one. */
static int read_line(struct span *text, char separator, struct line *line)
{
    bool quoted = false;
    size_t len = 0;

    line->n_cells = 0;
    while (text->len > 0) {
        char c = *text->p++;
        text->len--;
        if (c == '\n' && !quoted) {
            break;
        }
        if (c == '"' && quoted && text->len > 0 && *text->p == '"') {
            text->p++;
            text->len--;
        } else if (c == '"') {
            quoted = !quoted;
            continue;
        } else if (c == separator && !quoted) {
            if (line->n_cells + 1 == CELLS_MAX) {
                return ERROR_LIMIT;
            }
            end_cell(line, &len);
            continue;
        } else if (c == '\r' && !quoted) {
            continue;
        }
        if (add_char(line, &len, c) != 0) {
            return ERROR_LIMIT;
        }
    }
    end_cell(line, &len);
    return 0;
}

static bool is_blank(const struct line *line)
{
    return line->n_cells == 1 && line->cells[0][0] == '\0';
}

/* Where which column stands; CELLS_MAX = nowhere. */
static int read_columns(const struct line *line, size_t at[N_COLUMNS], struct error_text *e)
{
    for (size_t column = 0; column < N_COLUMNS; column++) {
        at[column] = CELLS_MAX;
        for (size_t i = 0; i < line->n_cells; i++) {
            if (span_equal_nocase(span_of(line->cells[i]), span_of(COLUMNS[column]))) {
                at[column] = i;
            }
        }
        if (column <= GUID && at[column] == CELLS_MAX) {
            return error_set(e, ERROR_CONFIG,
                             "the first line must name the columns; \"%s\" is missing",
                             COLUMNS[column]);
        }
    }
    return 0;
}

static const char *cell_of(const struct line *line, const size_t at[N_COLUMNS], enum column column)
{
    return at[column] < line->n_cells ? line->cells[at[column]] : "";
}

static bool is_yes(const char *text)
{
    struct span s = span_of(text);
    return span_equal(s, span_of("1")) || span_equal_nocase(s, span_of("yes")) ||
           span_equal_nocase(s, span_of("true"));
}

static json_t *device_of(const struct line *line, const size_t at[N_COLUMNS])
{
    json_t *device =
        json_pack("{s:s, s:s}", "class", cell_of(line, at, CLASS), "guid", cell_of(line, at, GUID));

    if (device == NULL) { /* no UTF-8 */
        return NULL;
    }
    if (cell_of(line, at, NAME)[0] != '\0') {
        /* What is no UTF-8 is not set; the device has its GUID for a name then. */
        (void)json_object_set_new(device, "name", json_string(cell_of(line, at, NAME)));
    }
    if (is_yes(cell_of(line, at, DIMMABLE))) {
        (void)json_object_set_new(device, "dimmable", json_true());
    }
    for (enum column column = MIN; column <= MAX; column++) {
        char *end = NULL;
        double value = strtod(cell_of(line, at, column), &end);
        if (end != cell_of(line, at, column) && *end == '\0') {
            /* NaN and infinity are refused by jansson. */
            (void)json_object_set_new(device, COLUMNS[column], json_real(value));
        }
    }
    return device;
}

/* The devices of the room with that name; it is added if it is new. `by_name` borrows. */
static json_t *find_room(json_t *rooms, json_t *by_name, const char *name)
{
    json_t *devices = json_object_get(by_name, name);

    if (devices != NULL || json_array_size(rooms) > HOUSE_ROOMS_MAX) {
        return devices;
    }
    devices = json_array();
    if (json_array_append_new(rooms, json_pack("{s:s, s:O}", "name", name, "devices", devices)) !=
            0 ||
        json_object_set(by_name, name, devices) != 0) {
        json_decref(devices);
        return NULL;
    }
    json_decref(devices); /* the room holds it */
    return devices;
}

static int read_rows(struct span text, char separator, struct line *line, json_t *rooms,
                     struct error_text *e)
{
    size_t at[N_COLUMNS] = {0};
    size_t n = 0;
    json_t *by_name = json_object();
    int rc = read_line(&text, separator, line);

    rc = rc == 0 ? read_columns(line, at, e) : error_set(e, ERROR_CONFIG, "line 1 is too long");
    for (size_t number = 2; rc == 0 && text.len > 0; number++) {
        rc = read_line(&text, separator, line);
        if (rc == 0 && is_blank(line)) {
            continue;
        }
        json_t *devices = rc == 0 ? find_room(rooms, by_name, cell_of(line, at, ROOM)) : NULL;
        if (devices == NULL || ++n > HOUSE_DEVICES_MAX ||
            json_array_append_new(devices, device_of(line, at)) != 0) {
            rc = error_set(
                e, ERROR_CONFIG,
                "line %zu: a cell of more than %d bytes, more than %d cells, no UTF-8, or "
                "too many rooms or devices",
                number, CELL_BYTES - 1, CELLS_MAX);
        }
    }
    json_decref(by_name);
    return rc;
}

static int parse_csv(struct span text, json_t **given, struct error_text *e)
{
    struct span rest = text;
    struct span first = span_cut(&rest, '\n');
    char separator = memchr(first.p, ';', first.len) != NULL ? ';' : ',';
    struct line *line = calloc(1, sizeof(*line));
    json_t *rooms = json_array();
    int rc = line == NULL || rooms == NULL ? error_set(e, ERROR_NOMEM, "no memory")
                                           : read_rows(text, separator, line, rooms, e);

    free(line);
    if (rc == 0) {
        *given = json_pack("{s:O}", "rooms", rooms);
        rc = *given == NULL ? error_set(e, ERROR_NOMEM, "no memory") : 0;
    }
    json_decref(rooms);
    return rc;
}

/* Not what is in quotes. */
static bool has_too_many_values(struct span text)
{
    bool quoted = false;
    size_t n = 0;

    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (c == '"') {
            quoted = !quoted;
        } else if (quoted) {
            i += c == '\\' ? 1 : 0; /* with what it escapes */
        } else if (c == ',' || c == '[' || c == '{') {
            n++;
        }
    }
    return n > HOUSE_VALUES_MAX;
}

static int parse_json(struct span text, json_t **given, struct error_text *e)
{
    json_error_t why;

    if (has_too_many_values(text)) {
        return error_set(e, ERROR_CONFIG, "more than %zu values", HOUSE_VALUES_MAX);
    }
    *given = json_text_parse(text.p, text.len, JSON_REJECT_DUPLICATES, &why);
    if (*given != NULL) {
        return 0;
    }
    return json_error_code(&why) == json_error_out_of_memory
               ? no_memory(e)
               : error_set(e, ERROR_CONFIG, "no JSON: line %d: %s", why.line, why.text);
}

/* What stands before the first character: blanks, empty lines, a spreadsheet's byte order mark. */
static struct span skip_blanks(struct span text)
{
    struct span mark = span_of("\xef\xbb\xbf");

    if (span_starts(text, mark)) {
        text = (struct span){text.p + mark.len, text.len - mark.len};
    }
    while (text.len > 0 &&
           (*text.p == ' ' || *text.p == '\t' || *text.p == '\r' || *text.p == '\n')) {
        text = (struct span){text.p + 1, text.len - 1};
    }
    return text;
}

int house_parse(struct span text, json_t **house, size_t *n_devices, struct error_text *e)
{
    struct span trimmed = skip_blanks(text);
    json_t *given = NULL;

    if (trimmed.len == 0) {
        return error_set(e, ERROR_CONFIG, "the device file is empty");
    }
    int rc = *trimmed.p == '{' ? parse_json(trimmed, &given, e) : parse_csv(trimmed, &given, e);
    rc = rc == 0 ? house_take(given, house, n_devices, e) : rc;
    json_decref(given);
    return rc;
}
