/* Every allocation of a trajectory fails once, and each time the refusal is clean: the
 * error says so, nothing is handed out, and (under a leak checker) nothing is lost. */
#include "sampler/trajectory.h"
#include "tests/check.h"
#include "tests/lib/fault.h"

#include <string.h>

static void expect_failures(enum solver_kind kind, double guidance, long expected)
{
    const struct scheduler_config scheduler = {.shift = 3.0};
    const struct sampling sampling = {.seed = 1,
                                      .steps = 4,
                                      .width = 64,
                                      .height = 48,
                                      .guidance = guidance,
                                      .solver = kind};
    struct trajectory *trajectory = NULL;
    struct err err;
    long failures = 0;
    for (;; failures++) {
        err = (struct err){0};
        fault_after(failures);
        const enum err_code code =
            trajectory_create(&trajectory, &sampling, &scheduler, 16, 4, &err);
        fault_after(-1);
        if (code == ERR_OK)
            break;
        CHECK(code == ERR_NO_MEMORY && err.code == ERR_NO_MEMORY);
        CHECK(strstr(err.message, "no memory") != NULL);
        CHECK(trajectory == NULL);
    }
    CHECK(failures == expected);
    CHECK(trajectory != NULL && trajectory_steps_done(trajectory) == 0);
    trajectory_destroy(trajectory);
}

int main(void)
{
    /* The trajectory, its scratch and its solver. */
    for (unsigned i = 0; i < SOLVER_COUNT; i++) {
        expect_failures((enum solver_kind)i, 1.0, 3);
        expect_failures((enum solver_kind)i, 4.0, 3);
    }
    return 0;
}
