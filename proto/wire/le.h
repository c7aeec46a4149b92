/* SPDX-License-Identifier: Apache-2.0 */
/* Little-endian integers in byte strings (PROTOCOL.md section 2): pack writes, unpack reads. */
#ifndef PROTO_WIRE_LE_H
#define PROTO_WIRE_LE_H

#include <stdint.h>

static inline void le_pack_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v & 0xff);
    p[1] = (uint8_t)(v >> 8);
}

static inline void le_pack_u32(uint8_t *p, uint32_t v)
{
    le_pack_u16(p, (uint16_t)(v & 0xffff));
    le_pack_u16(p + 2, (uint16_t)(v >> 16));
}

static inline void le_pack_u64(uint8_t *p, uint64_t v)
{
    le_pack_u32(p, (uint32_t)(v & 0xffffffffu));
    le_pack_u32(p + 4, (uint32_t)(v >> 32));
}

static inline uint16_t le_unpack_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint16_t)(p[1] << 8));
}

static inline uint32_t le_unpack_u32(const uint8_t *p)
{
    return (uint32_t)le_unpack_u16(p) | (uint32_t)le_unpack_u16(p + 2) << 16;
}

static inline uint64_t le_unpack_u64(const uint8_t *p)
{
    return (uint64_t)le_unpack_u32(p) | (uint64_t)le_unpack_u32(p + 4) << 32;
}

#endif
