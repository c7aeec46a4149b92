/* SPDX-License-Identifier: Apache-2.0 */
/* The Integration Kit as OpenAPI 3.1. What all calls share stands once, under components. */
#include "proto/pages/kit.h"

#include <stdio.h>
#include <string.h>

#include "proto/http/controller.h"

#define REF(kind, name) "{s:s}", "$ref", "#/components/" kind "/" name

/* Values that are named: one constant each. */
static json_t *describe_choices(const struct controller *c)
{
    json_t *list = json_array();

    for (size_t i = 0; c->choices[i] != NULL; i++) {
        json_int_t value = (json_int_t)c->min + (json_int_t)i;
        if (json_array_append_new(
                list, json_pack("{s:I, s:s}", "const", value, "title", c->choices[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *describe_number(const struct controller *c, enum controller_kind kind, bool ranged)
{
    bool is_integer = kind == CONTROLLER_KIND_INTEGER;
    json_t *schema = json_pack("{s:s}", "type", is_integer ? "integer" : "number");

    if (c->choices != NULL) {
        (void)json_object_set_new(schema, "oneOf", describe_choices(c));
    } else if (ranged && is_integer) {
        (void)json_object_set_new(schema, "minimum", json_integer((json_int_t)c->min));
        (void)json_object_set_new(schema, "maximum", json_integer((json_int_t)c->max));
    } else if (ranged) {
        (void)json_object_set_new(schema, "minimum", json_real(c->min));
        (void)json_object_set_new(schema, "maximum", json_real(c->max));
    }
    return schema;
}

static json_t *describe_parameters(const struct controller *c)
{
    json_t *list = json_array();

    if (c->target == CONTROLLER_TARGET_GUID) {
        (void)json_array_append_new(list, json_pack(REF("parameters", "guid")));
    } else if (c->target == CONTROLLER_TARGET_GROUP) {
        (void)json_array_append_new(list, json_pack(REF("parameters", "group")));
    }
    if (c->param != CONTROLLER_PARAM_NONE) {
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s, s:b, s:o}", "name", controller_param_name(c->param), "in",
                            "query", "required", 1, "schema", describe_number(c, c->kind, true)));
    }
    if (c->takes_fb) {
        (void)json_array_append_new(list, json_pack(REF("parameters", "fb")));
    }
    return list;
}

static const char SERVER_FIELDS[] = "version process_uptime server_uptime config_time pbx_users";

/* The six fields of system/serverStatus, besides the namespace. */
static void add_server_fields(json_t *properties)
{
    struct span rest = {SERVER_FIELDS, sizeof(SERVER_FIELDS) - 1};

    while (rest.p != NULL) {
        struct span name = span_cut(&rest, ' ');
        char key[32];
        if (span_copy(name, key, sizeof(key)) == 0) {
            (void)json_object_set_new(properties, key, json_pack("{s:s}", "type", "string"));
        }
    }
    (void)json_object_set_new(properties, "connected_clients",
                              json_pack("{s:s}", "type", "integer"));
}

static json_t *describe_answer(const struct controller *c)
{
    json_t *properties = json_pack("{s:{s:s}}", "namespace", "const", c->name);
    const char *target = c->target == CONTROLLER_TARGET_GROUP ? "group" : "guid";

    if (c->target == CONTROLLER_TARGET_NONE) {
        add_server_fields(properties);
    } else {
        (void)json_object_set_new(properties, target, json_pack("{s:s}", "type", "string"));
    }
    if (c->target == CONTROLLER_TARGET_GUID) {
        (void)json_object_set_new(properties, "comm_obj", json_pack("{s:s}", "type", "integer"));
        if (c->status != CONTROLLER_KIND_NONE) {
            (void)json_object_set_new(properties, "status", describe_number(c, c->status, false));
        }
    } else if (c->target == CONTROLLER_TARGET_GROUP) {
        (void)json_object_set_new(properties, "value", describe_number(c, c->kind, true));
    }
    json_t *required = json_pack("[s]", "namespace");
    if (c->status != CONTROLLER_KIND_NONE && c->role == CONTROLLER_GET &&
        c->target == CONTROLLER_TARGET_GUID) {
        (void)json_array_append_new(required, json_string("status"));
    }
    return json_pack("{s:s, s:{s:{s:{s:s, s:o, s:o}}}}", "description", "done", "content",
                     "application/json", "schema", "type", "object", "required", required,
                     "properties", properties);
}

/* "system/sendKNXbit" as an id of an operation: "system.sendKNXbit.get". */
static void format_id(const struct controller *c, const char *method, char *text, size_t cap)
{
    (void)snprintf(text, cap, "%s.%s", c->name, method);
    char *slash = strchr(text, '/');
    if (slash != NULL) {
        *slash = '.';
    }
}

static json_t *describe_operation(const struct controller *c)
{
    char id[48];
    format_id(c, "get", id, sizeof(id));
    json_t *operation = json_pack(
        "{s:s, s:s, s:[s], s:o, s:s, s:i, s:b, s:{s:o, s:{s:s}, s:{s:s}}}", "operationId", id,
        "summary", c->title, "tags", controller_class_name(c->device_class), "parameters",
        describe_parameters(c), "x-role", c->role == CONTROLLER_SET ? "set" : "get", "x-object",
        (int)c->object, "x-dimmable", c->needs_dimmable ? 1 : 0, "responses", "200",
        describe_answer(c), "400", "$ref", "#/components/responses/error", "404", "$ref",
        "#/components/responses/error");
    return operation;
}

/* The same with POST, where the parameters stand in a form. */
static json_t *describe_form(const struct controller *c)
{
    char id[48];
    format_id(c, "post", id, sizeof(id));
    return json_pack("{s:s, s:s, s:[s], s:{s:s}, s:{s:{s:s}}}", "operationId", id, "summary",
                     c->title, "tags", controller_class_name(c->device_class), "requestBody",
                     "$ref", "#/components/requestBodies/form", "responses", "default", "$ref",
                     "#/components/responses/form");
}

static json_t *describe_components(void)
{
    return json_pack(
        "{s:{s:{s:s, s:s, s:b, s:s, s:{s:s}}, s:{s:s, s:s, s:b, s:s, s:{s:s, s:s}},"
        "  s:{s:s, s:s, s:b, s:s, s:{s:s}}},"
        " s:{s:{s:s, s:{s:{s:{s:s}}}}},"
        " s:{s:{s:s, s:{s:{s:{s:s, s:[s], s:{s:{s:s}}}}}}, s:{s:s}}}",
        "parameters", "guid", "name", "guid", "in", "query", "required", 1, "description",
        "the device's identifier", "schema", "type", "string", "group", "name", "group", "in",
        "query", "required", 1, "description", "the KNX group address, like 1/0/1", "schema",
        "type", "string", "pattern", "^[0-9]+(/[0-9]+){1,2}$", "fb", "name", "fb", "in", "query",
        "allowEmptyValue", 1, "description",
        "wait for the device's feedback; the answer then has its status", "schema", "type",
        "string", "requestBodies", "form", "description", "the parameters of GET, as a form",
        "content", "application/x-www-form-urlencoded", "schema", "type", "object", "responses",
        "error", "description",
        "device not found (404), params errors or impossible to execute (400)", "content",
        "application/json", "schema", "type", "object", "required", "error", "properties", "error",
        "type", "string", "form", "description", "as with GET");
}

static json_t *describe_paths(void)
{
    json_t *paths = json_object();

    for (size_t i = 0; i < controller_count(); i++) {
        const struct controller *c = controller_at(i);
        char path[48];
        (void)snprintf(path, sizeof(path), "/%s", c->name);
        json_t *item =
            json_pack("{s:o, s:o}", "get", describe_operation(c), "post", describe_form(c));
        if (json_object_set_new(paths, path, item) != 0) {
            json_decref(paths);
            return NULL;
        }
    }
    return paths;
}

static json_t *describe_server(const char *base_url)
{
    if (strstr(base_url, "{key}") == NULL) {
        return json_pack("{s:s}", "url", base_url);
    }
    return json_pack("{s:s, s:{s:{s:s, s:s}}}", "url", base_url, "variables", "key", "default",
                     "KEY", "description", "the building's Integration Kit key");
}

json_t *kit_describe(const char *base_url)
{
    return json_pack("{s:s, s:{s:s, s:s, s:s}, s:[o], s:o, s:o}", "openapi", "3.1.0", "info",
                     "title", "Thinknx Integration Kit", "version", "1", "description",
                     "The calls of a Thinknx server, as its vendor documents them.", "servers",
                     describe_server(base_url), "paths", describe_paths(), "components",
                     describe_components());
}
