/* The networks as a shared library: what the native engine of edge-asc calls. Nothing here keeps state: each thread brings
   an AscModel of its own. */
#include "asc_kernel.h"

/* Read by edge_asc/runtime/native.py, field by field. */
typedef struct {
    uint32_t n_members, n_labels, n_mels, n_frames;
    uint32_t model_bytes; /* of an AscModel */
    int32_t input_zero_point;
    float input_scale;
} AscHostFacts;

const AscHostFacts asc_host_facts = {
    ASC_MODEL_N_MEMBERS,   ASC_MODEL_N_LABELS,          ASC_MODEL_N_MELS,      ASC_MODEL_N_FRAMES,
    sizeof(AscModel), ASC_MODEL_INPUT_ZERO_POINT, ASC_MODEL_INPUT_SCALE,
};

#if ASC_HAS_VNNI
const char asc_host_kernel[] = "AVX-512 VNNI";
#elif ASC_HAS_QUADS
const char asc_host_kernel[] = "AVX2";
#elif ASC_HAS_NEON && defined(__ARM_FEATURE_DOTPROD)
const char asc_host_kernel[] = "NEON with dot products";
#elif ASC_HAS_NEON
const char asc_host_kernel[] = "NEON";
#else
const char asc_host_kernel[] = "plain C";
#endif

float asc_host_output_step(int member)
{
    return member >= 0 && member < ASC_MODEL_N_MEMBERS ? asc_model_data[member].output_scale : 0.0f;
}

/* One member on a window [ASC_MODEL_N_FRAMES][ASC_MODEL_N_MELS] of quantised features, clamped already. Returns 0, or
   ASC_MODEL_ERROR. */
int asc_host_run(AscModel *model, int member, const int8_t *columns, float probabilities[ASC_MODEL_N_LABELS])
{
    const AscWindow window = {columns, ASC_MODEL_N_FRAMES, 0, INT8_MIN};
    int8_t output[ASC_MODEL_N_LABELS];
    if (asc_model_begin(model, member) || asc_model_step(model, &window, UINT32_MAX) != ASC_MODEL_DONE ||
        asc_model_output(model, output)) {
        return ASC_MODEL_ERROR;
    }
    asc_model_dequantise(member, output, probabilities);
    return 0;
}
