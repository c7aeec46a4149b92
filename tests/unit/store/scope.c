/* SPDX-License-Identifier: Apache-2.0 */
/* What a scope allows, and what it must refuse because it cannot be sure. */
#include "tests/unit/store/scratch.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "relay/store/cidr.h"
#include "relay/store/scope.h"
#include "relay/store/scope_pool.h"

static struct scope *parse(const char *json)
{
    struct scope *scope = NULL;
    struct error_text e;
    if (scope_parse(span_of(json), &scope, &e) != 0) {
        fail_msg("%s: %s", json, e.text);
    }
    return scope;
}

/* "power?guid=a": a GET. */
static bool allows_get(const struct scope *scope, const char *call)
{
    struct span query = span_of(call);
    struct scope_request r = {.controller = span_cut(&query, '?')};
    r.query = query;
    return scope_allows(scope, &r);
}

static bool allows_post(const struct scope *scope, const char *call, const char *type,
                        const char *body)
{
    struct span query = span_of(call);
    struct scope_request r = {.controller = span_cut(&query, '?'), .is_post = true};
    r.query = query;
    r.content_type = span_of(type);
    r.body = span_of(body);
    return scope_allows(scope, &r);
}

#define FORM "application/x-www-form-urlencoded"

static void empty_object_allows_everything(void **state)
{
    struct scope *scope = parse("{}");
    (void)state;
    assert_null(scope);
    assert_null(parse("{\"read_only\":false}"));
    assert_true(allows_get(NULL, "power?guid=a&cmd=1"));
    assert_true(allows_get(NULL, "whatever"));
}

static void bad_scopes_are_refused_with_a_sentence(void **state)
{
    static const char *const BAD[] = {
        "",
        "{",
        "[]",
        "null",
        "{}{}",
        "{\"read_only\":1}",
        "{\"read_only\":true,\"read_only\":false}",
        "{\"readonly\":true}",
        "{\"controllers\":\"power\"}",
        "{\"controllers\":[]}",
        "{\"controllers\":[\"Power\"]}",
        "{\"controllers\":[1]}",
        "{\"guids\":[]}",
        "{\"guids\":[\"\"]}",
        "{\"guids\":[\"a b\"]}",
        "{\"guids\":[\"a%41\"]}",
        "{\"guids\":[\"a\\u0000b\"]}",
        "{\"guids\":[\"a&b\"]}",
        "{\"guids\":[\"a?b\"]}",
        "{\"groups\":[\"*\"]}",
        "{\"groups\":[\"1/2\"]}",
        "{\"groups\":[\"1/2/256\"]}",
        "{\"groups\":[\"1/8/1\"]}",
        "{\"groups\":[\"32/1/1\"]}",
        "{\"groups\":[\"01/1/1\"]}",
        "{\"groups\":[\"1/2/3/4\"]}",
        "{\"groups\":[\"1/*/3\"]}",
        "{\"groups\":[\"1/2/*/\"]}",
        "{\"cidrs\":[\"10.0.0.0/33\"]}",
        "{\"cidrs\":[\"10.0.0.1/8\"]}",
        "{\"cidrs\":[\"10.0.0\"]}",
        "{\"cidrs\":[\"::/129\"]}",
        "{\"cidrs\":[\"10.0.0.0/\"]}",
        "{\"cidrs\":[\"10.0.0.0\\u0000/8\"]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        struct scope *scope = NULL;
        struct error_text e = {""};
        if (scope_parse(span_of(BAD[i]), &scope, &e) != ERROR_SYNTAX) {
            fail_msg("accepted: %s", BAD[i]);
        }
        assert_contains(e.text, "scope: ");
        assert_null(scope);
    }
}

static void lists_and_texts_have_a_maximum(void **state)
{
    static char json[SCOPE_TEXT_BYTES_MAX + 2];
    struct scope *scope = NULL;
    struct error_text e;
    (void)state;

    for (size_t n = SCOPE_ITEMS_MAX; n <= SCOPE_ITEMS_MAX + 1; n++) {
        size_t len = (size_t)snprintf(json, sizeof(json), "{\"guids\":[\"x\"");
        for (size_t i = 1; i < n; i++) {
            len += (size_t)snprintf(json + len, sizeof(json) - len, ",\"g%zu\"", i);
        }
        (void)snprintf(json + len, sizeof(json) - len, "]}");
        int rc = scope_parse(span_of(json), &scope, &e);
        assert_int_equal(rc, n > SCOPE_ITEMS_MAX ? ERROR_LIMIT : 0);
    }
    assert_true(allows_get(scope, "power?guid=g255"));
    assert_false(allows_get(scope, "power?guid=g256"));
    scope_free(scope);

    memset(json, ' ', sizeof(json));
    json[0] = '{';
    json[1] = '}';
    assert_int_equal(scope_parse((struct span){json, SCOPE_TEXT_BYTES_MAX}, &scope, &e), 0);
    assert_int_equal(scope_parse((struct span){json, SCOPE_TEXT_BYTES_MAX + 1}, &scope, &e),
                     ERROR_LIMIT);
}

static void read_only_allows_status_calls(void **state)
{
    struct scope *scope = parse("{\"read_only\":true}");
    static const char *const READS[] = {
        "powerstatus?guid=a",      "powerlevelstatus?guid=a",   "heightlevelstatus?guid=a",
        "blindanglestatus?guid=a", "getvalue?guid=a",           "actualtemp?guid=a",
        "setpointstatus?guid=a",   "tempmodestatus?guid=a",     "chronoenstatus?guid=a",
        "hvacpowerstatus?guid=a",  "hvacsetpointstatus?guid=a", "hvacmodestatus?guid=a",
        "hvacfanstatus?guid=a",    "system/serverStatus",
    };
    static const char *const WRITES[] = {
        "power?guid=a&cmd=1",
        "heightlevel?guid=a&val=3",
        "trigger?guid=a",
        "scenelaunch?guid=a",
        "setvalue?guid=a&cmd=1",
        "system/sendKNXbit?group=1/2/3&value=1",
        /* Not known, not known so, or not quite: in doubt, no. */
        "PowerStatus?guid=a",
        "powerstatus/?guid=a",
        "powerstatus/power",
        "",
        "status",
        "/powerstatus",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(READS) / sizeof(READS[0]); i++) {
        assert_true(allows_get(scope, READS[i]));
        assert_true(allows_post(scope, READS[i], FORM, "guid=a"));
    }
    for (size_t i = 0; i < sizeof(WRITES) / sizeof(WRITES[0]); i++) {
        assert_false(allows_get(scope, WRITES[i]));
        assert_false(allows_post(scope, WRITES[i], FORM, "guid=a"));
    }
    scope_free(scope);
}

static void only_listed_controllers_are_allowed(void **state)
{
    struct scope *scope = parse("{\"controllers\":[\"power\",\"system/sendKNXbit\"]}");
    (void)state;
    assert_true(allows_get(scope, "power?guid=a&cmd=1"));
    assert_true(allows_get(scope, "system/sendKNXbit?group=1/2/3&value=1"));
    assert_false(allows_get(scope, "powerstatus?guid=a"));
    assert_false(allows_get(scope, "POWER?guid=a"));
    assert_false(allows_get(scope, "system/sendKNXbyte?group=1/2/3&value=1"));
    assert_true(allows_post(scope, "power", FORM, "guid=a&cmd=1"));
    assert_false(allows_post(scope, "power?guid=a&cmd=1", "application/json", "{}"));
    scope_free(scope);
    scope = parse("{\"controllers\":[\"power\",\"powerstatus\"],\"read_only\":true}");
    assert_false(allows_get(scope, "power?guid=a&cmd=1"));
    assert_true(allows_get(scope, "powerstatus?guid=a"));
    scope_free(scope);
}

static void only_listed_devices_are_allowed_however_they_are_written(void **state)
{
    struct scope *scope = parse("{\"guids\":[\"1lzPszHWAeuvzxtXBMkzWQ\",\"ab\"]}");
    static const char *const GOOD[] = {
        "power?guid=1lzPszHWAeuvzxtXBMkzWQ&cmd=1&fb",
        "power?cmd=1&guid=ab",
        "power?&&guid=ab&&cmd=1",
        "power?guid=%61b",
        "power?%67uid=ab",
        "power?guid=ab&x=a+b%20c&value=-1.5",
        "powerstatus?guid=ab",
        "system/serverStatus",
    };
    static const char *const BAD[] = {
        "power",
        "power?",
        "power?cmd=1",
        "power?guid",
        "power?guid=",
        "power?guid=b",
        "power?guid=AB",
        "power?guid=ab ",
        "power?guid=ab+",
        "power?guid=ab%00",
        "power?guid=ab%0",
        "power?guid=ab%zz",
        "power?guid=%2561b",
        /* Twice, in any spelling: which one would the server take? */
        "power?guid=ab&guid=b",
        "power?guid=b&guid=ab",
        "power?guid=ab&guid=ab",
        "power?guid=ab&%67uid=b",
        "power?%67%75%69%64=b&guid=ab",
        "power?guid=ab&GUID=b",
        "power?guid=ab&Guid=b",
        "power?guid=ab&guid[]=b",
        "power?guid=ab&guid%5B0%5D=b",
        "power?guid=ab&+guid=b",
        "power?guid=ab&guid%20=b",
        "power?guid=ab&guid.x=b",
        "power?guid=ab&_guid=b",
        "power?guid=ab&%2567uid=b",
        /* A ";" that some servers take for "&". */
        "power?guid=ab;guid=b",
        "power?cmd=1;guid=b&guid=ab",
        "power?a;guid=b&guid=ab",
        "power?guid=ab&x=1;guid=b",
        /* A server that decodes before it splits, or splits at the last "?", finds another. */
        "power?guid=ab&x=%26guid=b",
        "power?guid=ab&x%26guid=b",
        "power?x%26guid%3Db&guid=ab",
        "power?guid=ab&x=%3Bguid=b",
        "power?guid=ab&x=1%2526guid=b",
        "power?guid=ab%26guid%3Db",
        "power?x=1?guid=b&guid=ab",
        "power?x?guid=b&guid=ab",
        "power?guid=ab&x=%23&y",
        "power?guid=ab&x=%00",
        "power?guid=ab&x=%0D%0A",
        /* Letters that some take for others, and a word that says how to read. */
        "power?guid=ab&gu%C4%B1d=b",
        "power?guid=ab&%EF%BD%87uid=b",
        "power?guid=ab&x=%EF%BC%86guid=b",
        "power?guid=ab&_charset_=utf-16",
        /* Names that cannot be read. */
        "power?%=1&guid=ab",
        "power?%g1=1&guid=ab",
        "power?a%00=1&guid=ab",
        /* Telegrams reach any device. */
        "system/sendKNXbit?group=1/2/3&value=1",
        "system/sendKNXbit?group=1/2/3&value=1&guid=ab",
        "unknown?guid=ab",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        if (!allows_get(scope, GOOD[i])) {
            fail_msg("refused: %s", GOOD[i]);
        }
    }
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        if (allows_get(scope, BAD[i])) {
            fail_msg("allowed: %s", BAD[i]);
        }
    }
    scope_free(scope);
}

static void forms_are_read_like_queries(void **state)
{
    struct scope *scope = parse("{\"guids\":[\"ab\"]}");
    (void)state;
    assert_true(allows_post(scope, "power", FORM, "guid=ab&cmd=1"));
    assert_true(allows_post(scope, "power", "Application/X-WWW-Form-URLencoded; charset=utf-8",
                            "guid=%61b"));
    assert_true(allows_post(scope, "power?guid=ab&cmd=1", "", ""));
    assert_true(allows_post(scope, "power?guid=ab", FORM, "cmd=1"));
    assert_false(allows_post(scope, "power", FORM, "guid=b"));
    assert_false(allows_post(scope, "power", FORM, ""));
    /* In the query and in the form. */
    assert_false(allows_post(scope, "power?guid=ab", FORM, "guid=ab"));
    assert_false(allows_post(scope, "power?guid=ab", FORM, "guid=b"));
    assert_false(allows_post(scope, "power?guid=b", FORM, "guid=ab"));
    assert_false(allows_post(scope, "power?guid=ab", FORM, "GUID=b"));
    /* Bodies that are no form, or say so. */
    assert_false(allows_post(scope, "power?guid=ab", "application/json", "{\"guid\":\"b\"}"));
    assert_false(allows_post(scope, "power?guid=ab", "", "guid=ab"));
    assert_false(allows_post(scope, "power?guid=ab", "multipart/form-data; boundary=x", "x"));
    assert_false(allows_post(scope, "power", "application/x-www-form-urlencoded2", "guid=ab"));
    assert_false(allows_post(scope, "power", FORM ", text/plain", "guid=ab"));
    /* In another charset the same bytes say something else. */
    assert_true(allows_post(scope, "power", FORM ";charset=\"UTF-8\"", "guid=ab"));
    assert_false(allows_post(scope, "power?guid=ab", FORM "; charset=ibm037", "\x87\xa4\x89\x84"));
    assert_false(allows_post(scope, "power", FORM "; charset=utf-16", "guid=ab"));
    assert_false(allows_post(scope, "power", FORM "; charset=utf-8; charset=utf-7", "guid=ab"));
    assert_false(allows_post(scope, "power", FORM "; charset", "guid=ab"));
    assert_false(allows_post(scope, "power", FORM ";", "guid=ab"));
    assert_false(allows_post(scope, "power", FORM "; boundary=x", "guid=ab"));
    /* Compressed: its parameters are not those that can be read here. */
    const struct scope_request packed = {.controller = span_of("power"),
                                         .is_post = true,
                                         .content_type = span_of(FORM),
                                         .is_encoded = true,
                                         .body = span_of("guid=ab")};
    assert_false(scope_allows(scope, &packed));
    /* A GET with a body. */
    const struct scope_request odd = {.controller = span_of("power"),
                                      .query = span_of("guid=ab"),
                                      .content_type = span_of(FORM),
                                      .body = span_of("cmd=1")};
    assert_false(scope_allows(scope, &odd));
    scope_free(scope);
}

static void only_listed_groups_are_allowed(void **state)
{
    struct scope *scope = parse("{\"groups\":[\"1/2/*\",\"3/*\",\"4/5/6\"]}");
    static const char *const GOOD[] = {"1/2/0", "1/2/255",   "3/0/0",  "3/7/255",
                                       "4/5/6", "1%2F2%2F9", "1%2f2/9"};
    static const char *const BAD[] = {"1/1/255", "1/3/0",  "2/7/255",  "4/0/0",   "4/5/5",
                                      "4/5/7",   "1/2",    "1/2/",     "1/2/256", "1/2/*",
                                      "01/2/3",  "1/2/03", "1/2/3/4",  "2563",    " 1/2/3",
                                      "1/2/+3",  "1/2/-3", "1/2/3%20", "*",       ""};
    char call[64];
    (void)state;
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        (void)snprintf(call, sizeof(call), "system/sendKNXbit?group=%s&value=1", GOOD[i]);
        assert_true(allows_get(scope, call));
    }
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        (void)snprintf(call, sizeof(call), "system/sendKNXbit?group=%s&value=1", BAD[i]);
        if (allows_get(scope, call)) {
            fail_msg("allowed: %s", call);
        }
    }
    assert_false(allows_get(scope, "system/sendKNXbit?group=1/2/3&group=9/0/1&value=1"));
    assert_false(allows_get(scope, "system/sendKNXbit?group=1/2/3&Group=9/0/1&value=1"));
    assert_false(allows_get(scope, "power?guid=ab"));
    assert_true(allows_get(scope, "system/serverStatus"));
    scope_free(scope);
}

static struct sockaddr_storage address(const char *text)
{
    struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        memcpy(&storage, &v4, sizeof(v4));
    } else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        memcpy(&storage, &v6, sizeof(v6));
    }
    return storage;
}

static bool allows_from(const struct scope *scope, const char *client)
{
    struct sockaddr_storage from = address(client);
    const struct scope_request r = {.controller = span_of("power"),
                                    .query = span_of("guid=a&guid=b"),
                                    .client = (const struct sockaddr *)&from};
    return scope_allows(scope, &r);
}

static void only_listed_addresses_are_allowed(void **state)
{
    struct scope *scope =
        parse("{\"cidrs\":[\"10.0.0.0/8\",\"192.0.2.7\",\"192.168.4.0/22\",\"2001:db8::/33\"]}");
    static const char *const GOOD[] = {"10.0.0.0",    "10.255.255.255",  "192.0.2.7",
                                       "192.168.4.0", "192.168.7.255",   "::ffff:10.1.2.3",
                                       "2001:db8::1", "2001:db8:7fff::1"};
    static const char *const BAD[] = {
        "9.255.255.255",   "11.0.0.0",        "192.0.2.6",  "192.168.8.0", "192.168.3.255",
        "::ffff:11.0.0.0", "2001:db8:8000::", "::10.0.0.1", "::1",         "no address"};
    (void)state;
    for (size_t i = 0; i < sizeof(GOOD) / sizeof(GOOD[0]); i++) {
        assert_true(allows_from(scope, GOOD[i]));
    }
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        assert_false(allows_from(scope, BAD[i]));
    }
    assert_false(allows_get(scope, "power?guid=a"));
    scope_free(scope);
}

static void blocks_may_be_as_wide_and_as_narrow_as_can_be(void **state)
{
    struct cidr block;
    struct sockaddr_storage v4 = address("203.0.113.9");
    struct sockaddr_storage v6 = address("2001:db8::9");
    const struct sockaddr *a4 = (const struct sockaddr *)&v4;
    const struct sockaddr *a6 = (const struct sockaddr *)&v6;
    (void)state;
    assert_int_equal(cidr_parse(span_of("0.0.0.0/0"), &block), 0);
    assert_true(cidr_contains(&block, a4));
    assert_false(cidr_contains(&block, a6));
    assert_int_equal(cidr_parse(span_of("::/0"), &block), 0);
    assert_false(cidr_contains(&block, a4));
    assert_true(cidr_contains(&block, a6));
    assert_int_equal(cidr_parse(span_of("203.0.113.8/31"), &block), 0);
    assert_true(cidr_contains(&block, a4));
    assert_int_equal(cidr_parse(span_of("2001:db8::9/128"), &block), 0);
    assert_true(cidr_contains(&block, a6));
    assert_false(cidr_contains(&block, NULL));
    const struct span bad[] = {
        span_of("2001:0db8:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000/32"),
        {"10.0.0.0\0/8", 11},
        {"10.0.0.0/8\0", 11},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(cidr_parse(bad[i], &block), ERROR_SYNTAX);
    }
}

static void same_texts_share_one_scope(void **state)
{
    struct scope_pool pool;
    struct scope_shared *a = NULL;
    struct scope_shared *b = NULL;
    struct scope_shared *c = NULL;
    struct error_text e;
    (void)state;

    scope_pool_init(&pool);
    assert_int_equal(scope_pool_take(&pool, span_of("{\"read_only\":true}"), &a, &e), 0);
    assert_int_equal(scope_pool_take(&pool, span_of("{\"read_only\":true}"), &b, &e), 0);
    assert_int_equal(scope_pool_take(&pool, span_of("{\"read_only\": true}"), &c, &e), 0);
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    scope_pool_give(&pool, a);
    assert_false(allows_get(b->scope, "power"));
    scope_pool_give(&pool, b);
    scope_pool_give(&pool, c);
    assert_int_equal(scope_pool_take(&pool, span_of(""), &a, &e), 0);
    assert_null(a);
    scope_pool_give(&pool, NULL);
    assert_int_equal(scope_pool_take(&pool, span_of("{"), &a, &e), ERROR_SYNTAX);
    scope_pool_close(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_object_allows_everything),
        cmocka_unit_test(bad_scopes_are_refused_with_a_sentence),
        cmocka_unit_test(lists_and_texts_have_a_maximum),
        cmocka_unit_test(read_only_allows_status_calls),
        cmocka_unit_test(only_listed_controllers_are_allowed),
        cmocka_unit_test(only_listed_devices_are_allowed_however_they_are_written),
        cmocka_unit_test(forms_are_read_like_queries),
        cmocka_unit_test(only_listed_groups_are_allowed),
        cmocka_unit_test(only_listed_addresses_are_allowed),
        cmocka_unit_test(blocks_may_be_as_wide_and_as_narrow_as_can_be),
        cmocka_unit_test(same_texts_share_one_scope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
