/* What a folder is said to hold, its digest, and every way in which a folder is refused:
 * with the file's path and what was expected. */
#include "model/bundle.h"
#include "model/safetensors.h"
#include "tests/check.h"
#include "tests/lib/model_folder.h"

#include <math.h>
#include <string.h>

#define GOLDEN(name) SLUICE_SOURCE_DIR "/tests/golden/" name "/model"

static const struct kernels *kernels;

static struct bundle *open_good(const char *folder)
{
    struct bundle *bundle = NULL;
    struct err err;
    CHECK_OK(bundle_open(&bundle, folder, kernels, &err), err);
    return bundle;
}

static void test_info(void)
{
    static const struct {
        const char *folder, *name;
        bool is_distilled;
        unsigned steps;
        double guidance;
        size_t width, height, max_pixels, patch, channels, text_tokens, text_width;
    } models[] = {
        {GOLDEN("f32"), "f32", false, 6, 2.5, 80, 48, 16384, 16, 12, 40, 48},
        {GOLDEN("bf16-sharded"), "model", false, 50, 4.0, 1024, 1024, 1 << 20, 8, 8, 36,
         36},
        {GOLDEN("bf16-sharded") "//", "model", false, 50, 4.0, 1024, 1024, 1 << 20, 8, 8,
         36, 36},
        {GOLDEN("f16-distilled"), "f16-distilled", true, 4, 1.0, 40, 24, 4096, 8, 16, 40,
         60},
        {GOLDEN("two-taps"), "two-taps", false, 3, 1.0, 48, 80, 16384, 16, 12, 16, 48},
        {GOLDEN("one-head"), "one-head", false, 8, 4.0, 64, 64, 1 << 20, 8, 20, 24, 48},
        {SLUICE_SOURCE_DIR "/model/house", "house", false, 20, 3.0, 128, 128, 65536, 16,
         128, 32, 576},
    };
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        struct bundle *bundle = open_good(models[i].folder);
        const struct bundle_info *info = bundle_info(bundle);
        CHECK(strcmp(info->name, models[i].name) == 0);
        CHECK(strcmp(info->family, "FLUX.2-klein") == 0 && info->digest[0] == '\0');
        CHECK(info->is_distilled == models[i].is_distilled);
        CHECK(info->steps == models[i].steps);
        CHECK(fabs(info->guidance - models[i].guidance) < 1e-12);
        CHECK(info->width == models[i].width && info->height == models[i].height);
        CHECK(info->max_pixels == models[i].max_pixels && info->patch == models[i].patch);
        CHECK(info->latent_channels == models[i].channels || i == 6);
        CHECK(info->text_tokens == models[i].text_tokens);
        CHECK(info->text_width == models[i].text_width || i == 6);
        bundle_destroy(bundle);
    }
    bundle_destroy(NULL);
}

static void test_parts(void)
{
    static const char *const labels[] = {"text_encoder", "transformer", "vae"};
    static const char *const classes[] = {"Qwen3ForCausalLM", "Flux2Transformer2DModel",
                                          "AutoencoderKLFlux2"};
    struct bundle *bundle = open_good(GOLDEN("f32"));
    for (size_t i = 0; i < BUNDLE_PART_COUNT; i++) {
        const struct bundle_part_info *part = &bundle_info(bundle)->parts[i];
        CHECK(strcmp(part->label, labels[i]) == 0);
        CHECK(strcmp(part->class_name, classes[i]) == 0);
        /* A file is its header and four bytes a parameter. */
        CHECK(part->file_bytes > 4 * part->parameters);
        CHECK(part->file_bytes < 4 * part->parameters + 64 * 1024);
        CHECK(part->memory_bytes > 0 && part->memory_bytes % 64 == 0);
    }
    const struct bundle_part_info *parts = bundle_info(bundle)->parts;
    CHECK(parts[BUNDLE_TRANSFORMER].unused_tensors == 0);
    /* The layer behind the last tap and the final norm; the encoder of images. */
    CHECK(parts[BUNDLE_TEXT_ENCODER].unused_tensors == 11 + 1);
    CHECK(parts[BUNDLE_AUTOENCODER].unused_tensors > 20);
    bundle_destroy(bundle);
}

/* --- the digest -------------------------------------------------------------------- */

static void load_digest(const char *folder, char digest[DIGEST_TEXT_SIZE])
{
    struct err err;
    struct bundle *bundle = open_good(folder);
    CHECK_OK(bundle_load(bundle, &err), err);
    memcpy(digest, bundle_info(bundle)->digest, DIGEST_TEXT_SIZE);
    CHECK(strspn(digest, "0123456789abcdef") == 64 && strlen(digest) == 64);
    bundle_destroy(bundle);
}

/* The byte before the last of a file: high bits of the last value of its last tensor. */
static void change_last_value(const char *folder, const char *file)
{
    char path[FOLDER_PATH_SIZE];
    struct stat st;
    CHECK(stat(folder_path(folder, file, path), &st) == 0);
    model_folder_overwrite(folder, file, (size_t)st.st_size - 2, "\x11\x11", 2);
}

/* Of what an image depends on, and of nothing else. */
static void test_digest(void)
{
    char folder[FOLDER_PATH_SIZE], first[DIGEST_TEXT_SIZE], other[DIGEST_TEXT_SIZE];
    load_digest(GOLDEN("f32"), first);
    model_folder_create(folder, GOLDEN("f32"));
    load_digest(folder, other);
    CHECK(strcmp(first, other) == 0);
    folder_write_text(folder, "README.md", "not part of the model");
    load_digest(folder, other);
    CHECK(strcmp(first, other) == 0);

    static const struct {
        const char *file, *old_text, *new_text;
    } changes[] = {
        {"transformer/config.json", "\"rope_theta\": 2000", "\"rope_theta\": 2001"},
        {"scheduler/scheduler_config.json", "\"shift\": 3.0", "\"shift\": 3.5"},
        {"sluice.json", "\"steps\": 6", "\"steps\": 7"},
        {"tokenizer/tokenizer.json", "\"version\": \"1.0\"", "\"version\": \"1.0\" "},
    };
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        folder_remove(folder);
        model_folder_create(folder, GOLDEN("f32"));
        model_folder_replace(folder, changes[i].file, changes[i].old_text,
                             changes[i].new_text);
        load_digest(folder, other);
        CHECK(strcmp(first, other) != 0);
    }
    folder_remove(folder);
    model_folder_create(folder, GOLDEN("f32"));
    change_last_value(folder, "transformer/diffusion_pytorch_model.safetensors");
    load_digest(folder, other);
    CHECK(strcmp(first, other) != 0);
    folder_remove(folder);
}

/* --- refusals ---------------------------------------------------------------------- */

static void expect_refusal(const char *folder, const char *part, const char *other)
{
    struct bundle *bundle = NULL;
    struct err err = {0};
    const enum err_code code = bundle_open(&bundle, folder, kernels, &err);
    if (code == ERR_OK || code != err.code || bundle != NULL ||
        strstr(err.message, part) == NULL || strstr(err.message, other) == NULL ||
        strstr(err.message, folder) != err.message) {
        (void)fprintf(stderr, "code %d, '%s', expected '%s' and '%s'\n", (int)code,
                      err.message, part, other);
        exit(1);
    }
    CHECK(bundle_open(&bundle, folder, kernels, NULL) == code);
}

static const struct change {
    const char *file, *old_text, *new_text, *part;
} bad_values[] = {
    {"model_index.json", "Flux2KleinPipeline", "FluxPipeline",
     "_class_name is \"FluxPipeline\"; this build knows Flux2KleinPipeline"},
    {"model_index.json", "_class_name", "class_name", "_class_name is \"\""},
    {"model_index.json", "Qwen3ForCausalLM", "T5EncoderModel",
     "text_encoder is a T5EncoderModel, expected Qwen3ForCausalLM"},
    {"model_index.json", "AutoencoderKLFlux2", "AutoencoderKL", "vae is a AutoencoderKL"},
    {"model_index.json", "FlowMatchEulerDiscreteScheduler", "DDIMScheduler",
     "scheduler is a DDIMScheduler, expected FlowMatchEulerDiscreteScheduler, the"},
    {"model_index.json", "\"vae\"", "\"vea\"", "vae: expected [library, class]"},
    {"model_index.json", "\"is_distilled\": false", "\"is_distilled\": 0",
     "is_distilled"},
    {"model_index.json", "{", "[", "model_index.json:"},
    {"scheduler/scheduler_config.json", "FlowMatchEuler", "Euler",
     "expected FlowMatchEulerDiscreteScheduler, DDIMScheduler or DDPMScheduler"},
    {"scheduler/scheduler_config.json", "\"shift\": 3.0", "\"shift\": 0",
     "shift: expected"},
    {"scheduler/scheduler_config.json", "\"use_karras_sigmas\": false",
     "\"use_karras_sigmas\": true", "use_karras_sigmas: only false"},
    {"scheduler/scheduler_config.json", "{", "{\"use_flow_sigmas\": true,",
     "use_flow_sigmas: only false"},
    {"scheduler/scheduler_config.json", "\"stochastic_sampling\": false",
     "\"stochastic_sampling\": true", "stochastic_sampling: only false"},
    {"scheduler/scheduler_config.json", "\"shift_terminal\": null",
     "\"shift_terminal\": 0.1", "shift_terminal: only null"},
    {"scheduler/scheduler_config.json", "exponential\"", "cosine\"",
     "time_shift_type is \"cosine\""},
    {"scheduler/scheduler_config.json", "\"num_train_timesteps\": 1000",
     "\"num_train_timesteps\": 500", "num_train_timesteps: only 1000"},
    {"transformer/config.json", "\"num_attention_heads\": 3",
     "\"num_attention_heads\": 4",
     "tensor x_embedder.weight has shape [24, 12], expected [32, 12]"},
    {"transformer/config.json", "\"num_layers\": 1", "\"num_layers\": 2",
     "tensor transformer_blocks.1.attn.to_q.weight is missing"},
    {"transformer/config.json", "\"mlp_ratio\": 3.0", "\"mlp_ratio\": 2.0",
     "linear_in.weight has shape [144, 24], expected [96, 24]"},
    {"transformer/config.json", "\"guidance_embeds\": false", "\"guidance_embeds\": true",
     "guidance_embeds: only false"},
    {"transformer/config.json", "\"eps\": 1e-06", "\"eps\": 0", "eps: expected a number"},
    {"transformer/config.json", "\"in_channels\": 12", "\"in_channels\": 10",
     "in_channels: 10 is not a multiple of 4"},
    {"transformer/config.json", "    2,\n    2\n", "    2,\n    4\n",
     "whose sum is attention_head_dim (8), found 4 with sum 10"},
    {"transformer/config.json", "    2,\n    2\n", "    3,\n    1\n", "axes_dims_rope"},
    {"transformer/config.json", "\"joint_attention_dim\": 48",
     "\"joint_attention_dim\": \"48\"", "joint_attention_dim: expected an integer"},
    {"transformer/config.json", "\"patch_size\": 1", "\"patch_size\": 2", "patch_size"},
    {"text_encoder/config.json", "qwen3", "qwen2", "model_type is \"qwen2\""},
    {"text_encoder/config.json", "\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"",
     "hidden_act: only silu"},
    {"text_encoder/config.json", "\"rope_theta\": 1000000.0", "\"rope_theta\": 0",
     "rope_parameters.rope_theta: expected a number from 1 to 1e+12"},
    {"text_encoder/config.json", "\"rope_type\": \"default\"",
     "\"rope_type\": \"yarn\", \"factor\": 4.0, \"type\": \"default\"",
     "rope_parameters: rope_type is \"yarn\", only \"default\" is supported"},
    {"text_encoder/config.json", "\"rope_type\": \"default\"", "\"type\": \"linear\"",
     "rope_parameters: rope_type is \"linear\""},
    {"text_encoder/config.json", "\"sliding_window\": null",
     "\"rope_scaling\": {\"rope_type\": \"default\"}", "rope_scaling: only null"},
    {"text_encoder/config.json", "\"attention_bias\": false", "\"attention_bias\": true",
     "attention_bias: only false"},
    {"text_encoder/config.json", "\"num_key_value_heads\": 1",
     "\"num_key_value_heads\": 2",
     "num_key_value_heads (2) does not divide num_attention_heads (3)"},
    {"text_encoder/config.json", "\"num_hidden_layers\": 4", "\"num_hidden_layers\": 6",
     "num_hidden_layers is 6: the default text taps"},
    {"text_encoder/config.json", "\"head_dim\": 8", "\"head_dim\": 7",
     "head_dim: 7 is odd"},
    {"text_encoder/config.json", "\"vocab_size\": 320", "\"vocab_size\": 319",
     "embed_tokens.weight has shape [320, 16], expected [319, 16]"},
    {"text_encoder/config.json", "\"hidden_size\"", "\"size\"", "hidden_size is missing"},
    {"text_encoder/config.json", "{", "{\"transformers_weights\": \"other.safetensors\",",
     "transformers_weights: only null"},
    {"vae/config.json", "\"norm_num_groups\": 3", "\"norm_num_groups\": 4",
     "norm_num_groups (4) does not divide 6 channels"},
    {"vae/config.json", "\"latent_channels\": 3", "\"latent_channels\": 4",
     "bn.running_mean has shape [12], expected [16]"},
    {"vae/config.json", "    9,\n    9\n", "    9\n",
     "decoder_block_out_channels has 3 levels, block_out_channels 4"},
    {"vae/config.json", "\"act_fn\": \"silu\"", "\"act_fn\": \"gelu\"",
     "act_fn: only silu"},
    {"vae/config.json", "    \"UpDecoderBlock2D\"\n", "    \"AttnUpDecoderBlock2D\"\n",
     "up_block_types[3] is \"AttnUpDecoderBlock2D\", expected \"UpDecoderBlock2D\""},
    {"vae/config.json", "    \"UpDecoderBlock2D\",\n", "",
     "up_block_types: expected a list of 4 strings"},
    {"vae/config.json", "AutoencoderKLFlux2", "AutoencoderKL", "_class_name is"},
    {"tokenizer/tokenizer.json", "\"id\": 319", "\"id\": 320",
     "tokenizer.json has ids up to 320, text_encoder/config.json a vocab_size of 320"},
    {"sluice.json", "\"width\": 80", "\"width\": 72", "multiples of the patch 16"},
    {"sluice.json", "\"max_pixels\": 16384", "\"max_pixels\": 3839",
     "80x48 is more than max_pixels (3839)"},
    {"sluice.json", "\"guidance\": 2.5", "\"guidance\": 0.5",
     "guidance: expected a number"},
    {"sluice.json", "\"steps\": 6", "\"steps\": 0", "steps: expected an integer from 1"},
    {"sluice.json", "\"name\": \"f32\"", "\"name\": 32", "name: expected a string"},
    {"sluice.json", "\"name\": \"f32\"", "\"name\": \"\"", "name: 0 bytes, expected 1"},
    {"sluice.json", "\"f32\"",
     "\"0123456789012345678901234567890123456789012345678901234567890123\"",
     "name: 64 bytes, expected 1 to 63"},
    {"sluice.json", "{", "{\"text_taps\": [2, 1, 3],",
     "text tap 1: expected rising numbers"},
    {"sluice.json", "{", "{\"text_taps\": [1, 2, 5],",
     "text tap 5: expected rising numbers"},
    {"sluice.json", "{", "{\"text_taps\": [1, 3],",
     "joint_attention_dim is 48, expected 32: text taps times"},
    {"sluice.json", "}", "", "sluice.json:"},
};

static void test_bad_values(void)
{
    char folder[FOLDER_PATH_SIZE];
    for (size_t i = 0; i < sizeof(bad_values) / sizeof(bad_values[0]); i++) {
        const struct change *c = &bad_values[i];
        model_folder_create(folder, GOLDEN("f32"));
        model_folder_replace(folder, c->file, c->old_text, c->new_text);
        expect_refusal(folder, c->part, "");
        folder_remove(folder);
    }
    model_folder_create(folder, GOLDEN("f16-distilled"));
    model_folder_replace(folder, "sluice.json", "{", "{\"guidance\": 2,");
    expect_refusal(folder, "a distilled model has only 1", "guidance");
    folder_remove(folder);
}

static void test_adapter(void)
{
    char folder[FOLDER_PATH_SIZE];
    model_folder_create(folder, GOLDEN("f32"));
    folder_write(folder, "text_encoder/adapter_config.json", "{}", 2);
    expect_refusal(folder, "adapters are not supported",
                   "text_encoder/adapter_config.json");
    folder_remove(folder);
}

/* What sluice.json leaves out keeps its default: of the name, the folder's. */
static void test_name_of_folder(void)
{
    char folder[FOLDER_PATH_SIZE];
    model_folder_create(folder, GOLDEN("f32"));
    model_folder_replace(folder, "sluice.json", "\"name\": \"f32\",", "");
    struct bundle *bundle = open_good(folder);
    const char *name = strrchr(folder, '/') + 1;
    CHECK(strcmp(bundle_info(bundle)->name, name) == 0);
    CHECK(bundle_info(bundle)->steps == 6);
    bundle_destroy(bundle);
    /* The 63 bytes that fit end inside a character. */
    char long_name[2 * FOLDER_PATH_SIZE];
    int n = snprintf(long_name, sizeof(long_name), "%s-%043d\u00e9\u00e9", folder, 0);
    CHECK(n > 0 && (size_t)n < sizeof(long_name) && rename(folder, long_name) == 0);
    bundle = open_good(long_name);
    const char *cut = bundle_info(bundle)->name;
    CHECK(strlen(cut) == BUNDLE_NAME_SIZE - 2 && text_is_utf8(cut, strlen(cut), NULL));
    CHECK(strncmp(cut, strrchr(long_name, '/') + 1, strlen(cut)) == 0);
    bundle_destroy(bundle);
    folder_remove(long_name);
}

static void test_missing_files(void)
{
    static const char *const files[] = {
        "model_index.json",         "scheduler/scheduler_config.json",
        "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json",
        "text_encoder/config.json", "text_encoder/model.safetensors",
        "transformer/config.json",  "transformer/diffusion_pytorch_model.safetensors",
        "vae/config.json",          "vae/diffusion_pytorch_model.safetensors",
    };
    char folder[FOLDER_PATH_SIZE];
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        model_folder_create(folder, GOLDEN("f32"));
        folder_delete(folder, files[i]);
        const char *slash = strchr(files[i], '/');
        expect_refusal(folder, slash != NULL ? slash + 1 : files[i], "");
        folder_remove(folder);
    }
    expect_refusal("/nonexistent-model", "model_index.json", "No such file");
    char path[5000];
    struct err err;
    struct bundle *bundle = NULL;
    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    CHECK(bundle_open(&bundle, path, kernels, &err) == ERR_INVALID);
    CHECK(strstr(err.message, "the path is too long") != NULL);
}

static void test_bad_weights(void)
{
    static const char *const files[] = {
        "text_encoder/model.safetensors",
        "transformer/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    };
    char folder[FOLDER_PATH_SIZE], path[FOLDER_PATH_SIZE];
    for (size_t i = 0; i < 3; i++) {
        struct stat st;
        model_folder_create(folder, GOLDEN("f32"));
        model_folder_overwrite(folder, files[i], 8, "{", 1); /* a file of its own */
        CHECK(stat(folder_path(folder, files[i], path), &st) == 0);
        CHECK(truncate(path, st.st_size - 1) == 0);
        expect_refusal(folder, files[i], "truncated");
        model_folder_overwrite(folder, files[i], 0, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F",
                               8);
        expect_refusal(folder, files[i], "the header claims");
        folder_remove(folder);
    }
}

/* What is wrong with a value is found when it is read. */
static void expect_load_failure(const char *folder, const char *file, const char *part)
{
    struct err err = {0};
    struct bundle *bundle = open_good(folder);
    CHECK(bundle_load(bundle, &err) == ERR_FORMAT);
    if (strstr(err.message, part) == NULL || strstr(err.message, file) == NULL) {
        (void)fprintf(stderr, "'%s', expected '%s' and '%s'\n", err.message, file, part);
        exit(1);
    }
    bundle_destroy(bundle);
}

/* Where the i-th value of a float32 tensor stands in its file. */
static size_t place_of_value(const char *path, const char *name, size_t i)
{
    struct safetensors *file;
    struct err err;
    CHECK_OK(safetensors_open(&file, path, &err), err);
    const struct tensor *tensor = safetensors_find(file, name);
    CHECK(tensor != NULL && tensor->dtype == DTYPE_F32 && i < tensor->elements);
    const size_t place = (size_t)tensor->offset + i * sizeof(float);
    safetensors_close(file);
    return place;
}

static void test_bad_weight_values(void)
{
    static const char transformer[] = "transformer/diffusion_pytorch_model.safetensors",
                      vae[] = "vae/diffusion_pytorch_model.safetensors";
    const float negative = -1.0f, zero = 0.0f;
    char folder[FOLDER_PATH_SIZE], path[FOLDER_PATH_SIZE];
    struct stat st;
    model_folder_create(folder, GOLDEN("f32"));
    CHECK(stat(folder_path(folder, transformer, path), &st) == 0);
    model_folder_overwrite(folder, transformer, (size_t)st.st_size - 4, "\0\0\xC0\x7F",
                           4);
    expect_load_failure(folder, transformer, "holds NaN or infinity");
    folder_remove(folder);

    model_folder_create(folder, GOLDEN("f32"));
    const size_t place =
        place_of_value(folder_path(folder, vae, path), "bn.running_var", 5);
    model_folder_overwrite(folder, vae, place, &negative, sizeof(negative));
    expect_load_failure(folder, "/vae: ",
                        "tensor bn.running_var: value 5 is -1, expected one whose sum "
                        "with batch_norm_eps (0.0001) is above 0");
    model_folder_overwrite(folder, vae, place, &zero, sizeof(zero));
    char digest[DIGEST_TEXT_SIZE];
    load_digest(folder, digest);
    folder_remove(folder);
}

int main(void)
{
    struct err err;
    bundle_init();
    CHECK_OK(kernels_choose(&kernels, NULL, &err), err);
    test_info();
    test_parts();
    test_digest();
    test_bad_values();
    test_name_of_folder();
    test_adapter();
    test_missing_files();
    test_bad_weights();
    test_bad_weight_values();
    return 0;
}
