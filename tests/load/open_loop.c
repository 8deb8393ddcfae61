/* The open-loop load generator: tests/load/load_options.c says what it does (--help). */
#include "tests/load/ledger.h"
#include "tests/load/load_run.h"
#include "tests/load/report.h"

#include <stdio.h>

static enum err_code run(const struct load_options *options, struct err *err)
{
    struct ledger ledger;
    ledger_init(&ledger, options);
    enum err_code code = load_run(&ledger, err);
    if (code == ERR_OK)
        code = report_table(&ledger, stderr, err);
    if (code == ERR_OK)
        code = report_json(&ledger, stdout, err);
    if (code == ERR_OK && options->entries != NULL)
        code = ledger_write(&ledger, options->entries, err);
    if (code == ERR_OK && !ledger_is_balanced(&ledger))
        code = err_set(err, ERR_INTERNAL, "the ledger does not sum up");
    ledger_finish(&ledger);
    return code;
}

int main(int argc, char **argv)
{
    struct load_options options;
    struct err err = {0};
    enum err_code code = load_options_parse(&options, argc, argv, &err);
    if (code == ERR_OK && options.wants_help)
        load_options_help();
    else if (code == ERR_OK)
        code = run(&options, &err);
    load_options_finish(&options);
    if (code == ERR_OK)
        return 0;
    (void)fprintf(stderr, "open_loop: %s\n", err.message);
    return code == ERR_INVALID ? 2 : 1;
}
