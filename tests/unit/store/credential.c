/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and tokens: what they are made of, and their hashes. */
#include "tests/unit/store/scratch.h"

#include "relay/store/credential.h"

static void made_ones_are_well_formed_and_different(void **state)
{
    struct credential a;
    struct credential b;
    (void)state;

    assert_int_equal(credential_make(&a), 0);
    assert_int_equal(credential_make(&b), 0);
    assert_int_equal(strlen(a.text), CREDENTIAL_CHARS);
    assert_true(credential_is_well_formed(span_of(a.text)));
    assert_string_not_equal(a.text, b.text);
    assert_memory_not_equal(a.hash, b.hash, sizeof(a.hash));
}

static void every_character_is_equally_likely(void **state)
{
    /* 62 characters, 2000 * 32 draws: 1032 each, give or take 32; 7 times that is beyond chance. */
    unsigned counts[256] = {0};
    struct credential c;
    (void)state;

    for (size_t i = 0; i < 2000; i++) {
        assert_int_equal(credential_make(&c), 0);
        for (size_t k = 0; k < CREDENTIAL_CHARS; k++) {
            counts[(unsigned char)c.text[k]]++;
        }
    }
    for (unsigned char b = 1; b < 128; b++) {
        bool letter = (b >= '0' && b <= '9') || (b >= 'A' && b <= 'Z') || (b >= 'a' && b <= 'z');
        assert_in_range(counts[b], letter ? 808 : 0, letter ? 1256 : 0);
    }
}

static void cleansing_leaves_nothing(void **state)
{
    const struct credential zero = {.text = ""};
    struct credential c;
    (void)state;

    assert_int_equal(credential_make(&c), 0);
    credential_cleanse(&c);
    assert_memory_equal(&c, &zero, sizeof(c));
}

static void only_32_letters_and_digits_are_well_formed(void **state)
{
    (void)state;
    assert_true(credential_is_well_formed(span_of("abcdefghijklmnopqrstuvwxyz012345")));
    assert_true(credential_is_well_formed(span_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ678901")));
    assert_false(credential_is_well_formed(span_of("")));
    assert_false(credential_is_well_formed(span_of("abcdefghijklmnopqrstuvwxyz01234")));
    assert_false(credential_is_well_formed(span_of("abcdefghijklmnopqrstuvwxyz0123456")));
    assert_false(credential_is_well_formed(span_of("abcdefghijklmnopqrstuvwxyz01234-")));
    assert_false(credential_is_well_formed((struct span){"abcdefghijklmnopqrstuvwxyz01234\0", 32}));
}

static void hash_is_sha256_time_after_time(void **state)
{
    /* FIPS 180-4, the example "abc". */
    static const char ABC[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    static const char EMPTY[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    struct credential_hasher h;
    uint8_t hash[CREDENTIAL_HASH_BYTES];
    char hex[CREDENTIAL_HEX_BYTES];
    (void)state;

    assert_int_equal(credential_hasher_init(&h), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(credential_hash(&h, span_of("abc"), hash));
        credential_format_hex(hash, hex);
        assert_string_equal(hex, ABC);
        assert_true(credential_hash(&h, (struct span){NULL, 0}, hash));
        credential_format_hex(hash, hex);
        assert_string_equal(hex, EMPTY);
    }
    credential_hasher_close(&h);
    credential_hasher_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_ones_are_well_formed_and_different),
        cmocka_unit_test(every_character_is_equally_likely),
        cmocka_unit_test(cleansing_leaves_nothing),
        cmocka_unit_test(only_32_letters_and_digits_are_well_formed),
        cmocka_unit_test(hash_is_sha256_time_after_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
