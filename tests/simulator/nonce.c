/* SPDX-License-Identifier: Apache-2.0 */
/* The nonces of digest authentication. */
#include "tests/simulator/nonce.h"

#include <string.h>

#include "proto/base/random.h"
#include "tests/simulator/hex.h"

void nonces_init(struct nonces *n, uint32_t max_uses, uint32_t lifetime_ms, enum nonce_count count)
{
    memset(n, 0, sizeof *n);
    n->max_uses = max_uses;
    n->lifetime_ms = lifetime_ms;
    n->count = count;
    map_init(&n->by_text, NONCES_MAX);
}

void nonces_close(struct nonces *n)
{
    map_close(&n->by_text);
}

static void draw_text(char text[NONCE_BYTES])
{
    uint8_t bytes[(NONCE_BYTES - 1) / 2];

    random_bytes(bytes, sizeof bytes);
    hex_format(bytes, sizeof bytes, text);
}

int nonces_issue(struct nonces *n, uint64_t now_ms, const char **text)
{
    struct nonce *nonce = &n->slots[n->next];
    int rc = 0;

    if (nonce->text[0] != '\0') {
        (void)map_remove(&n->by_text, nonce->text, NONCE_BYTES - 1); /* it is this slot */
    }
    *nonce = (struct nonce){.issued_ms = now_ms};
    draw_text(nonce->text);
    rc = map_put(&n->by_text, nonce->text, NONCE_BYTES - 1, nonce);
    if (rc != 0) {
        nonce->text[0] = '\0';
        return rc;
    }
    n->next = (n->next + 1) % NONCES_MAX;
    *text = nonce->text;
    return 0;
}

/* True if the count was not used yet, and is not too far behind to be sure of that. */
static bool use_count(struct nonce *nonce, uint32_t count)
{
    uint32_t behind = nonce->highest - count;

    if (count > nonce->highest) {
        uint32_t ahead = count - nonce->highest;
        nonce->seen = (ahead < NONCE_WINDOW ? nonce->seen << ahead : 0) | 1;
        nonce->highest = count;
        return true;
    }
    if (behind >= NONCE_WINDOW || (nonce->seen >> behind & 1) != 0) {
        return false;
    }
    nonce->seen |= (uint64_t)1 << behind;
    return true;
}

bool nonces_use(struct nonces *n, struct span text, uint32_t count, uint64_t now_ms)
{
    struct nonce *nonce = map_get(&n->by_text, text.p, text.len);

    if (nonce == NULL || (n->lifetime_ms > 0 && now_ms - nonce->issued_ms > n->lifetime_ms) ||
        (n->max_uses > 0 && nonce->n_uses >= n->max_uses) ||
        (n->count == NONCE_COUNT_GROWS && count <= nonce->highest) || !use_count(nonce, count)) {
        return false;
    }
    nonce->n_uses++;
    return true;
}
