/* Every allocation of a scheduler and of calibration fails once: it is said, and what was
 * made before is freed. A scheduler that stands allocates nothing. */
#include "server/calibration.h"
#include "tests/check.h"
#include "tests/lib/fault.h"
#include "tests/lib/simulation.h"

static struct simulation simulation; /* large */

static const struct scheduler_setting setting = {.workers = 2,
                                                 .max_batch = 8,
                                                 .queue = 10,
                                                 .job_memory = SIZE_MAX / 2,
                                                 .max_wait = 30 * SIMULATION_SECOND,
                                                 .context_cache = 1 << 20};

static long fail_each_of_init(void)
{
    struct scheduler scheduler;
    struct err err;
    long n = 0;
    for (bool happened = true; happened; n++) {
        err = (struct err){0};
        fault_after(n);
        enum err_code code = scheduler_init(&scheduler, &setting, &err);
        happened = fault_happened();
        fault_after(-1);
        CHECK(code == (happened ? ERR_NO_MEMORY : ERR_OK));
        CHECK(!happened || err.message[0] != '\0');
        scheduler_finish(&scheduler);
        scheduler_finish(&scheduler);
    }
    return n - 1;
}

static long fail_each_of_calibration(const struct served_model *model)
{
    static struct cost_model costs;
    struct err err;
    long n = 0;
    for (bool happened = true; happened; n++) {
        err = (struct err){0};
        costs = (struct cost_model){0};
        fault_after(n);
        enum err_code code = calibrate(&costs, &model->setup, &err);
        happened = fault_happened();
        fault_after(-1);
        CHECK(code == (happened ? ERR_NO_MEMORY : ERR_OK));
        CHECK(!happened || err.message[0] != '\0');
    }
    CHECK(cost_model_item(&costs, BATCHER_STEP, false, 30, 1) > 0.0);
    CHECK(cost_model_item(&costs, BATCHER_ENCODE, false, 16, 1) > 0.0);
    CHECK(cost_model_item(&costs, BATCHER_DECODE, false, 15, 1) > 0.0);
    return n - 1;
}

/* Taken, refused, planned, ended and canceled without an allocation: only what a job and
 * a round make themselves is allocated. */
static void test_no_allocation(struct served_model *model)
{
    simulation_start(&simulation, &setting, &simulated_quiet, model);
    for (int i = 0; i < 26; i++)
        (void)simulation_send(&simulation, &(struct simulation_request){.steps = 3});
    size_t waiting;
    fault_after(0);
    size_t rounds = scheduler_plan(&simulation.scheduler, 0, &waiting, simulation.now);
    scheduler_refresh(&simulation.scheduler);
    scheduler_publish(&simulation.scheduler);
    scheduler_check(&simulation.scheduler, simulation.now);
    scheduler_cancel_all(&simulation.scheduler, simulation.now);
    bool happened = fault_happened();
    fault_after(-1);
    CHECK(!happened && rounds == 0 && waiting == 16);
    simulation_finish(&simulation);
    CHECK(simulation.ledger.canceled == 26);
}

int main(void)
{
    bundle_init();
    struct served_model *model = simulated_model();
    CHECK(fail_each_of_init() >= 4);
    CHECK(fail_each_of_calibration(model) >= 5);
    test_no_allocation(model);
    served_model_release(model);
    return 0;
}
