/* SPDX-License-Identifier: Apache-2.0 */
/* Either end of a websocket. wslay's frame interface returns a frame in pieces: the first
 * return of each carries its header, later ones more payload; it has no limit of its own and checks
 * neither opcodes nor masks nor the order of fragments, so that is done here on the first piece.
 *
 * wslay's context is 4 kB of buffer, more than everything else of an idle tunnel but TLS: a
 * websocket has one only while a frame is incomplete, and all of a thread take the same one
 * otherwise. */
#include "proto/websocket/websocket.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#include "proto/base/error.h"

#define KEY_CHARS   24
#define KEY_BYTES   16
#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

struct websocket_parser {
    wslay_frame_context_ptr wslay;
    struct websocket *owner; /* whose bytes it reads */
};

struct websocket {
    enum websocket_role role;
    struct websocket_parser *parser; /* owned; NULL between frames */
    struct websocket_parser **spare; /* where it comes from and goes back to */
    size_t partial_bytes;            /* given to wslay, of frames that are not complete */
    struct websocket_callbacks callbacks;
    void *user;
    const uint8_t *in; /* being fed */
    size_t in_len;
    bool in_frame;   /* more payload of the frame is to come */
    bool in_message; /* a fragmented message has begun */
    bool fin;
    uint8_t opcode;       /* of the frame */
    uint64_t frame_left;  /* payload bytes that are still to come */
    size_t payload_len;   /* of the frame; meant only when the header was found good */
    size_t message_bytes; /* of the message so far */
    uint8_t control[WEBSOCKET_CONTROL_BYTES_MAX];
    size_t control_len;
};

static ssize_t on_wslay_recv(uint8_t *buf, size_t len, int flags, void *user)
{
    (void)flags;
    struct websocket *w = ((struct websocket_parser *)user)->owner;
    if (w->in_len == 0) {
        return -1; /* as WANT_READ; 0 would be an error */
    }
    size_t n = len < w->in_len ? len : w->in_len;
    memcpy(buf, w->in, n);
    w->in += n;
    w->in_len -= n;
    w->partial_bytes += n;
    return (ssize_t)n;
}

void websocket_parser_free(struct websocket_parser *p)
{
    if (p != NULL) {
        wslay_frame_context_free(p->wslay); /* takes NULL */
        free(p);
    }
}

static struct websocket_parser *parser_new(void)
{
    const struct wslay_frame_callbacks callbacks = {NULL, on_wslay_recv, NULL};
    struct websocket_parser *p = calloc(1, sizeof(*p));
    if (p != NULL && wslay_frame_context_init(&p->wslay, &callbacks, p) < 0) {
        free(p);
        return NULL;
    }
    return p;
}

static int take_parser(struct websocket *w)
{
    if (w->parser == NULL) {
        w->parser = *w->spare != NULL ? *w->spare : parser_new();
        *w->spare = NULL;
    }
    if (w->parser == NULL) {
        return ERROR_NOMEM;
    }
    w->parser->owner = w;
    return 0;
}

/* It is between frames, as it was when it was taken. */
static void give_parser(struct websocket *w)
{
    if (*w->spare == NULL) {
        *w->spare = w->parser;
    } else {
        websocket_parser_free(w->parser);
    }
    w->parser = NULL;
}

struct websocket *websocket_new(enum websocket_role role,
                                const struct websocket_callbacks *callbacks, void *user,
                                struct websocket_parser **spare)
{
    struct websocket *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return NULL;
    }
    w->role = role;
    w->callbacks = *callbacks;
    w->user = user;
    w->spare = spare;
    return w;
}

void websocket_free(struct websocket *w)
{
    if (w != NULL) {
        websocket_parser_free(w->parser);
        free(w);
    }
}

static bool is_control(uint8_t opcode)
{
    return (opcode & 0x8) != 0;
}

static int check_data_frame(struct websocket *w, const struct wslay_frame_iocb *f)
{
    bool continuation = f->opcode == WSLAY_CONTINUATION_FRAME;
    if (continuation != w->in_message) {
        return WEBSOCKET_CLOSE_PROTOCOL;
    }
    if (!continuation && f->opcode != WSLAY_BINARY_FRAME) {
        return f->opcode == WSLAY_TEXT_FRAME ? WEBSOCKET_CLOSE_UNSUPPORTED
                                             : WEBSOCKET_CLOSE_PROTOCOL;
    }
    if (!continuation) {
        w->message_bytes = 0;
    }
    if (f->payload_length > WEBSOCKET_MESSAGE_BYTES_MAX - w->message_bytes) {
        return WEBSOCKET_CLOSE_TOO_BIG;
    }
    w->message_bytes += (size_t)f->payload_length;
    w->in_message = f->fin == 0;
    return 0;
}

/* Judges the header of a new frame. */
static int begin_frame(struct websocket *w, const struct wslay_frame_iocb *f)
{
    bool must_be_masked = w->role == WEBSOCKET_SERVER;
    if ((f->mask != 0) != must_be_masked || f->rsv != 0) {
        return WEBSOCKET_CLOSE_PROTOCOL;
    }
    w->opcode = f->opcode;
    w->fin = f->fin != 0;
    w->frame_left = f->payload_length;
    w->payload_len = (size_t)f->payload_length;
    w->in_frame = true;
    w->control_len = 0;
    if (!is_control(f->opcode)) {
        return check_data_frame(w, f);
    }
    bool known =
        f->opcode == WSLAY_CONNECTION_CLOSE || f->opcode == WSLAY_PING || f->opcode == WSLAY_PONG;
    bool sound = f->fin != 0 && f->payload_length <= WEBSOCKET_CONTROL_BYTES_MAX;
    return known && sound ? 0 : WEBSOCKET_CLOSE_PROTOCOL;
}

/* Codes that may stand in a close frame (RFC 6455 7.4.1, 7.4.2). */
static bool close_code_ok(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

/* The first byte behind the UTF-8 sequence at `at`, or 0 if there is no sound one (RFC 3629). */
static size_t utf8_next(const uint8_t *p, size_t at, size_t len)
{
    static const struct {
        uint8_t first_min, first_max, second_min, second_max, n_more;
    } forms[] = {
        {0x00, 0x7f, 0, 0, 0},       {0xc2, 0xdf, 0x80, 0xbf, 1}, {0xe0, 0xe0, 0xa0, 0xbf, 2},
        {0xe1, 0xec, 0x80, 0xbf, 2}, {0xed, 0xed, 0x80, 0x9f, 2}, {0xee, 0xef, 0x80, 0xbf, 2},
        {0xf0, 0xf0, 0x90, 0xbf, 3}, {0xf1, 0xf3, 0x80, 0xbf, 3}, {0xf4, 0xf4, 0x80, 0x8f, 3},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (p[at] < forms[i].first_min || p[at] > forms[i].first_max) {
            continue;
        }
        if (forms[i].n_more >= len - at) {
            return 0;
        }
        for (size_t k = 1; k <= forms[i].n_more; k++) {
            uint8_t low = k == 1 ? forms[i].second_min : 0x80;
            uint8_t high = k == 1 ? forms[i].second_max : 0xbf;
            if (p[at + k] < low || p[at + k] > high) {
                return 0;
            }
        }
        return at + forms[i].n_more + 1U;
    }
    return 0;
}

static bool utf8_ok(const uint8_t *p, size_t len)
{
    size_t at = 0;
    while (at < len) {
        at = utf8_next(p, at, len);
        if (at == 0) {
            return false;
        }
    }
    return true;
}

static int end_close(struct websocket *w)
{
    unsigned code = WEBSOCKET_CLOSE_NONE;
    if (w->control_len == 1) {
        return WEBSOCKET_CLOSE_PROTOCOL;
    }
    if (w->control_len >= 2) {
        code = (unsigned)w->control[0] << 8 | w->control[1];
        if (!close_code_ok(code) || !utf8_ok(w->control + 2, w->control_len - 2)) {
            return WEBSOCKET_CLOSE_PROTOCOL;
        }
    }
    w->callbacks.on_close(w->user, (uint16_t)code);
    return -1;
}

/* Bytes of the length behind the first two (RFC 6455 5.2). */
static size_t length_bytes(size_t payload_len)
{
    return payload_len <= 125 ? 0 : payload_len <= 0xffff ? 2 : 8;
}

/* What the peer's frame took on the wire; wslay refuses longer forms of a length. */
static size_t frame_bytes(const struct websocket *w)
{
    size_t mask_len = w->role == WEBSOCKET_SERVER ? WEBSOCKET_MASK_BYTES : 0;
    return 2 + length_bytes(w->payload_len) + mask_len + w->payload_len;
}

static int end_frame(struct websocket *w)
{
    w->in_frame = false;
    w->partial_bytes -= frame_bytes(w);
    switch (w->opcode) {
    case WSLAY_CONNECTION_CLOSE: return end_close(w);
    case WSLAY_PING: w->callbacks.on_ping(w->user, w->control, w->control_len); return 0;
    case WSLAY_PONG: return 0;
    default: return w->fin && w->callbacks.on_message_end(w->user) != 0 ? -1 : 0;
    }
}

static int take_payload(struct websocket *w, const uint8_t *bytes, size_t len)
{
    if (len > w->frame_left) {
        return WEBSOCKET_CLOSE_PROTOCOL;
    }
    w->frame_left -= len;
    if (!is_control(w->opcode)) {
        return len > 0 && w->callbacks.on_bytes(w->user, bytes, len) != 0 ? -1 : 0;
    }
    if (len > sizeof(w->control) - w->control_len) {
        return WEBSOCKET_CLOSE_PROTOCOL;
    }
    memcpy(w->control + w->control_len, bytes, len);
    w->control_len += len;
    return 0;
}

int websocket_feed(struct websocket *w, const uint8_t *bytes, size_t len)
{
    if (take_parser(w) < 0) {
        return WEBSOCKET_CLOSE_INTERNAL;
    }
    w->in = bytes;
    w->in_len = len;
    for (;;) {
        struct wslay_frame_iocb f;
        memset(&f, 0, sizeof(f));
        ssize_t n = wslay_frame_recv(w->parser->wslay, &f);
        if (n == WSLAY_ERR_WANT_READ) {
            if (w->partial_bytes == 0) {
                give_parser(w);
            }
            return 0;
        }
        if (n < 0) {
            return WEBSOCKET_CLOSE_PROTOCOL;
        }
        int err = w->in_frame ? 0 : begin_frame(w, &f);
        if (err == 0) {
            err = take_payload(w, f.data, f.data_length);
        }
        if (err == 0 && w->frame_left == 0) {
            err = end_frame(w);
        }
        if (err != 0) {
            return err;
        }
    }
}

/* RFC 6455 5.3, eight bytes at a time: wslay's loop takes them one by one. */
static void apply_mask(uint8_t *bytes, size_t len, const uint8_t *mask)
{
    uint8_t twice[2 * WEBSOCKET_MASK_BYTES];
    uint64_t word_mask = 0;
    uint64_t word = 0;
    size_t at = 0;

    memcpy(twice, mask, WEBSOCKET_MASK_BYTES);
    memcpy(twice + WEBSOCKET_MASK_BYTES, mask, WEBSOCKET_MASK_BYTES);
    memcpy(&word_mask, twice, sizeof(word_mask));
    for (; len - at >= sizeof(word); at += sizeof(word)) {
        memcpy(&word, bytes + at, sizeof(word));
        word ^= word_mask;
        memcpy(bytes + at, &word, sizeof(word));
    }
    for (; at < len; at++) {
        bytes[at] ^= mask[at % WEBSOCKET_MASK_BYTES];
    }
}

uint8_t *websocket_wrap(uint8_t *payload, size_t len, enum websocket_opcode opcode,
                        const uint8_t *mask, size_t *frame_len)
{
    size_t more = length_bytes(len);
    size_t header_len = 2 + more + (mask != NULL ? WEBSOCKET_MASK_BYTES : 0);
    uint8_t *frame = payload - header_len;

    frame[0] = (uint8_t)(0x80U | (unsigned)opcode);
    frame[1] = (uint8_t)(more == 0 ? len : more == 2 ? 126 : 127);
    for (size_t i = 0; i < more; i++) {
        frame[2 + i] = (uint8_t)((uint64_t)len >> (8 * (more - 1 - i)));
    }
    if (mask != NULL) {
        frame[1] |= 0x80;
        memcpy(frame + 2 + more, mask, WEBSOCKET_MASK_BYTES);
        apply_mask(payload, len, mask);
    }
    *frame_len = header_len + len;
    return frame;
}

int websocket_pack(struct buffer *out, enum websocket_opcode opcode, const void *payload,
                   size_t len)
{
    uint8_t *room = NULL;
    size_t frame_len = 0;
    int err = buffer_reserve(out, WEBSOCKET_HEADER_BYTES_MAX + len, &room);
    if (err < 0) {
        return err;
    }
    uint8_t *at = room + 2 + length_bytes(len);
    if (len > 0) {
        memcpy(at, payload, len);
    }
    (void)websocket_wrap(at, len, opcode, NULL, &frame_len);
    buffer_commit(out, frame_len);
    return 0;
}

int websocket_accept(const char *key, size_t key_len, char accept[WEBSOCKET_ACCEPT_BYTES])
{
    uint8_t decoded[KEY_BYTES + 2];
    /* EVP_DecodeBlock takes a `=` anywhere. */
    if (key_len != KEY_CHARS || memchr(key, '=', KEY_CHARS) != key + KEY_CHARS - 2 ||
        key[KEY_CHARS - 1] != '=' ||
        EVP_DecodeBlock(decoded, (const uint8_t *)key, KEY_CHARS) != KEY_BYTES + 2) {
        return ERROR_SYNTAX;
    }
    char text[KEY_CHARS + sizeof(ACCEPT_GUID)];
    memcpy(text, key, KEY_CHARS);
    memcpy(text + KEY_CHARS, ACCEPT_GUID, sizeof(ACCEPT_GUID));
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    if (EVP_Digest(text, sizeof(text) - 1, digest, &digest_len, EVP_sha1(), NULL) != 1) {
        return ERROR_INTERNAL;
    }
    EVP_EncodeBlock((uint8_t *)accept, digest, (int)digest_len);
    return 0;
}
