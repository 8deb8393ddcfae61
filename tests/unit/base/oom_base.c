/* Where memory ends, the base layer says so and loses nothing. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/text.h"
#include "tests/check.h"
#include "tests/lib/fault.h"
#include "tests/lib/folder.h"

#include <string.h>

static void test_buf(void)
{
    struct buf buf;
    buf_init(&buf, 100000);
    CHECK(buf_print(&buf, "%s", "kept"));
    char large[1000];
    memset(large, 'x', sizeof(large));
    fault_after(0);
    const bool appended = buf_append(&buf, large, sizeof(large));
    fault_after(-1);
    CHECK(!appended && buf.failed && !buf.overflowed);
    CHECK(buf.length == 4 && strcmp(buf.data, "kept") == 0);
    CHECK(!buf_append(&buf, "x", 1)); /* also with memory there again */
    buf_finish(&buf);
}

static void test_arena(void)
{
    struct arena arena;
    struct err err = {0};
    fault_after(0);
    const enum err_code code = arena_init(&arena, 4096, &err);
    fault_after(-1);
    CHECK(code == ERR_NO_MEMORY && err.code == ERR_NO_MEMORY);
    CHECK(strstr(err.message, "4096 bytes") != NULL);
}

static void test_file(void)
{
    char folder[FOLDER_PATH_SIZE], path[FOLDER_PATH_SIZE], *text = NULL;
    size_t length = 7;
    struct err err = {0};
    folder_create(folder);
    folder_write_text(folder, "a", "text");
    (void)folder_path(folder, "a", path);
    fault_after(0);
    const enum err_code code = text_read_file(&text, &length, path, 100, &err);
    fault_after(-1);
    CHECK(code == ERR_NO_MEMORY && strstr(err.message, "4 bytes") != NULL);
    CHECK(text == NULL && length == 7);
    folder_remove(folder);
}

int main(void)
{
    test_buf();
    test_arena();
    test_file();
    return 0;
}
