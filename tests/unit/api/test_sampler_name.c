#include "api/sampler_name.h"
#include "tests/check.h"

#include <string.h>

int main(void)
{
    enum solver_kind solver;
    for (unsigned i = 0; i < SOLVER_COUNT; i++) {
        CHECK(sampler_from_name(sampler_name((enum solver_kind)i), &solver));
        CHECK(solver == (enum solver_kind)i);
        CHECK(sampler_from_name(solver_name((enum solver_kind)i), &solver));
        CHECK(solver == (enum solver_kind)i);
    }
    CHECK(sampler_from_name("dpm++ 2m", &solver) && solver == SOLVER_DPMPP_2M);
    CHECK(strcmp(sampler_name(SOLVER_EULER), "Euler") == 0);
    CHECK(!sampler_from_name("Euler a", &solver));
    CHECK(!sampler_from_name("", &solver));
    return 0;
}
