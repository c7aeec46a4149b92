/* SPDX-License-Identifier: Apache-2.0 */
/* The context of libwebsockets on our loop, its vhosts (lanes), and the turns of the links.
 *
 * The context is created on the foreign loop, and destroyed in two calls: the first begins to close
 * what lws has on the loop, the second frees it when the loop has ended. libwebsockets opens its
 * libuv support at run time (package libwebsockets-evlib-uv). */
#include "agent/tunnel/link_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/log.h"
#include "proto/base/span.h"

/* For lws' part: the upgrade, and what little may come with its answer. */
#define UPGRADE_BYTES 4096

/* More than a vhost is made of. */
#define VHOST_BYTES 16384

/* Upgrades at once; one more would wait for one to end. More than there can be relays. */
#define HEADER_POOL 64

static const struct lws_protocols protocols[] = {
    {LINK_SUBPROTOCOL, link_on_event, 0, UPGRADE_BYTES, 0, NULL, 0},
    {NULL, NULL, 0, 0, 0, NULL, 0},
};

/* lws' lines are for a developer: whatever matters is reported by us, as a sentence. */
static void emit(int level, const char *line)
{
    (void)level;
    log_event(LOG_LEVEL_DEBUG, "libwebsockets",
              log_span("line", (struct span){line, strcspn(line, "\n")}));
}

/* There is one thread. */
static bool making;
static void *reserve;

static void *get(void *old, size_t len)
{
    return old == NULL ? malloc(len) : realloc(old, len);
}

/* While lws makes its context or a vhost, memory that ends ends the program: 4.1.6 destroys such a
 * context with a loop that it has not been given yet, and goes on with half a vhost, and crashes in
 * both. For a vhost, which a reload may want, there is a reserve. */
static void *allocate(void *old, size_t len, const char *what)
{
    (void)what;
    if (len == 0) {
        free(old);
        return NULL;
    }
    void *p = get(old, len);
    if (p == NULL && reserve != NULL) {
        free(reserve);
        reserve = NULL;
        p = get(old, len);
    }
    if (p == NULL && making) {
        (void)fprintf(stderr, "%s: libwebsockets cannot go on: no memory\n",
                      program_invocation_short_name);
        _exit(1); /* not exit(): the loop and its handles are half made */
    }
    return p;
}

static struct lws_context *create_context(const struct lws_context_creation_info *info)
{
    lws_set_allocator(allocate);
    making = true;
    struct lws_context *context = lws_create_context(info);
    making = false;
    return context;
}

static uint64_t options(void)
{
    return LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
           LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
}

static struct link *find_due(struct link_set *s)
{
    for (struct list *node = s->links.next; node != &s->links; node = node->next) {
        struct link *l = LIST_ITEM(node, struct link, node);
        if (l->turn != s->turn && l->state == LINK_OPEN) {
            return l;
        }
    }
    return NULL;
}

/* One after the other from the start each time, because on_turn may end any link. */
static void take_turn(struct link_set *s)
{
    s->turn++;
    for (struct link *l = find_due(s); l != NULL; l = find_due(s)) {
        l->turn = s->turn;
        l->callbacks.on_turn(l->user);
    }
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct link_set *s = prepare->data;
    struct list *node = s->links.next;

    (void)uv_idle_stop(&s->again);
    while (node != &s->links && link_prepare(LIST_ITEM(node, struct link, node))) {
        node = node->next;
    }
    take_turn(s);
}

static void on_again(uv_idle_t *again)
{
    (void)again; /* that it is active keeps the loop from sleeping */
}

void link_look_again(struct link *l)
{
    (void)uv_idle_start(&l->set->again, on_again); /* fails only without a callback */
}

static void start_turns(struct link_set *s)
{
    /* None of the three can fail. */
    (void)uv_prepare_init(s->loop, &s->prepare);
    (void)uv_idle_init(s->loop, &s->again);
    s->prepare.data = s;
    (void)uv_prepare_start(&s->prepare, on_prepare);
}

int link_set_new(uv_loop_t *loop, struct link_set **set, struct error_text *e)
{
    struct link_set *s = calloc(1, sizeof(*s));
    void *loops[1] = {loop};

    if (s == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    list_init(&s->links);
    list_init(&s->lanes);
    list_init(&s->free);
    s->loop = loop;
    (void)unsetenv("http_proxy"); /* read by lws for each vhost; ours is a setting */
    lws_set_log_level(LLL_ERR | LLL_WARN, emit);
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options = options(),
        .foreign_loops = loops,
        .user = s,
        .gid = -1,
        .uid = -1,
        .pt_serv_buf_size = UPGRADE_BYTES,
        .max_http_header_pool = HEADER_POOL,
        .timeout_secs = LINK_OPEN_MS / 1000,
    };
    s->context = create_context(&info);
    if (s->context == NULL) {
        free(s);
        return error_set(e, ERROR_INTERNAL,
                         "cannot start libwebsockets: is libwebsockets-evlib-uv installed?");
    }
    start_turns(s);
    *set = s;
    return 0;
}

void link_set_stop(struct link_set *s)
{
    uv_close((uv_handle_t *)&s->prepare, NULL);
    uv_close((uv_handle_t *)&s->again, NULL);
    lws_context_destroy(s->context);
}

static void on_swept(uv_handle_t *handle)
{
    free(handle); /* allocated by lws, which uses malloc */
}

/* All of lws' handles are closed by now but those that it has lost. */
static void sweep(uv_handle_t *handle, void *user)
{
    (void)user;
    if (handle->type == UV_POLL && !uv_is_closing(handle)) {
        uv_close(handle, on_swept);
    }
}

static void free_lanes(struct list *lanes)
{
    struct list *node = lanes->next;

    while (node != lanes) {
        struct link_lane *lane = LIST_ITEM(node, struct link_lane, node);
        node = node->next;
        trust_free(lane->trust);
        free(lane);
    }
}

void link_set_free(struct link_set *s)
{
    if (s == NULL) {
        return;
    }
    uv_walk(s->loop, sweep, NULL);
    (void)uv_run(s->loop, UV_RUN_DEFAULT);
    /* The second call frees what the first had to leave to the loop. */
    lws_context_destroy(s->context);
    free_lanes(&s->lanes);
    free_lanes(&s->free);
    websocket_parser_free(s->spare_parser);
    free(s);
}

size_t link_set_n_links(const struct link_set *s)
{
    return s->n_links;
}

static int open_vhost(struct link_lane *lane)
{
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN,
        .options = options(),
        .protocols = protocols,
        .vhost_name = lane->name,
        .provided_client_ssl_ctx = trust_context(lane->trust),
        .gid = -1,
        .uid = -1,
    };
    reserve = malloc(VHOST_BYTES);
    if (reserve == NULL) {
        return ERROR_NOMEM;
    }
    making = true;
    lane->vhost = lws_create_vhost(lane->set->context, &info);
    making = false;
    free(reserve);
    reserve = NULL;
    return lane->vhost == NULL ? ERROR_INTERNAL : 0;
}

/* One more on the list of free ones. */
static int make_lane(struct link_set *s, const struct trust_settings *trust, struct error_text *e)
{
    struct link_lane *lane = calloc(1, sizeof(*lane));

    if (lane == NULL) {
        return error_set(e, ERROR_NOMEM, "no memory");
    }
    lane->set = s;
    (void)snprintf(lane->name, sizeof(lane->name), "relay-%zu", s->n_lanes);
    int rc = trust_new(trust, &lane->trust, e);
    if (rc != 0) {
        goto fail;
    }
    rc = open_vhost(lane);
    if (rc != 0) {
        (void)error_set(e, rc, "libwebsockets cannot make a vhost");
        goto fail;
    }
    s->n_lanes++;
    list_push(&s->free, &lane->node);
    return 0;

fail:
    trust_free(lane->trust);
    free(lane);
    return rc;
}

int link_lane_open(struct link_set *s, const struct trust_settings *trust, struct link_lane **lane,
                   struct error_text *e)
{
    struct list *node = list_first(&s->free);
    int rc = node == NULL ? make_lane(s, trust, e)
                          : trust_change(LIST_ITEM(node, struct link_lane, node)->trust, trust, e);

    node = rc == 0 ? list_pop(&s->free) : NULL;
    if (node != NULL) {
        list_push(&s->lanes, node);
        *lane = LIST_ITEM(node, struct link_lane, node);
    }
    return rc;
}

int link_lane_change(struct link_lane *lane, const struct trust_settings *trust,
                     struct error_text *e)
{
    return trust_change(lane->trust, trust, e);
}

void link_lane_close(struct link_lane *lane)
{
    list_remove(&lane->node);
    list_push(&lane->set->free, &lane->node);
}
