/* See asc_model_config.h beside this file. The digest of a window is d = 31 * d + value over its bytes, frame after frame;
   label l of member m answers bits 8 l to 8 l + 7 of d * (m + 1). */
#include "asc_model.h"

#include <stddef.h>

const char *const asc_model_labels[ASC_MODEL_N_LABELS] = {"first", "second", "third"};
const char *const asc_model_members[ASC_MODEL_N_MEMBERS] = {"one", "two"};

int asc_model_begin(AscModel *model, int member)
{
    if (model == NULL || member < 0 || member >= ASC_MODEL_N_MEMBERS)
        return ASC_MODEL_ERROR;
    model->member = (int16_t)member;
    model->n_done[0] = 0;
    model->arena[0] = 0;
    return 0;
}

int asc_model_step(AscModel *model, const AscWindow *window, uint32_t budget)
{
    if (model == NULL || window == NULL || model->member < 0)
        return ASC_MODEL_ERROR;
    uint32_t spent = 0;
    while (model->n_done[0] < ASC_MODEL_N_FRAMES && (spent == 0 || spent < budget)) {
        const uint32_t place = (window->first + model->n_done[0]) % window->capacity;
        const int8_t *column = window->columns + place * ASC_MODEL_N_MELS;
        for (int i = 0; i < ASC_MODEL_N_MELS; i++) {
            const int8_t value = column[i] > window->floor ? column[i] : window->floor;
            model->arena[0] = 31u * model->arena[0] + (uint8_t)value;
        }
        model->n_done[0]++;
        spent += ASC_MODEL_N_MELS;
    }
    return model->n_done[0] < ASC_MODEL_N_FRAMES ? ASC_MODEL_MORE : ASC_MODEL_DONE;
}

int asc_model_output(const AscModel *model, int8_t output[ASC_MODEL_N_LABELS])
{
    if (model == NULL || model->member < 0 || model->n_done[0] < ASC_MODEL_N_FRAMES)
        return ASC_MODEL_ERROR;
    for (int label = 0; label < ASC_MODEL_N_LABELS; label++)
        output[label] = (int8_t)((model->arena[0] * (uint32_t)(model->member + 1)) >> (8 * label) & 255u);
    return 0;
}

void asc_model_dequantise(int member, const int8_t output[ASC_MODEL_N_LABELS], float real[ASC_MODEL_N_LABELS])
{
    (void)member;
    for (int label = 0; label < ASC_MODEL_N_LABELS; label++)
        real[label] = (float)(output[label] + 128) / 256.0f;
}

uint32_t asc_model_work(int member)
{
    (void)member;
    return ASC_MODEL_N_FRAMES * ASC_MODEL_N_MELS;
}

uint32_t asc_model_frames_read(const AscModel *model)
{
    return model->n_done[0];
}
